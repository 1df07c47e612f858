"""JSON Schema for closed answers: what a schema may say, and whether a text is JSON of it.

Models are held to a part of JSON Schema (draft 2020-12) that all that decode by a schema agree on: `type` (one),
`properties`, `required`, `items`, `enum` and `const` of plain values, `anyOf`, bounds of numbers, texts and lists, and
`$ref` into the schema's own `$defs`, as `model_json_schema` of pydantic writes it. Whatever else a schema says is an
error, never passed over. Objects are closed: a property that is not named is not answered.
"""

import json
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, cast

from pydantic import JsonValue

from domain.errors import InvalidRequest

Schema = dict[str, Any]

MOST_BYTES = 16 * 1024
"""of a schema as JSON, as it came and with references put in place"""
MOST_DEEP = 16
"""so many schemas lie within one another"""
MOST_PARTS = 500
"""so many schemas are in one, with references put in place"""
FARTHEST = 10**15
"""from 0, of a bound or a choice that is a number: further away JSON's numbers are not exact"""
LONGEST = 10_000
"""characters or items that a bound may speak of; no answer is as long"""
TAKES: Mapping[str, tuple[str, ...]] = {
    "object": ("properties", "required", "additionalProperties"),
    "array": ("items", "minItems", "maxItems"),
    "string": ("minLength", "maxLength"),
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    "boolean": (),
    "null": (),
}
KINDS: Mapping[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": int | float,
    "null": type(None),
}
TOLD = ("title", "description")
"""What a model may read of a schema besides."""
PASSED_OVER = ("default", "examples", "$schema", "$defs")
REFERENCE = "#/$defs/"
OUTSIDE: Mapping[str, Callable[[Any, Any], bool]] = {
    "minLength": operator.lt,
    "maxLength": operator.gt,
    "minItems": operator.lt,
    "maxItems": operator.gt,
    "minimum": operator.lt,
    "maximum": operator.gt,
    "exclusiveMinimum": operator.le,
    "exclusiveMaximum": operator.ge,
}
"""What a size or a number is where it lies outside of a bound."""


def closed(schema: Mapping[str, Any]) -> Schema:
    """Return a schema with its references put in place and its objects closed.

    Raises InvalidRequest where it says what no model is held to here, contradicts itself, or is too large.
    """
    _bounded(schema, "the schema")
    found = _Reading(schema.get("$defs")).part(schema, "schema")
    _bounded(found, "the schema with its references put in place")
    return found


def parsed(text: str, schema: Schema) -> JsonValue:
    """Return what a text says in JSON. Raises ValueError where it is none, or none of a closed schema."""
    try:
        value = json.loads(text, parse_constant=_no_number, parse_float=_finite)
        json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except RecursionError as error:
        raise ValueError("its JSON is nested too deep") from error
    except ValueError as error:
        raise ValueError(f"it is no JSON: {error}") from error
    if wrong := _difference(value, schema, "it"):
        raise ValueError(wrong)
    return cast("JsonValue", value)


