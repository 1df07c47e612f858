"""The ids of a report's FHIR resources: always the same for the same report, version and name (UUID of version 5)."""

from typing import Any
from uuid import uuid5

from gateway.reports.rendered import Rendered


def resource_id(told: Rendered, name: str, number: int | None = None) -> str:
    """Return the id of a resource of the version that is rendered, or of the one with that number."""
    return str(uuid5(told.report_id, f"version {number or told.version.number}: {name}"))


def reference(told: Rendered, name: str, number: int | None = None) -> dict[str, Any]:
    """Return a reference to it within a Bundle, whose entries are known by their ids as UUIDs."""
    return {"reference": f"urn:uuid:{resource_id(told, name, number)}"}
