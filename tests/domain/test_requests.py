"""A submission as its sender writes it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidRequest
from domain.jobs import Lane
from domain.requests import MAX_METADATA_BYTES, MAX_PARAMETER_BYTES, JobRequest, parse_request

SHA256 = "ab" * 32


def test_only_the_application_is_required() -> None:
    # given nothing but a name
    # when it is parsed
    request = parse_request({"application": "inspection"})
    # then the rest has its defaults
    assert request.lane is Lane.STANDARD
    assert (request.params, request.images, request.metadata) == ({}, (), {})
    assert (request.deadline, request.not_before, request.supersede_key) == (None, None, None)


@pytest.mark.parametrize(
    ("told", "field"),
    [
        ({}, "application"),
        ({"application": ""}, "application"),
        ({"application": "x" * 65}, "application"),
        ({"application": "a", "colour": "red"}, "colour"),
        ({"application": "a", "lane": "express"}, "lane"),
        ({"application": "a", "images": ["zz"]}, "images.0"),
        ({"application": "a", "images": [SHA256.upper()]}, "images.0"),
        ({"application": "a", "images": [SHA256] * 65}, "images"),
        ({"application": "a", "deadline": "2030-01-01T00:00:00"}, "deadline"),
        ({"application": "a", "not_before": "soon"}, "not_before"),
        ({"application": "a", "supersede_key": "with space"}, "supersede_key"),
        ({"application": "a", "supersede_key": ""}, "supersede_key"),
        ({"application": "a", "supersede_key": "k" * 201}, "supersede_key"),
        ({"application": "a", "supersede_key": "ü"}, "supersede_key"),
        ({"application": "a", "params": []}, "params"),
        ({"application": "a", "params": {"x": float("nan")}}, "params"),
        ({"application": "a", "params": {"x": {"y": [float("inf")]}}}, "params"),
        ({"application": "a", "params": {"x": "nul \x00"}}, "params"),
        ({"application": "a", "metadata": {"nul \x00": 1}}, "metadata"),
        ({"application": "a", "metadata": {"x": "half \ud83d"}}, "metadata"),
        ({"application": "a", "metadata": {"x": "y" * MAX_METADATA_BYTES}}, "metadata"),
        ({"application": "a", "params": {"x": "y" * MAX_PARAMETER_BYTES}}, "params"),
        ([], ""),
        (None, ""),
        ("inspection", ""),
    ],
)
def test_what_cannot_be_a_request_is_refused_by_field(told: Any, field: str) -> None:
    # given something that is no request
    # when it is parsed
    with pytest.raises(InvalidRequest) as refused:
        parse_request(told)
    # then the error names the field, for people and for programs
    assert next(problem["field"] for problem in refused.value.details["problems"]).startswith(field)
    assert field in refused.value.message


def test_a_text_that_speaks_of_nul_holds_none() -> None:
    # given metadata with the six characters of an escape
    # when it is parsed
    # then it is taken as it is
    assert parse_request({"application": "a", "metadata": {"x": "\\u0000"}}).metadata == {"x": "\\u0000"}


def test_the_same_moment_in_another_zone_is_the_same_request() -> None:
    # given a deadline written in two zones
    here, there = (
        parse_request({"application": "a", "deadline": told})
        for told in ("2030-01-01T12:00:00+02:00", "2030-01-01T10:00:00Z")
    )
    # when they are told apart
    # then they are the same
    assert here.fingerprint() == there.fingerprint()


@pytest.mark.parametrize(
    "change",
    [
        {"application": "b"},
        {"params": {"x": 1}},
        {"images": [SHA256]},
        {"lane": "bulk"},
        {"deadline": "2030-01-01T00:00:00Z"},
        {"not_before": "2030-01-01T00:00:00Z"},
        {"supersede_key": "k"},
        {"metadata": {"x": 1}},
    ],
)
def test_every_field_counts_for_the_fingerprint(change: dict[str, Any]) -> None:
    # given two requests that differ in one field
    # when their fingerprints are compared
    # then they differ
    assert (
        parse_request({"application": "a", **change}).fingerprint() != parse_request({"application": "a"}).fingerprint()
    )


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(max_size=5).filter(lambda text: "\x00" not in text),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(params=st.dictionaries(st.text("abc", min_size=1, max_size=3), values, max_size=4))
def test_a_fingerprint_survives_the_order_of_keys_and_a_round_trip(params: dict[str, Any]) -> None:
    # given parameters of any shape that can be stored
    request = JobRequest(application="a", params=params)
    # when they come again in another order, by way of JSON
    again = parse_request(json.loads(json.dumps({"params": dict(reversed(params.items())), "application": "a"})))
    # then it is the same request
    assert again.fingerprint() == request.fingerprint()
