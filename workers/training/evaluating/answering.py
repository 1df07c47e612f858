"""A model's answers to many calls, in batches, as a worker would ask them. A call that fails has no answer."""

import logging
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from domain.errors import ModelError
from workers.models.family import Ask, Model, Prepared, Told
from workers.training.evaluating.judged import Advance

log = logging.getLogger(__name__)

FAILED = None
"""The answer of a call on which the model failed; what was right is missed then."""


def answers(model: Model, asks: Iterable[Ask], batch: int, advance: Advance = lambda: None) -> Iterator[Any]:
    """Yield the answer to each call, in order; FAILED for one that the model cannot take or answer (ModelError).

    Raises ModelError in the end where it failed on every one: that is no measure of anything.
    """
    stream, asked = iter(asks), 0
    errors: list[ModelError] = []
    while some := list(islice(stream, batch)):
        asked += len(some)
        for answer in _batch(model, some, errors):
            advance()
            yield answer.value if isinstance(answer, Told) else answer
    if asked and len(errors) == asked:
        raise ModelError(f"the model failed on each of {asked} inputs, on the last so: {errors[-1].message}")


def _batch(model: Model, asks: Sequence[Ask], errors: list[ModelError]) -> list[Any]:
    """Answer a few calls; only those of one group share a batch. What fails is added to `errors`."""
    groups: dict[Hashable, list[tuple[int, Prepared]]] = {}
    found: list[Any] = [FAILED] * len(asks)
    for place, ask in enumerate(asks):
        try:
            prepared = model.prepare(ask)
        except ModelError as error:
            _note(error, errors)
        else:
            groups.setdefault(prepared.group, []).append((place, prepared))
    for group in groups.values():
        answered = _run(model, [one for _, one in group], errors)
        for (place, _), answer in zip(group, answered, strict=True):
            found[place] = answer
    return found


def _run(model: Model, prepared: Sequence[Prepared], errors: list[ModelError]) -> Sequence[Any]:
    """Answer calls of one group; where the batch fails, each by itself, so that one bad call fails alone."""
    try:
        return model.run(prepared)
    except ModelError as error:
        if len(prepared) == 1:
            _note(error, errors)
            return [FAILED]
    return [answer for one in prepared for answer in _run(model, [one], errors)]


def _note(error: ModelError, errors: list[ModelError]) -> None:
    errors.append(error)
    log.warning("the model failed on an input: %s", error.message, extra={"event": "evaluation.failed"})
