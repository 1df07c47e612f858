"""The revisions of trained models as somebody looks at them: each with its state, and two of them side by side."""

import json
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection

from storage.promotions import pile
from storage.revisions import Evaluation, Revision, evaluations_of, listing
from storage.shadows import Collected, Disagreement, active, collected, disagreements

COUNTED = frozenset({"calibration_lines", "sided_findings"})
"""Of what a report calls its settings: those that hang on the answers, and not on how they were judged."""


class State(StrEnum):
    """Where a revision stands."""

    PROMOTED = "promoted"
    """it is served"""
    BEFORE = "before"
    """it was promoted before the one that is: a rollback leads to it"""
    SHADOW = "shadow"
    """it is asked besides the one that is served"""
    EVALUATED = "evaluated"
    """it was measured, and can be promoted"""
    NEW = "new"
    """nothing was measured of it"""


class RevisionView(Revision):
    """A revision with what is known of it now; `promoted_at` while it is served or a rollback would lead to it."""

    state: State
    promoted_at: datetime | None
    shadow_share: float | None
    evaluations: tuple[Evaluation, ...]


class SideBySide(BaseModel):
    """The newest figures of two revisions on one labelled set at the same settings, and by how much b's are larger."""

    model_config = ConfigDict(frozen=True)

    dataset: str
    data_hash: str
    settings: Mapping[str, Any]
    """what the figures hang on: the IoU and the score at which boxes count, and the like"""
    a: Mapping[str, float]
    b: Mapping[str, float]
    differences: Mapping[str, float]
    """b less a, of the figures that both have"""


class Comparison(BaseModel):
    """Two revisions: their figures on sets that both were measured on alike, and what the shadow collected of b."""

    model_config = ConfigDict(frozen=True)

    name: str
    a: str
    b: str
    measured: tuple[SideBySide, ...]
    shadow: Collected
    """of b, beside a as it was served"""
    disagreements: tuple[Disagreement, ...]


def overview(connection: Connection, name: str | None = None) -> list[RevisionView]:
    """Return the revisions of a name, or of all names, the newest of each name first."""
    found = listing(connection, name)
    names = sorted({revision.name for revision in found})
    shares = {(one.name, one.revision): one.share for one in active(connection, names).values()}
    piles = {one: pile(connection, one) for one in names}
    views = []
    for revision in found:
        evaluations = tuple(evaluations_of(connection, revision))
        served = piles[revision.name]
        promoted_at = next((one.at for one in reversed(served) if one.revision == revision.revision), None)
        share = shares.get((revision.name, revision.revision))
        if promoted_at is not None:
            state = State.PROMOTED if served[-1].revision == revision.revision else State.BEFORE
        else:
            state = State.SHADOW if share is not None else State.EVALUATED if evaluations else State.NEW
        more = {"state": state, "promoted_at": promoted_at, "shadow_share": share, "evaluations": evaluations}
        views.append(RevisionView.model_validate({**dict(revision), **more}))
    return views


def compare(connection: Connection, a: Revision, b: Revision, most: int = 20) -> Comparison:
    """Put two revisions side by side; of the calls that they answered otherwise, the newest so many."""
    newest_a, newest_b = (_newest(connection, revision) for revision in (a, b))
    measured = [_side_by_side(one, newest_b[asked]) for asked, one in newest_a.items() if asked in newest_b]
    return Comparison(
        name=a.name,
        a=a.revision,
        b=b.revision,
        measured=tuple(measured),
        shadow=collected(connection, candidate=b, served=a),
        disagreements=tuple(disagreements(connection, candidate=b, served=a, most=most)),
    )


def _newest(connection: Connection, revision: Revision) -> dict[tuple[str, str], Evaluation]:
    """Return the newest evaluation on each labelled set at each settings, by the set's hash and by these."""
    return {
        (one.data_hash, json.dumps(_settings(one), sort_keys=True)): one
        for one in reversed(evaluations_of(connection, revision))
    }


def _settings(one: Evaluation) -> dict[str, Any]:
    told = one.report.get("settings") or {}
    return {name: value for name, value in told.items() if name not in COUNTED}


def _side_by_side(a: Evaluation, b: Evaluation) -> SideBySide:
    differences = {name: b.metrics[name] - value for name, value in a.metrics.items() if name in b.metrics}
    figures = {"a": a.metrics, "b": b.metrics, "differences": differences}
    return SideBySide(dataset=b.dataset, data_hash=b.data_hash, settings=_settings(b), **figures)
