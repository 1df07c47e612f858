"""A report as JSON: its content, its state, and who did what to it."""

from typing import Any

from gateway.reports.rendered import Rendered


def as_json(told: Rendered) -> dict[str, Any]:
    """Return the report as JSON; `banner` is null of a signed version alone."""
    version = told.version
    kept = version.model_dump(mode="json", exclude={"content", "blocking", "number"})
    return {
        "banner": version.banner,
        "report": str(told.report_id),
        "version": version.number,
        "versions": len(told.report.versions),
        "superseded_by": told.superseded_by,
        "subject": told.subject,
        "drafted_at": told.drafted_at.isoformat(),
        "models": [{"name": model.name, "revision": model.revision} for model in told.models],
        **kept,
        "unresolved": list(version.unresolved),
        "content": {name: value for name, value in version.body.items() if name != "banner"},
    }
