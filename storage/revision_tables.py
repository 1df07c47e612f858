"""The tables of trained models: their revisions, what was measured of them, which is served, and what shadows answered.

What changes them is in `revisions.py`, `promotions.py` and `shadows.py`. None of them is read by a job or told to one.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Identity,
    Index,
    Integer,
    Named,
    PrimaryKeyConstraint,
    String,
    Table,
    TypedColumns,
    Uuid,
)

from storage.clock import Moment
from storage.schema import Json, Serial, metadata


class model_revisions_columns(TypedColumns):  # noqa: N801
    """What a training ended with. `revision` pins the files; `facts` is how they came to be."""

    name: Named[str] = Column(String(64))
    revision: Named[str] = Column(String(128))
    family: Named[str] = Column(String(128))
    data_hash: Named[str] = Column(String(128))
    facts: Named[dict[str, Any]] = Column(Json)
    created_at: Named[datetime] = Column(Moment)


model_revisions = Table("model_revisions", metadata, model_revisions_columns, PrimaryKeyConstraint("name", "revision"))


class model_evaluations_columns(TypedColumns):  # noqa: N801
    """A measurement of a revision on a labelled set. Only ever added to."""

    id: Named[int] = Column(Serial, Identity(), primary_key=True)
    name: Named[str] = Column(String(64))
    revision: Named[str] = Column(String(128))
    dataset: Named[str] = Column(String(1000))
    data_hash: Named[str] = Column(String(128))
    metrics: Named[dict[str, float]] = Column(Json)
    report: Named[dict[str, Any]] = Column(Json)
    created_at: Named[datetime] = Column(Moment)


model_evaluations = Table("model_evaluations", metadata, model_evaluations_columns)
Index("ix_model_evaluations_revision", model_evaluations.c.name, model_evaluations.c.revision)


class model_promotions_columns(TypedColumns):  # noqa: N801
    """Each change of what is served: the newest row of a name says which revision that is. Only ever added to."""

    id: Named[int] = Column(Serial, Identity(), primary_key=True)
    name: Named[str] = Column(String(64))
    revision: Named[str] = Column(String(128))
    before: Named[str | None] = Column(String(128))
    kind: Named[str] = Column(String(16))
    by: Named[str] = Column(String(200))
    because: Named[str] = Column(String(1000))
    at: Named[datetime] = Column(Moment)


model_promotions = Table("model_promotions", metadata, model_promotions_columns)
Index("ix_model_promotions_name", model_promotions.c.name, model_promotions.c.id)


class model_shadows_columns(TypedColumns):  # noqa: N801
    """The candidate that is asked besides, for a share of the jobs; a name without a row has none."""

    name: Named[str] = Column(String(64), primary_key=True)
    revision: Named[str] = Column(String(128))
    share: Named[float] = Column(Float)
    since: Named[datetime] = Column(Moment)


model_shadows = Table("model_shadows", metadata, model_shadows_columns)


class shadow_answers_columns(TypedColumns):  # noqa: N801
    """How a candidate answered one call, beside what the served revision had answered.

    The answers themselves are kept where they differ, so that somebody can look at them; `{}` where they agree.
    """

    id: Named[int] = Column(Serial, Identity(), primary_key=True)
    name: Named[str] = Column(String(64))
    revision: Named[str] = Column(String(128))
    served: Named[str] = Column(String(128))
    job_id: Named[UUID] = Column(Uuid)
    capability: Named[str] = Column(String(16))
    agreement: Named[float] = Column(Float)
    answers: Named[dict[str, Any]] = Column(Json)
    batch_size: Named[int] = Column(Integer)
    served_ms: Named[float] = Column(Float)
    candidate_ms: Named[float] = Column(Float)
    at: Named[datetime] = Column(Moment)


shadow_answers = Table("shadow_answers", metadata, shadow_answers_columns)
Index("ix_shadow_answers_revision", shadow_answers.c.name, shadow_answers.c.revision, shadow_answers.c.id)


class shadow_losses_columns(TypedColumns):  # noqa: N801
    """Calls that a candidate was to be asked and did not answer, by reason. Added to, and summed when read."""

    id: Named[int] = Column(Serial, Identity(), primary_key=True)
    name: Named[str] = Column(String(64))
    revision: Named[str] = Column(String(128))
    reason: Named[str] = Column(String(16))
    calls: Named[int] = Column(BigInteger)


shadow_losses = Table("shadow_losses", metadata, shadow_losses_columns)
Index("ix_shadow_losses_revision", shadow_losses.c.name, shadow_losses.c.revision)
