"""A submission as its sender writes it: the same whether it comes by HTTP, by Celery or from the command."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    JsonValue,
    TypeAdapter,
    ValidationError,
)

from domain.errors import InvalidRequest
from domain.jobs import Lane
from domain.problems import field_problems

MAX_METADATA_BYTES = 16 * 1024
MAX_PARAMETER_BYTES = 256 * 1024

Key = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$")]
"""A key that a sender chooses: printable ASCII without spaces."""

_KEY: TypeAdapter[str] = TypeAdapter(Key)


def _small(limit: int) -> Any:  # noqa: ANN401  (an annotation's marker)
    def check(value: dict[str, Any]) -> dict[str, Any]:
        size = len(json.dumps(value))
        if size > limit:
            raise ValueError(f"{size} bytes of JSON are more than the {limit} allowed")
        if "\\u0000" in json.dumps(value).replace("\\\\", ""):  # an escape of its own, not behind an escaped backslash
            raise ValueError("a NUL character cannot be stored")
        try:
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        except ValueError as error:
            raise ValueError("NaN, infinity and half of a surrogate pair are not JSON that can be stored") from error
        return value

    return AfterValidator(check)


def _representable(value: datetime) -> datetime:
    """Refuse the first and the last day there is: in another time zone they lie outside what can be written down."""
    try:
        value.astimezone(UTC) - timedelta(days=1), value.astimezone(UTC) + timedelta(days=1)
    except OverflowError as error:
        raise ValueError("a moment lies between the years 1 and 9999, in every time zone") from error
    return value


Moment = Annotated[AwareDatetime, AfterValidator(_representable)]


class JobRequest(BaseModel):
    """What is asked for. Only `application` is required."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    application: Annotated[str, Field(min_length=1, max_length=64)]
    params: Annotated[dict[str, JsonValue], _small(MAX_PARAMETER_BYTES)] = Field(default_factory=dict)
    images: Annotated[tuple[Annotated[str, Field(pattern="^[0-9a-f]{64}$")], ...], FailFast()] = Field(
        default=(), max_length=64, description="SHA-256 of images already stored"
    )
    lane: Lane = Lane.STANDARD
    deadline: Moment | None = None
    not_before: Moment | None = None
    supersede_key: Key | None = None
    metadata: Annotated[dict[str, JsonValue], _small(MAX_METADATA_BYTES)] = Field(default_factory=dict)

    def fingerprint(self) -> str:
        """Return a SHA-256 of the whole request, by which a repeated idempotency key is told from a reused one."""
        told = self.model_dump(mode="json")
        for field in ("deadline", "not_before"):
            moment: datetime | None = getattr(self, field)
            told[field] = moment.astimezone(UTC).isoformat() if moment else None
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def parse_key(value: Any) -> str:  # noqa: ANN401  (whatever came)
    """Validate an idempotency key.

    Raises InvalidRequest.
    """
    try:
        return _KEY.validate_python(value)
    except ValidationError as error:
        said = repr(value[:40]) if isinstance(value, str) else type(value).__name__
        raise InvalidRequest(
            f"an idempotency_key has 1 to 200 printable ASCII characters and no spaces, not {said}"
        ) from error


def parse_request(told: Any) -> JobRequest:  # noqa: ANN401  (whatever JSON came)
    """Validate a submission.

    Raises InvalidRequest that names each field and what is wrong with it.
    """
    try:
        return JobRequest.model_validate(told)
    except ValidationError as error:
        problems = field_problems(error, JobRequest)
        said = "; ".join(f"{problem['field'] or 'request'}: {problem['problem']}" for problem in problems)
        raise InvalidRequest(said, problems=problems) from error
