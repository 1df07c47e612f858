"""A model's answers to many calls, in batches, as a worker would ask them. A call that fails has no answer."""

import logging
import math
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple, Self

from domain.errors import DeviceOutOfMemory, ModelError, SightlineError
from workers.models.family import Ask, DeviceLost, Model, Prepared, Told
from workers.registry import ModelSpec
from workers.training.evaluating.judged import Advance

log = logging.getLogger(__name__)

FAILED = None
"""The answer of a call on which the model failed; what was right is missed then."""

Placed = tuple[int, Prepared]
"""A call, and its place among those that were taken together."""


class Limits(NamedTuple):
    """What a batch may weigh, as `workers.batching` has it; a call that is larger is a batch of its own."""

    batch: int
    pixels: float = math.inf
    tokens: float = math.inf

    @classmethod
    def of(cls, spec: ModelSpec) -> Self:
        """Return a model's limits."""
        return cls(spec.max_batch, spec.max_pixels, spec.max_tokens)


def answers(
    model: Model, asks: Iterable[Ask | SightlineError], limits: Limits, advance: Advance = lambda: None
) -> Iterator[Any]:
    """Yield the answer to each call, in order; FAILED for one that the model cannot take or answer.

    So is what could not be asked at all: it comes as its error. Raises ModelError in the end where every one failed:
    that is no measure of anything.
    """
    stream, asked = iter(asks), 0
    errors: list[str] = []
    while some := list(islice(stream, limits.batch)):
        asked += len(some)
        for answer in _answered(model, some, limits, errors):
            advance()
            yield answer.value if isinstance(answer, Told) else answer
    if asked and len(errors) == asked:
        raise ModelError(f"the model failed on each of {asked} inputs, on the last so: {errors[-1]}")


def _answered(model: Model, asks: Sequence[Ask | SightlineError], limits: Limits, errors: list[str]) -> list[Any]:
    """Answer a few calls; only those of one group share a batch. What fails is added to `errors`."""
    groups: dict[Hashable, list[Placed]] = {}
    found: list[Any] = [FAILED] * len(asks)
    for place, ask in enumerate(asks):
        prepared = _prepared(model, ask)
        if isinstance(prepared, SightlineError):
            _note(prepared, errors)
        else:
            groups.setdefault(prepared.group, []).append((place, prepared))
    for batch in (batch for group in groups.values() for batch in _batches(group, limits)):
        answered = _run(model, [one for _, one in batch], errors)
        for (place, _), answer in zip(batch, answered, strict=True):
            found[place] = answer
    return found


def _prepared(model: Model, ask: Ask | SightlineError) -> Prepared | SightlineError:
    if isinstance(ask, SightlineError):
        return ask
    try:
        return model.prepare(ask)
    except SightlineError as error:
        return error
    except Exception as error:
        return _unexpected(error)


def _batches(group: Sequence[Placed], limits: Limits) -> Iterator[list[Placed]]:
    batch: list[Placed] = []
    pixels = tokens = 0
    for place, one in group:
        pixels, tokens = pixels + one.pixels, tokens + one.tokens
        if batch and (pixels > limits.pixels or tokens > limits.tokens):
            yield batch
            batch, pixels, tokens = [], one.pixels, one.tokens
        batch.append((place, one))
    yield batch


def _run(model: Model, prepared: Sequence[Prepared], errors: list[str]) -> Sequence[Any]:
    """Answer calls of one group; where the batch fails, its halves by themselves, so that one bad call fails alone."""
    answered = _tried(model, prepared)
    if not isinstance(answered, SightlineError):
        return answered
    if len(prepared) == 1:
        _note(answered, errors)
        return [FAILED]
    # No exception is at hand any more: its frames would hold the memory that the batch did not fit into.
    middle = len(prepared) // 2
    return [*_run(model, prepared[:middle], errors), *_run(model, prepared[middle:], errors)]


def _tried(model: Model, prepared: Sequence[Prepared]) -> Sequence[Any] | SightlineError:
    try:
        answered = model.run(prepared)
    except SightlineError as error:
        return type(error)(error.message) if isinstance(error, DeviceOutOfMemory) else error
    except MemoryError as error:
        return DeviceOutOfMemory(f"a batch of {len(prepared)} did not fit into this process's memory: {error}")
    except DeviceLost:
        raise  # nothing that is asked of it any more has an answer
    except Exception as error:
        return _unexpected(error)
    if len(answered) != len(prepared):
        return ModelError(f"the model gave {len(answered)} answers to {len(prepared)} calls")
    return answered


def _unexpected(error: Exception) -> ModelError:
    """Return what a network raised as an error of its input, as a device's thread tells it."""
    return ModelError(f"{type(error).__name__}: {error}")


def _note(error: SightlineError, errors: list[str]) -> None:
    errors.append(error.message)
    log.warning("the model failed on an input: %s", error.message, extra={"event": "evaluation.failed"})
