"""A schema says what a model can be held to, or is refused; an answer is checked as the standard says."""

import json
from enum import StrEnum
from typing import Any, Literal

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from domain.errors import InvalidRequest
from domain.schemas import MOST_BYTES, MOST_DEEP, closed, parsed

TEXTS = st.text("ab\u00e9", max_size=3)
WHOLE = st.integers(-3, 3)
PLAIN = st.none() | st.booleans() | WHOLE | TEXTS


@st.composite
def numbers(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    lowest, size = draw(WHOLE), draw(st.integers(2, 4))
    low, high = (
        draw(st.sampled_from(["minimum", "exclusiveMinimum"])),
        draw(st.sampled_from(["maximum", "exclusiveMaximum"])),
    )
    return {"type": kind, **draw(st.sampled_from([{}, {low: lowest}, {low: lowest, high: lowest + size}]))}


@st.composite
def sized(draw: st.DrawFn, of: str, kind: str, **more: Any) -> dict[str, Any]:
    least, size = draw(st.integers(0, 2)), draw(st.integers(0, 2))
    bounds = [{}, {f"min{of}": least}, {f"min{of}": least, f"max{of}": least + size}]
    return {"type": kind, **more, **draw(st.sampled_from(bounds))}


def objects(parts: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    named = st.dictionaries(st.sampled_from("xyz"), parts, max_size=3)
    return named.flatmap(
        lambda properties: st.lists(st.sampled_from(sorted(properties) or ["x"]), unique=True).map(
            lambda required: {
                "type": "object",
                "properties": properties,
                "required": required if properties else [],
                "additionalProperties": False,
            }
        )
    )


SCHEMAS = st.recursive(
    st.one_of(
        st.sampled_from([{"type": "boolean"}, {"type": "null"}]),
        numbers("integer"),
        numbers("number"),
        sized("Length", "string"),
        st.lists(PLAIN, min_size=1, max_size=3).map(lambda values: {"enum": values}),
        PLAIN.map(lambda value: {"const": value}),
    ),
    lambda parts: st.one_of(
        objects(parts),
        parts.flatmap(lambda part: sized("Items", "array", items=part)),
        st.lists(parts, min_size=1, max_size=2).map(lambda choices: {"anyOf": choices}),
    ),
    max_leaves=6,
)
VALUES = st.recursive(
    PLAIN | st.floats(-3, 3),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.sampled_from("xyz"), parts, max_size=3),
    max_leaves=5,
)


@given(SCHEMAS, VALUES)
def test_an_answer_is_right_where_the_standard_says_so(schema: dict[str, Any], value: Any) -> None:
    right = jsonschema.Draft202012Validator(schema).is_valid(value)

    try:
        found = parsed(json.dumps(value), closed(schema))
    except ValueError:
        assert not right
    else:
        assert right
        assert found == value


@given(SCHEMAS)
def test_a_closed_schema_is_closed_already(schema: dict[str, Any]) -> None:
    once = closed(schema)

    assert closed(once) == once
    jsonschema.Draft202012Validator.check_schema(once)


class Kind(StrEnum):
    DENT = "dent"
    SCRATCH = "scratch"


class Flaw(BaseModel):
    """A flaw."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    sides: tuple[Literal["left", "right"], ...] = Field(max_length=2)
    depth_mm: float | None = Field(default=None, ge=0, lt=5)


class Plate(BaseModel):
    flaws: list[Flaw] = Field(max_length=3)
    worst: Flaw | None
    sound: bool


def test_what_pydantic_writes_of_a_model_is_a_schema_whose_answers_it_reads() -> None:
    schema = closed(Plate.model_json_schema())
    text = '{"flaws": [{"kind": "dent", "sides": ["left"], "depth_mm": 0.5}], "worst": null, "sound": false}'

    parsed(text, schema)

    assert Plate.model_validate_json(text).flaws[0].kind is Kind.DENT
    assert "$defs" not in schema
    with pytest.raises(ValueError, match=r"it\.flaws\[0\] is none of|it\.flaws\[0\]\.kind is none of \['dent'"):
        parsed(text.replace("dent", "hole"), schema)


def nested(times: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "null"}
    for _ in range(times):
        schema = {"type": "array", "items": schema}
    return schema


DOUBLING = {
    "$ref": "#/$defs/p0",
    "$defs": {
        **{f"p{at}": {"anyOf": [{"$ref": f"#/$defs/p{at + 1}"}] * 40} for at in range(3)},
        "p3": {"type": "null"},
    },
}
SPREAD = {
    "type": "object",
    "properties": {f"p{at}": {"$ref": "#/$defs/long"} for at in range(20)},
    "$defs": {"long": {"enum": ["x" * 1000]}},
}
REFUSED: list[tuple[Any, str]] = [
    ({}, "schema.type is one of object, array"),
    ({"type": "any"}, "not 'any'"),
    ({"type": ["string", "null"]}, "`anyOf` allows several"),
    ({"type": "string", "pattern": "a+"}, "schema.pattern is nothing that an answer is held to"),
    ({"type": "string", "maximum": 3}, "schema.maximum is nothing"),
    ({"type": "array"}, "schema.items is an object that says"),
    ({"type": "array", "items": True}, "schema.items is an object that says"),
    ({"type": "object", "additionalProperties": True}, "answers the named properties only"),
    ({"type": "object", "properties": {"a": {"type": "null"}}, "required": ["b"]}, "names 'b', which is none"),
    ({"type": "object", "required": [[]]}, "a list `required` of names"),
    ({"type": "object", "properties": []}, "`properties` by name"),
    ({"type": "object", "properties": {"a": {"type": "a"}}}, r"schema\.properties\.a\.type"),
    ({"enum": []}, "not an empty one"),
    ({"enum": [[1]]}, r"not of \[1\]"),
    ({"enum": [1, "a"], "type": "string"}, "has 1, which is no 'string'"),
    ({"enum": [1], "type": {}}, "has 1, which is no"),
    ({"enum": [1], "const": 1}, "not both"),
    ({"anyOf": []}, "not an empty one"),
    ({"anyOf": [{"type": "null"}], "minLength": 3}, "schema.minLength is nothing"),
    ({"type": "integer", "minimum": 0.5}, "a whole number from -1000000000000000 to 1000000000000000, not 0.5"),
    ({"type": "integer", "minimum": True}, "not True"),
    ({"type": "string", "maxLength": -1}, "a whole number from 0 to 10000, not -1"),
    ({"type": "array", "items": {"type": "null"}, "minItems": 10**6}, "from 0 to 10000"),
    ({"type": "number", "maximum": 1e300}, "a number from"),
    ({"type": "integer", "minimum": 3, "maximum": 2}, "nothing between"),
    ({"type": "integer", "exclusiveMinimum": 2, "exclusiveMaximum": 3}, "nothing between"),
    ({"type": "number", "exclusiveMinimum": 2, "maximum": 2}, "nothing between"),
    ({"$ref": "https://example.com/schema"}, "none of the schema's own"),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/a"}}}}, "'a' holds itself"),
    ({"$ref": "#/$defs/a", "$defs": []}, "schemas by name"),
    (DOUBLING, "500 schemas in one"),
    (nested(MOST_DEEP), f"{MOST_DEEP} within one another"),
    ({"enum": ["x" * MOST_BYTES]}, f"more than {MOST_BYTES}"),
    (SPREAD, f"references put in place has 2.... bytes of JSON, more than {MOST_BYTES}"),
    ({"enum": [float("nan")]}, "no JSON"),
    ({"enum": ["\ud800"]}, "the schema is no JSON"),
    ({"const": 10**400}, "has a number beyond"),
    ({"enum": [-1e300]}, "has a number beyond"),
    ({"enum": [{1, 2}]}, "no JSON"),
]


@pytest.mark.parametrize(("schema", "told"), REFUSED, ids=[told for _, told in REFUSED])
def test_what_no_model_is_held_to_is_refused_with_its_place(schema: Any, told: str) -> None:
    with pytest.raises(InvalidRequest, match=told):
        closed(schema)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"a": 1', "it is no JSON"),
        ("NaN", "NaN is no number"),
        ("1e999", "too large a number"),
        ('"\\ud800"', "it is no JSON"),
        ("[" * 100_000, "nested too deep|it is no JSON"),
        ("9" * 10_000, "it is no JSON"),
        ("```json\n1\n```", "it is no JSON"),
    ],
)
def test_what_is_no_json_is_told_so(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parsed(text, closed({"anyOf": [{"type": "number"}, {"type": "string"}]}))
