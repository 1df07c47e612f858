"""Who made a report and who answers for it, as FHIR Provenance: the models as devices, people by name."""

from collections.abc import Iterator
from typing import Any

from domain.reports import Act, Person
from gateway.reports.fhir_codes import SYSTEM, TERMINOLOGY
from gateway.reports.fhir_ids import reference, resource_id
from gateway.reports.rendered import Rendered

Resource = dict[str, Any]


def provenances(told: Rendered) -> Iterator[Resource]:
    """Yield one for the draft and one for each thing that a person did to the version."""
    version = told.version
    machines = [_agent("assembler", reference(told, f"model-{at}")) for at in range(len(told.models))]
    drafted = machines or [_agent("assembler", {"display": "a model that is not named"})]
    yield _provenance(told, "drafted", told.drafted_at.isoformat(), drafted)
    acts: tuple[tuple[str, str, Act | None], ...] = (
        ("reviewed", "verifier", version.reviewed),
        ("signed", "legal", version.signature),
        ("rejected", "verifier", version.rejection),
    )
    for name, role, act in acts:
        if act is not None:
            yield _provenance(told, name, act.at.isoformat(), [_agent(role, _person(act.by))])


def _provenance(told: Rendered, activity: str, recorded: str, agents: list[Resource]) -> Resource:
    return {
        "resourceType": "Provenance",
        "id": resource_id(told, activity),
        "target": [reference(told, "report")],
        "recorded": recorded,
        "activity": {"text": activity},
        "agent": agents,
        "entity": list(_entities(told, activity)),
    }


def _entities(told: Rendered, activity: str) -> Iterator[Resource]:
    """Yield the content that it was done to, by its hash, and the version that a signed amendment replaces."""
    digest = {"system": f"{SYSTEM}:content-sha256", "value": told.version.content_hash}
    yield {"role": "source", "what": {"identifier": digest}}
    if told.version.amends is not None and activity == "signed":
        yield {"role": "revision", "what": reference(told, "report", told.version.amends)}


def _agent(role: str, who: Resource) -> Resource:
    coding = {"system": f"{TERMINOLOGY}/provenance-participant-type", "code": role}
    return {"type": {"coding": [coding]}, "who": who}


def _person(person: Person) -> Resource:
    return {"display": person.name, "identifier": {"system": f"{SYSTEM}:key", "value": str(person.key_id)}}
