"""Reports: read as JSON, text, PDF or FHIR, reviewed, resolved, revised, rejected, signed, amended.

Whoever reads one is noted in the audit log. Signing asks for the scope `sign` itself, which no other stands for.
"""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from domain.access import Principal
from domain.applications.reporting.result import ReportingResult
from domain.reports import Hash, Line, Report
from gateway.api.access import Clinician, ReportReader, Signer
from gateway.api.problems import responses
from gateway.api.resources import Resources, Served
from gateway.reports.document import as_json
from gateway.reports.fhir import as_fhir
from gateway.reports.pdf import as_pdf
from gateway.reports.rendered import Rendered, UsedModel
from gateway.reports.text import as_text
from storage import reports

router = APIRouter(prefix="/v1/reports", tags=["reports"])

READ = responses(401, 403, 404, 409, 422, 503)
HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}

Number = Annotated[int | None, Query(ge=1, description="left out: the newest", alias="version")]


class Asked(BaseModel):
    """What is asked for; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class Reviewing(Asked):
    """Which content was read."""

    content_hash: Hash


class Rejecting(Reviewing):
    """Why the content is not to be used."""

    reason: Line


class Resolving(Asked):
    """How a discrepancy is settled."""

    discrepancy: Line
    sentence: Line


class Revising(Reviewing):
    """The content that takes the place of the one that was read."""

    content: ReportingResult


class Amending(Asked):
    """The content that is to take the place of the signed one."""

    content: ReportingResult


class Signing(Reviewing):
    """What is signed, by whom it was taken in hand, and for which examination."""

    accession_number: str = Field(min_length=1, max_length=64, description="retyped from the examination")
    statement: str = Field(max_length=500)


class Standing(BaseModel):
    """Where a report stands after something was done to it."""

    version: int
    state: str
    banner: str | None
    content_hash: str
    unresolved: list[str]


def _standing(report: Report) -> Standing:
    newest = report.newest
    told = {"version": newest.number, "state": newest.state, "banner": newest.banner}
    return Standing(**told, content_hash=newest.content_hash, unresolved=list(newest.unresolved))


async def _rendered(served: Resources, who: Principal, report_id: UUID, number: int | None) -> Rendered:
    kept = await served.write(reports.get, who, report_id)
    wanted = number or kept.report.newest.number
    models = [UsedModel(*model) for model in kept.models]
    return Rendered.of(kept.id, kept.report, wanted, kept.subject, kept.drafted_at, models, kept.study_uid)


@router.get("/{report_id}.txt", summary="Read a report as text", response_class=Response, responses=READ)
async def text(served: Served, who: ReportReader, report_id: UUID, number: Number = None) -> Response:
    """Return a version as text; of an unsigned one it begins and ends with `AI draft, unverified`."""
    told = await _rendered(served, who, report_id, number)
    return Response(as_text(told), media_type="text/plain; charset=utf-8", headers=HEADERS)


@router.get("/{report_id}.pdf", summary="Read a report as PDF", response_class=Response, responses=READ)
async def pdf(served: Served, who: ReportReader, report_id: UUID, number: Number = None) -> Response:
    """Return a version as PDF; of an unsigned one each page says `AI draft, unverified`."""
    told = await _rendered(served, who, report_id, number)
    made = await served.call(lambda: as_pdf(told))
    return Response(made, media_type="application/pdf", headers=HEADERS)


@router.get("/{report_id}.fhir.json", summary="Read a report as FHIR", responses=READ)
async def fhir(served: Served, who: ReportReader, report_id: UUID, number: Number = None) -> dict[str, Any]:
    """Return a version as a FHIR R4 Bundle; its status tells whether it is signed."""
    told = await _rendered(served, who, report_id, number)
    return await served.call(lambda: as_fhir(told))


@router.get("/{report_id}", summary="Read a report", responses=READ)
async def show(served: Served, who: ReportReader, report_id: UUID, number: Number = None) -> dict[str, Any]:
    """Return a version; `banner` is null of a signed one alone."""
    return as_json(await _rendered(served, who, report_id, number))


@router.post("/{report_id}/review", summary="Note that a report was read", responses=READ)
async def review(served: Served, who: Clinician, report_id: UUID, asked: Reviewing) -> Standing:
    """Note that a person has read the content of that hash."""
    return _standing(await served.write(reports.review, who, report_id, asked.content_hash))


@router.post("/{report_id}/resolve", summary="Settle a discrepancy", responses=READ)
async def resolve(served: Served, who: Clinician, report_id: UUID, asked: Resolving) -> Standing:
    """Settle what blocks signing, in a sentence."""
    return _standing(await served.write(reports.resolve, who, report_id, asked.discrepancy, asked.sentence))


@router.post("/{report_id}/revise", summary="Change a draft", responses=READ)
async def revise(served: Served, who: Clinician, report_id: UUID, asked: Revising) -> Standing:
    """Put another content in the place of the one that was read; it must be reviewed again."""
    return _standing(await served.write(reports.revise, who, report_id, asked.content_hash, asked.content))


@router.post("/{report_id}/reject", summary="Reject a draft", responses=READ)
async def reject(served: Served, who: Clinician, report_id: UUID, asked: Rejecting) -> Standing:
    """Say that the content of that hash is not to be used."""
    return _standing(await served.write(reports.reject, who, report_id, asked.content_hash, asked.reason))


@router.post("/{report_id}/amend", summary="Begin an amendment", responses=READ)
async def amend(served: Served, who: Clinician, report_id: UUID, asked: Amending) -> Standing:
    """Begin a version in the place of the signed one, which stands until this one is signed."""
    return _standing(await served.write(reports.amend, who, report_id, asked.content))


@router.post("/{report_id}/sign", summary="Sign a report", responses=READ)
async def sign(served: Served, who: Signer, report_id: UUID, asked: Signing) -> Standing:
    """Sign the newest version, as the person whom the key belongs to."""
    told = {"read_hash": asked.content_hash, "retyped": asked.accession_number, "statement": asked.statement}
    return _standing(await served.write(reports.sign, who, report_id, **told))