class _Reading:
    """Reads one schema. `place` says where in it, for whoever wrote it."""

    def __init__(self, named: Any) -> None:  # noqa: ANN401  (whatever JSON came)
        if named is not None and not isinstance(named, Mapping):
            _refuse("schema.$defs", "is an object of schemas by name")
        self._named: Mapping[str, Any] = named or {}
        self._left = MOST_PARTS

    def part(self, told: Any, place: str, within: tuple[str, ...] = (), deep: int = 0) -> Schema:  # noqa: ANN401
        """Return a schema of the schema, closed; `within` are the names that it is referred to by."""
        self._left, deep = self._left - 1, deep + 1
        if self._left < 0 or deep > MOST_DEEP:
            _refuse(place, f"is too much: {MOST_PARTS} schemas in one, {MOST_DEEP} within one another are the most")
        if not isinstance(told, Mapping):
            _refuse(place, "is an object that says what is wanted")
        kept = {name: told[name] for name in TOLD if isinstance(told.get(name), str)}
        return {**self._held(told, place, within, deep), **kept}

    def _held(self, told: Mapping[str, Any], place: str, within: tuple[str, ...], deep: int) -> Schema:
        if "$ref" in told:
            return self._referred(told, place, within, deep)
        if "anyOf" in told:
            _knows(told, place, ("anyOf",))
            choices = _listed(told["anyOf"], f"{place}.anyOf")
            return {"anyOf": [self.part(one, f"{place}.anyOf.{at}", within, deep) for at, one in enumerate(choices)]}
        if "enum" in told or "const" in told:
            return {"enum": _choices(told, place)}
        kind = told.get("type")
        if not isinstance(kind, str) or kind not in TAKES:
            _refuse(f"{place}.type", f"is one of {', '.join(TAKES)}, not {kind!r}; `anyOf` allows several")
        _knows(told, place, ("type", *TAKES[kind]))
        if kind == "object":
            return {"type": kind, **self._object(told, place, within, deep)}
        found = _bounds({name: told[name] for name in TAKES[kind] if name in told and name != "items"}, kind, place)
        if kind == "array":
            found["items"] = self.part(told.get("items"), f"{place}.items", within, deep)
        return {"type": kind, **found}

    def _referred(self, told: Mapping[str, Any], place: str, within: tuple[str, ...], deep: int) -> Schema:
        _knows(told, place, ("$ref",))
        name = str(told["$ref"]).removeprefix(REFERENCE)
        if name not in self._named or told["$ref"] != REFERENCE + name:
            _refuse(f"{place}.$ref", f"{told['$ref']!r} is none of the schema's own `$defs`")
        if name in within:
            _refuse(f"{place}.$ref", f"{name!r} holds itself: an answer could go on for ever")
        return self.part(self._named[name], f"$defs.{name}", (*within, name), deep)

    def _object(self, told: Mapping[str, Any], place: str, within: tuple[str, ...], deep: int) -> Schema:
        properties, required = told.get("properties", {}), told.get("required", [])
        if told.get("additionalProperties", False) is not False:
            _refuse(f"{place}.additionalProperties", "is false or left out: a model answers the named properties only")
        if not (isinstance(properties, Mapping) and isinstance(required, list) and all(map(_is_text, required))):
            _refuse(place, "has `properties` by name and a list `required` of names")
        if missing := [name for name in required if name not in properties]:
            _refuse(f"{place}.required", f"names {missing[0]!r}, which is none of the properties")
        parts = {name: self.part(one, f"{place}.properties.{name}", within, deep) for name, one in properties.items()}
        return {"properties": parts, "required": list(dict.fromkeys(required)), "additionalProperties": False}


def _bounded(schema: Mapping[str, Any], what: str) -> None:
    try:
        size = len(json.dumps(schema, allow_nan=False, ensure_ascii=False).encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"{what} is no JSON: {error}") from error
    if size > MOST_BYTES:
        raise InvalidRequest(f"{what} has {size} bytes of JSON, more than {MOST_BYTES}")


def _refuse(place: str, why: str) -> NoReturn:
    raise InvalidRequest(f"{place} {why}")


def _knows(told: Mapping[str, Any], place: str, known: tuple[str, ...]) -> None:
    for name in told:
        if name not in (*known, *TOLD, *PASSED_OVER):
            _refuse(f"{place}.{name}", f"is nothing that an answer is held to here; there are {', '.join(known)}")


def _listed(told: Any, place: str) -> list[Any]:  # noqa: ANN401
    if not isinstance(told, list) or not told:
        _refuse(place, "is a list, and not an empty one")
    return told


