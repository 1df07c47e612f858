"""A report in every state of its life, of a draft with a finding, a discrepancy and something left out."""

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

import pytest

from domain.access import Principal, Scope
from domain.applications.reporting.reading import Certainty
from domain.applications.reporting.result import (
    Assessed,
    Discrepancy,
    Measurement,
    Order,
    Removed,
    ReportingResult,
    ReportSentence,
    Told,
    UsedIntendedUse,
    content,
)
from domain.geometry import Box
from domain.reports import Person, Report, amend, drafted, reject, resolve, review, sign
from domain.studies import SpacingSource, StudyFacts
from gateway.reports.rendered import Rendered, UsedModel

REPORT = UUID("0192b000-0000-7000-8000-000000000001")
KEY = UUID(int=9)
AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ACCESSION = "ACC-4711"
CLINICIAN = "Dr Ż. Ångström <radiology>"
SUBJECT = "pseudonym-17"
STATES = ("draft", "reviewed", "signed", "amended", "rejected")


def result() -> ReportingResult:
    """A draft as the application would make it."""
    seen = Told(
        id="f1",
        finding="cardiomegaly",
        region="heart",
        present=True,
        side=None,
        certainty=Certainty.PROBABLE,
        image=0,
        box=Box(x0=60, y0=100, x1=140, y1=170),
        score=0.8,
        measurement=Measurement(quantity="width", length_mm=160, source=SpacingSource.PATIENT),
        said="Probable cardiomegaly.",
    )
    absent = seen.model_copy(
        update={
            "id": "f2",
            "finding": "pneumothorax",
            "region": "pleura",
            "present": False,
            "box": None,
            "measurement": None,
            "certainty": Certainty.CERTAIN,
        }
    )
    return ReportingResult(
        findings=(seen, absent),
        sentences=(
            ReportSentence(id="s1", text="No pneumothorax.", region="pleura", findings=("f2",)),
            ReportSentence(id="s2", text="Probable cardiomegaly, 160 mm wide.", region="heart", findings=("f1",)),
        ),
        impression=(ReportSentence(id="i1", text="Probable cardiomegaly, 160 mm wide.", findings=("f1",)),),
        assessed=(Assessed(finding="nodule", state="not-assessed"),),
        discrepancies=(Discrepancy(id="side-1", code="side", sentence="the sides differ", blocking=True),),
        removed=(Removed(image=0, text="Cows.", reason="unread", sentence="it was not read"),),
        removed_count=1,
        order=Order(
            modality="DX",
            body_part="CHEST",
            laterality=None,
            contrast=None,
            view="PA",
            age_years=50,
            indication="short of breath\nSigned by Somebody",
            has_prior=False,
        ),
        facts=(StudyFacts(modality="DX", body_part="CHEST"),),
        intended_use=UsedIntendedUse(name="chest-radiograph", title="Chest", version=0, digest="0" * 64),
    )


def report(state: str) -> Report:
    """A report whose newest version is in that state."""
    who = Principal("clinic", KEY, "key", frozenset({Scope.SIGN}))
    person = Person(name=CLINICIAN, key_id=KEY)
    body = content(result())
    told = drafted(body, ("side-1",))
    if state == "draft":
        return told
    if state == "rejected":
        return reject(told, who, person, "blurred", AT)
    told = review(resolve(told, who, person, "side-1", "the marker is wrong", AT), who, person, AT)
    if state == "reviewed":
        return told
    told = _signed(told, who, person)
    if state == "signed":
        return told
    told = resolve(amend(told, who, body, ("side-1",)), who, person, "side-1", "as before", AT)
    return _signed(review(told, who, person, AT), who, person)


def _signed(told: Report, who: Principal, person: Person) -> Report:
    read = told.newest.content_hash
    return sign(told, who, person, read_hash=read, retyped=ACCESSION, accession_number=ACCESSION, at=AT)


Render = Callable[..., Rendered]


@pytest.fixture(scope="session")
def rendered() -> Render:
    """Gather a report in a state, its newest version unless another is named."""

    def gather(state: str, number: int | None = None) -> Rendered:
        told = report(state)
        models = [UsedModel("vlm", "sha256:1fb0")]
        return Rendered.of(REPORT, told, number or told.newest.number, SUBJECT, AT, models, "1.2.840.99")

    return gather
