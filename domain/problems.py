"""Saying what is wrong with a document field by field, in words that name the choices."""

from typing import Any

from pydantic import BaseModel, ValidationError

from domain.texts import printable

MOST_FIELDS = 20
"""So many are told; a hostile document has a hundred thousand wrong fields, and the answer would outgrow it."""
MOST_CHARACTERS = 200
"""Of a field's name: whoever sent it chose it."""
MOST_WORDS = 1_000


def field_problems(error: ValidationError, model: type[BaseModel]) -> list[dict[str, str]]:
    """Return each field that is wrong, and how; an unknown field of the model itself is told what there is."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    told = [
        {"field": printable(field_name(each["loc"]), MOST_CHARACTERS), "problem": _said(each, model)}
        for each in found[:MOST_FIELDS]
    ]
    if len(found) > MOST_FIELDS:
        told.append({"field": "", "problem": f"and {len(found) - MOST_FIELDS} more"})
    return told


def field_name(place: tuple[int | str, ...]) -> str:
    """Return a field's name as its sender would write it: `roi.0.x`."""
    return ".".join(map(str, place))


def _said(told: Any, model: type[BaseModel]) -> str:  # noqa: ANN401  (pydantic's own mapping)
    if told["type"] == "extra_forbidden" and len(told["loc"]) == 1:
        return f"is not known here; there are: {', '.join(model.model_fields)}"
    return printable(str(told["msg"]).removeprefix("Value error, "), MOST_WORDS)
