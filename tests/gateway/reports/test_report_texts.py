"""Reports as text, JSON and PDF: complete, and unverified until they are signed, on every page."""

import json
import re

import pytest

from domain.applications.reporting.result import ReportingResult
from domain.errors import NotFound
from domain.reports import UNVERIFIED, content_hash
from gateway.reports.document import as_json
from gateway.reports.pdf import as_pdf
from gateway.reports.text import as_text
from tests.gateway.reports.conftest import ACCESSION, CLINICIAN, STATES, SUBJECT, Render

UNSIGNED = ("draft", "reviewed", "rejected")
SIGNED = ("signed", "amended")


def pages(pdf: bytes) -> list[str]:
    """The texts of a PDF's pages, in the fonts that every reader has, from their uncompressed contents."""
    assert pdf.startswith(b"%PDF-")
    streams = re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL)
    contents = [stream.decode("latin-1") for stream in streams if b" Tf" in stream]
    return [" ".join(re.findall(r"\((.*?[^\\])\) Tj", page)) for page in contents]


@pytest.mark.parametrize("state", UNSIGNED)
def test_text_of_what_is_not_signed_begins_and_ends_with_the_banner(rendered: Render, state: str) -> None:
    lines = as_text(rendered(state)).strip().splitlines()

    assert (lines[0], lines[-1]) == (UNVERIFIED, UNVERIFIED)


@pytest.mark.parametrize("state", SIGNED)
def test_text_of_what_is_signed_names_who_signed_and_bears_no_banner(rendered: Render, state: str) -> None:
    text = as_text(rendered(state))

    assert UNVERIFIED not in text
    assert f"Signed by {CLINICIAN}, 2026-03-01T12:00:00+00:00" in text
    assert rendered(state).version.content_hash in text


def test_text_has_each_sentence_with_its_evidence(rendered: Render) -> None:
    text = as_text(rendered("draft"))

    assert "  No pneumothorax. [f2: answered no, 0.80]" in text
    assert "Probable cardiomegaly, 160 mm wide. [f1: picture 1, x 60 to 140, y 100 to 170, score 0.80]" in text
    assert "side-1: the sides differ. To be resolved before signing." in text
    assert "1 statement of the model was removed" in text
    assert "Not assessed\n  nodule" in text


def test_a_resolved_discrepancy_is_shown_with_who_resolved_it(rendered: Render) -> None:
    assert f"Resolved by {CLINICIAN}: the marker is wrong" in as_text(rendered("signed"))


def test_what_a_sender_wrote_cannot_look_like_a_signature(rendered: Render) -> None:
    lines = as_text(rendered("draft")).splitlines()

    assert "  short of breath Signed by Somebody" in lines
    assert not any(line.strip().startswith("Signed by") for line in lines)


def test_a_version_that_was_amended_says_what_stands_in_its_place(rendered: Render) -> None:
    assert "Superseded: version 2 stands in its place" in as_text(rendered("amended", 1))
    assert "Amends version 1" in as_text(rendered("amended", 2))
    assert "Superseded" not in as_text(rendered("amended", 2))


@pytest.mark.parametrize("state", STATES)
def test_json_has_the_state_the_banner_and_the_content_that_was_hashed(rendered: Render, state: str) -> None:
    told = json.loads(json.dumps(as_json(rendered(state))))

    assert told["state"] == state
    assert told["banner"] == (UNVERIFIED if state in UNSIGNED else None)
    assert content_hash(told["content"]) == told["content_hash"]
    assert ReportingResult.model_validate(told["content"]).findings[0].finding == "cardiomegaly"
    assert (told["signature"] is not None) == (state in SIGNED)


@pytest.mark.parametrize("state", UNSIGNED)
def test_every_page_of_an_unsigned_pdf_says_so_above_and_below(rendered: Render, state: str) -> None:
    long = rendered(state)
    order = long.result.order.model_copy(update={"indication": "cough " * 1500})
    longer = long.__class__(**{**vars(long), "result": long.result.model_copy(update={"order": order})})

    for told, least in ((long, 1), (longer, 2)):
        found = pages(as_pdf(told))
        assert len(found) >= least
        assert all(page.count(UNVERIFIED) == 2 for page in found)


@pytest.mark.parametrize("state", SIGNED)
def test_a_signed_pdf_bears_no_banner(rendered: Render, state: str) -> None:
    found = pages(as_pdf(rendered(state)))

    assert found
    assert UNVERIFIED not in " ".join(found)


def test_a_pdf_has_the_sentences_of_the_report(rendered: Render) -> None:
    told = " ".join(pages(as_pdf(rendered("draft"))))

    for words in ("No pneumothorax.", "Probable cardiomegaly, 160 mm wide.", SUBJECT, "Impression", "sha256:1fb0"):
        assert words in told


def test_the_same_report_is_the_same_pdf(rendered: Render) -> None:
    assert as_pdf(rendered("signed")) == as_pdf(rendered("signed"))


@pytest.mark.parametrize("state", STATES)
def test_no_rendering_has_the_accession_number(rendered: Render, state: str) -> None:
    told = rendered(state)

    for text in (as_text(told), json.dumps(as_json(told)), " ".join(pages(as_pdf(told)))):
        assert ACCESSION not in text


def test_a_version_that_is_not_there_is_not_found(rendered: Render) -> None:
    with pytest.raises(NotFound, match="versions 1 to 1"):
        rendered("draft", 2)
