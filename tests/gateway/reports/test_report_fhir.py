"""Reports as FHIR: valid, with the status of their state, and nobody's name but the signer's."""

import json
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.diagnosticreport import DiagnosticReport

from domain.reports import UNVERIFIED
from gateway.reports.fhir import as_fhir
from tests.gateway.reports.conftest import ACCESSION, CLINICIAN, STATES, SUBJECT, Render

STATUSES = {
    "draft": ("partial", "preliminary"),
    "reviewed": ("preliminary", "preliminary"),
    "signed": ("final", "final"),
    "amended": ("amended", "amended"),
    "rejected": ("cancelled", "cancelled"),
}


def resources(bundle: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [one["resource"] for one in bundle["entry"] if one["resource"]["resourceType"] == kind]


@pytest.mark.parametrize("state", STATES)
def test_a_report_is_a_valid_bundle_with_the_status_of_its_state(rendered: Render, state: str) -> None:
    bundle = as_fhir(rendered(state))

    read = Bundle.model_validate_json(json.dumps(bundle))
    assert isinstance(read.entry[0].resource, DiagnosticReport)
    (report,) = resources(bundle, "DiagnosticReport")
    assert report["status"] == STATUSES[state][0]
    assert {one["status"] for one in resources(bundle, "Observation")} == {STATUSES[state][1]}


@pytest.mark.parametrize("state", STATES)
def test_the_banner_is_in_the_report_its_words_and_each_observation_until_it_is_signed(
    rendered: Render, state: str
) -> None:
    bundle = as_fhir(rendered(state))
    (report,) = resources(bundle, "DiagnosticReport")
    places = [report["conclusion"], report["text"]["div"], json.dumps(report.get("meta", {}))]
    places += [json.dumps(one.get("note", [])) for one in resources(bundle, "Observation")]

    if state in {"signed", "amended"}:
        assert UNVERIFIED not in json.dumps(bundle)
    else:
        assert all(UNVERIFIED in place for place in places)


def test_every_reference_leads_to_a_resource_of_the_bundle(rendered: Render) -> None:
    bundle = as_fhir(rendered("signed"))
    urls = {one["fullUrl"] for one in bundle["entry"]}

    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["reference"]] if "reference" in value else []
            return own + [found for each in value.values() for found in references(each)]
        return [found for each in value for found in references(each)] if isinstance(value, list) else []

    assert len(urls) == len(bundle["entry"])
    assert set(references(bundle)) <= urls
    assert len(references(bundle)) >= 6


def test_findings_are_observations_with_their_place_and_size(rendered: Render) -> None:
    seen, absent = resources(as_fhir(rendered("draft")), "Observation")

    assert (seen["valueBoolean"], absent["valueBoolean"]) == (True, False)
    assert seen["interpretation"] == [{"text": "probable"}]
    place, width = seen["component"]
    assert place["valueString"] == "60, 100, 140, 170"
    assert (width["valueQuantity"]["value"], width["valueQuantity"]["code"]) == (160, "mm")
    assert "component" not in absent


def test_the_model_made_it_and_the_signer_answers_for_it(rendered: Render) -> None:
    bundle = as_fhir(rendered("signed"))
    (device,) = resources(bundle, "Device")
    by = {one["activity"]["text"]: one for one in resources(bundle, "Provenance")}

    assert device["deviceName"] == [{"name": "vlm", "type": "model-name"}]
    assert device["version"] == [{"value": "sha256:1fb0"}]
    assert by["drafted"]["agent"][0]["who"]["reference"] == f"urn:uuid:{device['id']}"
    assert by["signed"]["agent"][0]["who"]["display"] == CLINICIAN
    assert by["signed"]["entity"][0]["what"]["identifier"]["value"] == rendered("signed").version.content_hash


def test_an_amendment_points_back_to_the_report_that_it_replaces(rendered: Render) -> None:
    amended, first = as_fhir(rendered("amended")), as_fhir(rendered("amended", 1))
    (old,) = resources(first, "DiagnosticReport")
    (new,) = resources(amended, "DiagnosticReport")
    signed = next(one for one in resources(amended, "Provenance") if one["activity"]["text"] == "signed")

    assert signed["entity"][1] == {"role": "revision", "what": {"reference": f"urn:uuid:{old['id']}"}}
    assert old["id"] != new["id"]
    assert old["identifier"] == new["identifier"]
    assert old["status"] == "final"


@pytest.mark.parametrize("state", STATES)
def test_the_patient_is_a_pseudonym_and_what_the_sender_wrote_is_not_in_it(rendered: Render, state: str) -> None:
    bundle = as_fhir(rendered(state))

    assert resources(bundle, "Patient") == []
    (report,) = resources(bundle, "DiagnosticReport")
    assert report["subject"]["identifier"]["value"] == SUBJECT
    assert ACCESSION not in json.dumps(bundle)
    assert "short of breath" not in json.dumps(bundle)
