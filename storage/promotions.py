"""Which revision of a trained model is served, and how that came about.

The history is only added to; its newest row says what is served now. A promotion goes onto a pile, a rollback takes one
off it: so one rollback after another leads back through what was promoted, whatever was rolled back in between.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, delete, func, insert, select

from domain.errors import Conflict
from storage.clock import moment
from storage.revision_tables import model_promotions as promotions
from storage.revision_tables import model_revisions as revisions
from storage.revision_tables import model_shadows as shadows
from storage.revisions import Revision, evaluations_of, exactly, find

PROMOTED = "promoted"
"""What stands in place of a revision where the promoted one is meant."""


class Kind(StrEnum):
    """What was done."""

    PROMOTE = "promote"
    ROLLBACK = "rollback"


class Why(BaseModel):
    """Who changes what is served, and for what reason."""

    model_config = ConfigDict(frozen=True)

    by: str = Field(min_length=1, max_length=200)
    because: str = Field(default="", max_length=1000)


class Promotion(Why):
    """One change of what is served: `revision` since then, `before` until then."""

    name: str
    revision: str
    before: str | None
    kind: Kind
    at: datetime


class Piled(NamedTuple):
    """A revision on the pile of what was promoted, and when it came onto it."""

    revision: str
    at: datetime


def promote(connection: Connection, revision: Revision, why: Why) -> Promotion:
    """Have a revision served from now on.

    Raises Conflict where nothing was measured of it, or it is served already.
    """
    served = _locked(connection, revision.name)
    if not evaluations_of(connection, revision):
        told = f"{revision.name}@{revision.revision}"
        raise Conflict(f"{told} has no evaluation; run `sightline eval {told} DATASET` first")
    if served and served[-1].revision == revision.revision:
        raise Conflict(f"{revision.revision} of {revision.name!r} is promoted already")
    return _add(connection, revision, served[-1].revision if served else None, Kind.PROMOTE, why)


def rollback(connection: Connection, name: str, why: Why) -> Promotion:
    """Have the revision served again that was promoted before the one that is. Raises Conflict where there is none."""
    served = _locked(connection, name)
    if len(served) < 2:
        raise Conflict(f"no revision of {name!r} was promoted before the one that is, so there is no way back")
    return _add(connection, exactly(connection, name, served[-2].revision), served[-1].revision, Kind.ROLLBACK, why)


def history(connection: Connection, name: str) -> list[Promotion]:
    """Return all changes of what is served of a name, the oldest first."""
    rows = connection.execute(select(promotions).where(promotions.c.name == name).order_by(promotions.c.id))
    return [Promotion.model_validate(dict(row._mapping)) for row in rows]


def pile(connection: Connection, name: str) -> list[Piled]:
    """Return what rollbacks would lead through: what is served last, what was promoted before it before."""
    found: list[Piled] = []
    for change in history(connection, name):
        if change.kind is Kind.PROMOTE:
            found.append(Piled(change.revision, change.at))
        else:
            found.pop()
    return found


def current(connection: Connection, names: Sequence[str]) -> dict[str, str]:
    """Return the revision that is served now of each of these names that has one."""
    newest = select(func.max(promotions.c.id)).where(promotions.c.name.in_(names)).group_by(promotions.c.name)
    rows = connection.execute(select(promotions.c.name, promotions.c.revision).where(promotions.c.id.in_(newest)))
    return {row.name: row.revision for row in rows}


def named(connection: Connection, name: str, wanted: str) -> Revision:
    """Return the revision that somebody means: `promoted`, or how its digits begin.

    Raises NotFound and InvalidRequest as `revisions.find` does, Conflict where none is promoted.
    """
    if wanted != PROMOTED:
        return find(connection, name, wanted)
    served = current(connection, [name])
    if name not in served:
        raise Conflict(f"no revision of {name!r} is promoted; `sightline models revisions {name}` shows what there is")
    return exactly(connection, name, served[name])


def _locked(connection: Connection, name: str) -> list[Piled]:
    """Return the pile, which nobody else changes until this transaction ends."""
    rows = select(revisions.c.revision).where(revisions.c.name == name).order_by(revisions.c.revision)
    connection.execute(rows.with_for_update()).all()
    return pile(connection, name)


def _add(connection: Connection, revision: Revision, before: str | None, kind: Kind, why: Why) -> Promotion:
    """Note a change, after which the revision is served; where it was in the shadow until then, it is no more."""
    connection.execute(delete(shadows).where(shadows.c.name == revision.name, shadows.c.revision == revision.revision))
    told = {"name": revision.name, "revision": revision.revision, "before": before, "kind": kind.value}
    connection.execute(insert(promotions).values(**told, **why.model_dump(), at=moment()))
    return history(connection, revision.name)[-1]
