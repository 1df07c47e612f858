"""Saying what is wrong with a document field by field, in words that name the choices."""

from typing import Any

from pydantic import BaseModel, ValidationError


def field_problems(error: ValidationError, model: type[BaseModel]) -> list[dict[str, str]]:
    """Return each field that is wrong, and how; an unknown field of the model itself is told what there is."""
    return [{"field": ".".join(map(str, told["loc"])), "problem": _said(told, model)} for told in error.errors()]


def _said(told: Any, model: type[BaseModel]) -> str:  # noqa: ANN401  (pydantic's own mapping)
    if told["type"] == "extra_forbidden" and len(told["loc"]) == 1:
        return f"is not known here; there are: {', '.join(model.model_fields)}"
    return str(told["msg"]).removeprefix("Value error, ")
