"""A report as a FHIR R4 Bundle: DiagnosticReport, Observations, ImagingStudy, Devices (the models) and Provenance.

It is validated by the models of R4B in fhir.resources, the nearest to R4 that there are. The patient is a reference by
the pseudonymous identifier alone. The indication is free text of a sender and is not in it. Each version is a
DiagnosticReport of its own, all with the report's identifier: an unsigned amendment that bore the id of the final
report would take its place on a server.
"""

import json
from collections.abc import Iterator
from html import escape
from typing import Any

from fhir.resources.R4B.bundle import Bundle

from domain.applications.reporting.reading import Certainty
from domain.applications.reporting.result import Told, named
from gateway.reports.fhir_codes import (
    DICOM,
    IMAGING_STUDY_CODE,
    LOINC,
    OBSERVATION_STATUS,
    REPORT_STATUS,
    SYSTEM,
    TERMINOLOGY,
    UCUM,
)
from gateway.reports.fhir_ids import reference, resource_id
from gateway.reports.fhir_provenance import provenances
from gateway.reports.rendered import Rendered
from gateway.reports.text import as_text

Resource = dict[str, Any]


def as_fhir(told: Rendered) -> Resource:
    """Return the Bundle as JSON. Raises pydantic's ValidationError on what would be no FHIR."""
    resources = [_report(told), *_observations(told), *_studies(told), *_devices(told), *provenances(told)]
    entries = [{"fullUrl": f"urn:uuid:{resource['id']}", "resource": resource} for resource in resources]
    moment = told.drafted_at if told.version.signature is None else told.version.signature.at
    bundle = {"resourceType": "Bundle", "type": "collection", "timestamp": moment.isoformat(), "entry": entries}
    validated: Resource = json.loads(Bundle.model_validate(bundle).model_dump_json())
    return validated


def _report(told: Rendered) -> Resource:
    version = told.version
    signed = {} if version.signature is None else {"resultsInterpreter": [{"display": version.signature.by.name}]}
    latest = version.signature or version.rejection or version.reviewed
    return {
        "resourceType": "DiagnosticReport",
        "id": resource_id(told, "report"),
        "meta": {"tag": [{"system": SYSTEM, "code": "unverified", "display": version.banner}]}
        if version.banner
        else None,
        "text": {"status": "generated", "div": _narrative(told)},
        "identifier": [{"system": f"{SYSTEM}:report", "value": str(told.report_id)}],
        "status": REPORT_STATUS[version.state],
        "category": [{"coding": [{"system": f"{TERMINOLOGY}/v2-0074", "code": "RAD"}]}],
        "code": {"coding": [{"system": LOINC, "code": IMAGING_STUDY_CODE, "display": "Diagnostic imaging study"}]},
        "subject": _subject(told),
        "issued": (latest.at if latest else told.drafted_at).isoformat(),
        "imagingStudy": [reference(told, "study")],
        "result": [reference(told, one.id) for one in told.result.findings] or None,
        "conclusion": _conclusion(told),
        **signed,
    }


def _conclusion(told: Rendered) -> str:
    banner = f"{told.version.banner}. " if told.version.banner else ""
    impression = " ".join(sentence.text for sentence in told.result.impression)
    unknown = [one.finding for one in told.result.assessed if one.state == "not-assessed"]
    why = " ".join(f"{reason.sentence}." for reason in told.result.abstained)
    parts = (impression, f"Not assessed: {', '.join(unknown)}." if unknown else "", f"No draft: {why}" if why else "")
    return f"{banner}{' '.join(part for part in parts if part)}".strip() or "No impression."


def _narrative(told: Rendered) -> str:
    """Return the report in words as XHTML, without the indication."""
    order = told.result.order.model_copy(update={"indication": ""})
    plain = Rendered(**{**vars(told), "result": told.result.model_copy(update={"order": order})})
    return f'<div xmlns="http://www.w3.org/1999/xhtml"><pre>{escape(as_text(plain))}</pre></div>'


def _observations(told: Rendered) -> Iterator[Resource]:
    for one in told.result.findings:
        banner = told.version.banner
        yield {
            "resourceType": "Observation",
            "id": resource_id(told, one.id),
            "status": OBSERVATION_STATUS[told.version.state],
            "category": [{"coding": [{"system": f"{TERMINOLOGY}/observation-category", "code": "imaging"}]}],
            "code": {
                "coding": [{"system": f"{SYSTEM}:finding", "code": one.finding.replace(" ", "-")}],
                "text": one.finding,
            },
            "subject": _subject(told),
            "valueBoolean": one.present,
            "interpretation": None if one.certainty is Certainty.CERTAIN else [{"text": one.certainty.value}],
            "note": [{"text": banner}] if banner else None,
            "bodySite": {"text": f"{one.side} {one.region}" if one.side else one.region},
            "derivedFrom": [reference(told, "study")],
            "component": list(_components(one)) or None,
        }


def _components(one: Told) -> Iterator[Resource]:
    if one.box is not None:
        place = ", ".join(f"{corner:.0f}" for corner in one.box.xyxy)
        yield {
            "code": {"text": f"place of {named(one)} in picture {one.image + 1}: x0, y0, x1, y1 in pixels"},
            "valueString": place,
        }
    if one.measurement is not None:
        yield {
            "code": {"text": f"{one.measurement.quantity}, measured at: {one.measurement.source.value}"},
            "valueQuantity": {"value": one.measurement.length_mm, "unit": "mm", "system": UCUM, "code": "mm"},
        }


def _studies(told: Rendered) -> Iterator[Resource]:
    known = [one.modality for one in told.result.facts if one is not None and one.modality]
    codes = dict.fromkeys(known or [told.result.order.modality])
    uid = [{"system": "urn:dicom:uid", "value": f"urn:oid:{told.study_uid}"}] if told.study_uid else None
    yield {
        "resourceType": "ImagingStudy",
        "id": resource_id(told, "study"),
        "identifier": uid,
        "status": "available",
        "modality": [{"system": DICOM, "code": code} for code in codes if code] or None,
        "subject": _subject(told),
    }


def _devices(told: Rendered) -> Iterator[Resource]:
    for at, model in enumerate(told.models):
        yield {
            "resourceType": "Device",
            "id": resource_id(told, f"model-{at}"),
            "status": "active",
            "deviceName": [{"name": model.name, "type": "model-name"}],
            "version": [{"value": model.revision}],
            "type": {"text": "machine-learning model"},
        }


def _subject(told: Rendered) -> Resource:
    return {"type": "Patient", "identifier": {"system": f"{SYSTEM}:subject", "value": told.subject}}