def _choices(told: Mapping[str, Any], place: str) -> list[Any]:
    _knows(told, place, ("enum", "const", "type"))
    if "enum" in told and "const" in told:
        _refuse(place, "has `enum` or `const`, not both")
    choices = _listed(told["enum"], f"{place}.enum") if "enum" in told else [told["const"]]
    kind = told.get("type")
    for one in choices:
        if isinstance(one, list | dict):
            _refuse(f"{place}.enum", f"is of texts, numbers, true, false and null, not of {one!r}")
        if isinstance(one, int | float) and abs(one) > FARTHEST:
            _refuse(f"{place}.enum", f"has a number beyond {FARTHEST} from 0, which is not exact; take a text")
        if kind is not None and not (_is_text(kind) and _is(one, kind)):
            _refuse(f"{place}.enum", f"has {one!r}, which is no {kind!r}")
    return choices


def _bounds(told: Mapping[str, Any], kind: str, place: str) -> Schema:
    """Return bounds, whole numbers as such. Refuses those that are none, or that nothing lies between."""
    whole = kind != "number"
    first, last = (0, LONGEST) if kind in {"array", "string"} else (-FARTHEST, FARTHEST)
    for name, bound in told.items():
        if not _is(bound, "integer" if whole else "number") or not first <= bound <= last:
            _refuse(f"{place}.{name}", f"is a {'whole ' if whole else ''}number from {first} to {last}, not {bound!r}")
    found = {name: int(bound) if whole else bound for name, bound in told.items()}
    step = 1 if kind == "integer" else 0
    least = [found[name] for name in ("minimum", "minLength", "minItems") if name in found]
    most = [found[name] for name in ("maximum", "maxLength", "maxItems") if name in found]
    least += [found["exclusiveMinimum"] + step] if "exclusiveMinimum" in found else []
    most += [found["exclusiveMaximum"] - step] if "exclusiveMaximum" in found else []
    open_ended = not whole and bool({"exclusiveMinimum", "exclusiveMaximum"} & set(found))
    if least and most and (max(least) > min(most) or (open_ended and max(least) == min(most))):
        _refuse(place, f"leaves nothing between its bounds {found}")
    return found


def _is(value: Any, kind: str) -> bool:  # noqa: ANN401
    """Say whether a value of JSON is of a type; 2.0 is an integer, true is none."""
    if isinstance(value, bool):
        return kind == "boolean"
    if isinstance(value, float) and kind == "integer":
        return value.is_integer()
    return kind in KINDS and isinstance(value, KINDS[kind])


def _is_text(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, str)


def _difference(value: Any, schema: Schema, place: str) -> str | None:  # noqa: ANN401
    """Say how a value differs from what a closed schema wants; None where it does not."""
    if "anyOf" in schema:
        fits = any(_difference(value, one, place) is None for one in schema["anyOf"])
        return None if fits else f"{place} is none of what `anyOf` allows"
    if "enum" in schema:
        same = any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in schema["enum"])
        return None if same else f"{place} is none of {schema['enum']}"
    kind = schema["type"]
    if not _is(value, kind):
        return f"{place} is no {kind}"
    if kind == "object":
        return _difference_of_object(value, schema, place)
    size = len(value) if kind in {"array", "string"} else value
    if wrong := next((name for name in schema if name in OUTSIDE and OUTSIDE[name](size, schema[name])), None):
        return f"{place} is not within {wrong} {schema[wrong]}"
    each = enumerate(value) if kind == "array" else ()
    return next((wrong for at, one in each if (wrong := _difference(one, schema["items"], f"{place}[{at}]"))), None)


def _difference_of_object(value: Mapping[str, Any], schema: Schema, place: str) -> str | None:
    parts = schema["properties"]
    if missing := [name for name in schema["required"] if name not in value]:
        return f"{place} lacks {missing[0]!r}"
    if foreign := [name for name in value if name not in parts]:
        return f"{place} has {foreign[0]!r}, which is not asked for"
    wrong = (_difference(one, parts[name], f"{place}.{name}") for name, one in value.items())
    return next((each for each in wrong if each), None)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:20]} is too large a number")
    return value
