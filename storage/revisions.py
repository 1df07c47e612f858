"""Revisions of trained models: how each came to be, and what was measured of it.

A revision is told by its name and by `sha256:` with the first 16 digits of what its files hash to. It never changes:
what is trained anew is another. Which of them is served is in `promotions.py`.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, field_validator
from sqlalchemy import Connection, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from domain.errors import Conflict, InvalidRequest, NotFound
from domain.vision import Capability
from storage.clock import moment
from storage.revision_tables import model_evaluations as evaluations
from storage.revision_tables import model_revisions as revisions


class Facts(BaseModel):
    """How a revision came to be; kept with it in `revision.json` and in the database."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(pattern="^[a-z0-9][a-z0-9._-]{0,63}$", description="what profiles call it: registered:NAME")
    family: str = Field(min_length=1, max_length=128)
    capabilities: tuple[Capability, ...] = Field(min_length=1)
    licence: str = Field(min_length=1, description="under which the weights may be used")
    command: str = Field(description="the command that was typed")
    seed: int
    data_hash: str = Field(min_length=1, max_length=128, description="of the labelled set, as it was read")
    split: Mapping[str, Any] = Field(description="by what it was split, and how many groups and items each share has")
    metrics: Mapping[str, FiniteFloat] = Field(description="of the weights that were kept, on the validation share")
    rounds: tuple[Mapping[str, Any], ...] = Field(default=(), description="the metrics of each round, in order")
    duration_s: FiniteFloat
    hardware: str
    parent: str | None = Field(default=None, description="the revision or checkpoint that it began with")
    options: Mapping[str, Any] = Field(default_factory=dict, description="those of a profile's row that serves it")


class Revision(BaseModel):
    """A registered revision: `revision` pins its files."""

    model_config = ConfigDict(frozen=True)

    name: str
    revision: str
    created_at: datetime
    facts: Facts


class Measured(BaseModel):
    """What was measured of a revision on a labelled set: its figures by name, and the whole report beside them."""

    model_config = ConfigDict(frozen=True)

    dataset: str = Field(max_length=1000, description="the name of its folder or file")
    data_hash: str = Field(min_length=1, max_length=128, description="figures are compared on the same one only")
    metrics: Mapping[str, FiniteFloat]
    report: Mapping[str, Any] = Field(default_factory=dict)

    @field_validator("report")
    @classmethod
    def _is_json(cls, report: Mapping[str, Any]) -> Mapping[str, Any]:
        json.dumps(dict(report), allow_nan=False)
        return report


class Evaluation(Measured):
    """A measurement as it is kept, with when that was."""

    created_at: datetime


def add(connection: Connection, revision: str, facts: Facts) -> Revision:
    """Note a revision; one that is known stays as it was noted first. Return what is noted."""
    kind = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    told = {"family": facts.family, "data_hash": facts.data_hash, "facts": facts.model_dump(mode="json")}
    fresh = kind(revisions).values(name=facts.name, revision=revision, created_at=moment(), **told)
    connection.execute(fresh.on_conflict_do_nothing())
    return exactly(connection, facts.name, revision)


def exactly(connection: Connection, name: str, revision: str) -> Revision:
    """Return one revision by its whole name. Raises NotFound."""
    wanted = select(revisions).where(revisions.c.name == name, revisions.c.revision == revision)
    row = connection.execute(wanted).first()
    if row is None:
        raise NotFound(f"{name!r} has no revision {revision}; `sightline models revisions {name}` shows what there is")
    return Revision.model_validate(dict(row._mapping))


def find(connection: Connection, name: str, begins: str) -> Revision:
    """Return the one revision of a name that begins so, with or without `sha256:`.

    Raises NotFound where none does, InvalidRequest where several do.
    """
    digits = begins.removeprefix("sha256:")
    fitting = [one for one in listing(connection, name) if one.revision.removeprefix("sha256:").startswith(digits)]
    if not fitting or not digits:
        raise NotFound(f"{name!r} has no revision {begins!r}; `sightline models revisions {name}` shows what there is")
    if len(fitting) > 1:
        several = ", ".join(one.revision for one in fitting)
        raise InvalidRequest(f"{begins!r} may mean {several}; give more digits")
    return fitting[0]


def listing(connection: Connection, name: str | None = None) -> list[Revision]:
    """Return the revisions of a name, or of all names, the newest of each name first."""
    chosen = select(revisions) if name is None else select(revisions).where(revisions.c.name == name)
    rows = connection.execute(chosen.order_by(revisions.c.name, revisions.c.created_at.desc(), revisions.c.revision))
    return [Revision.model_validate(dict(row._mapping)) for row in rows]


def attach(connection: Connection, revision: Revision, measured: Measured) -> None:
    """Keep a measurement with a revision; every one is kept. Raises Conflict where it has no figure."""
    if not measured.metrics:
        raise Conflict(f"an evaluation without a figure says nothing of {revision.name}@{revision.revision}")
    told = measured.model_dump(mode="json")
    connection.execute(
        insert(evaluations).values(name=revision.name, revision=revision.revision, created_at=moment(), **told)
    )


def evaluations_of(connection: Connection, revision: Revision) -> list[Evaluation]:
    """Return a revision's evaluations, the newest first."""
    mine = (evaluations.c.name == revision.name, evaluations.c.revision == revision.revision)
    rows = connection.execute(select(evaluations).where(*mine).order_by(evaluations.c.id.desc()))
    return [Evaluation.model_validate(dict(row._mapping)) for row in rows]
