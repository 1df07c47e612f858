"""A corrected result: fields of a result replaced by what a person says, held to the application's contract."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from domain.applications.application import Application, Result
from domain.errors import InvalidRequest, ResultRefused
from domain.problems import field_problems

MAX_BODY_BYTES = 16 * 1024 * 1024
"""The largest result, as JSON. PostgreSQL refuses one of 256 MB in the words of a server that does not answer."""


def corrected(
    application: Application[Any, Any], body: Mapping[str, Any], correction: Mapping[str, Any]
) -> tuple[dict[str, Any], Result]:
    """Return a result's body with some of its fields replaced, each as a whole, and the result that it is.

    Raises InvalidRequest that names each field and what is wrong with it, also where nothing is changed.
    """
    try:
        result: Result = application.result.model_validate({**body, **correction})
        told = storable(result.model_dump(mode="json"))
    except ValidationError as error:
        problems = field_problems(error, application.result)
        said = "; ".join(f"{problem['field'] or 'correction'}: {problem['problem']}" for problem in problems)
        raise InvalidRequest(
            f"the correction makes no result of {application.name}: {said}", problems=problems
        ) from error
    except ResultRefused as error:
        raise InvalidRequest(f"the correction makes no result: {error.message}") from error
    if told == dict(body):
        raise InvalidRequest("the correction changes nothing; approve the result instead")
    return told, result


def storable(body: dict[str, Any]) -> dict[str, Any]:
    """Return a result's body if every database can store it.

    Raises ResultRefused for NaN, infinities, NUL characters, what is not JSON, and what is too large.
    """
    try:
        told = json.dumps(body, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ResultRefused(f"the result cannot be stored: {error}") from error
    if len(told) > MAX_BODY_BYTES:
        raise ResultRefused(f"the result has {len(told)} bytes as JSON; at most {MAX_BODY_BYTES} can be stored")
    if "\\u0000" in told.replace("\\\\", ""):  # an escape of its own, not behind an escaped backslash
        raise ResultRefused("the result cannot be stored: a text holds a NUL character")
    return body
