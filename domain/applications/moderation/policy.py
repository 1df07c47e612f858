"""Policies: what content may not have, how that is noticed, what is done then, and who looks at it.

A policy is data. It ships as `policies/NAME.toml`, is kept by a tenant in versions, or comes inline with a job; how it
decides is `decide.py`.
"""

import json
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from domain.applications.moderation.grounds import Ground
from domain.applications.moderation.signal_rules import SignalRule
from domain.geometry import Value
from domain.reviews import Name

POLICIES = Path(__file__).parent / "policies"
RESTRICTED = "restricted"
"""The queue of what matched a restricted bank; no rule leads there or away from it."""
GREY_BAND, FAILURES, ESCALATED = "grey-band", "failures", "escalated"
"""The queues of what no rule of the policy leads elsewhere."""
DEFAULT_SURFACE = "default"

LabelId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,47}$")]
Words = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Action(StrEnum):
    """What is done with content that a label applies to."""

    FLAG = "flag"
    """it is published, and marked"""
    BLOCK = "block"
    """it is not published"""
    ESCALATE = "escalate"
    """it is not published, and somebody decides who is entitled to"""


class Thresholds(Value):
    """From `act` on a label applies; from `review` up to it lies the grey band, which a person decides."""

    review: float = Field(gt=0, le=1)
    act: float = Field(gt=0, le=1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.review > self.act:
            raise ValueError(
                f"review {self.review:g} is more than act {self.act:g}; the grey band reaches from the one to the other"
            )
        return self


class Label(Value):
    """Something that content may not have, or that must be known of it."""

    title: Words
    """what it means, for people; a label of another meaning gets another id"""
    action: Action
    thresholds: Thresholds
    signals: tuple[SignalRule, ...] = Field(min_length=1, max_length=20)
    four_eyes: bool = False
    """two people decide alike where it comes to a review"""
    ground: Ground | None = None
    """what a statement of reasons says of it"""


class Override(Value):
    """What is otherwise about a label on one surface; what is left out stays."""

    enabled: bool = True
    action: Action | None = None
    thresholds: Thresholds | None = None


class Route(Value):
    """A rule that leads to a queue. It matches when each condition that it has does; left out, a condition always does.

    Of the rules that match, the first counts.
    """

    name: Name
    queue: Name
    labels: tuple[LabelId, ...] | None = Field(default=None, min_length=1)
    """one of them gave a reason"""
    decisions: tuple[str, ...] | None = Field(default=None, min_length=1)
    """the decision is one of them: `flag`, `review`, `block`, `escalate`"""
    surfaces: tuple[Name, ...] | None = Field(default=None, min_length=1)
    banks: tuple[Words, ...] | None = Field(default=None, min_length=1)
    """an entry of one of them matched"""
    asks: bool = False
    """a person looks even at what is flagged or blocked, which needs nobody otherwise"""
    four_eyes: bool = False
    priority: int = Field(default=0, ge=0, le=9)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.queue == RESTRICTED:
            raise ValueError(f"rule {self.name!r}: the queue {RESTRICTED!r} is for matches of restricted banks alone")
        strange = sorted(set(self.decisions or ()) - {"flag", "review", "block", "escalate"})
        if strange:
            raise ValueError(
                f"rule {self.name!r} names the decision {strange[0]!r}; there are: flag, review, block, escalate"
            )
        return self


class Policy(Value):
    """What content is held to."""

    name: Name = "inline"
    labels: Mapping[LabelId, Label] = Field(min_length=1, max_length=100)
    retired_ids: tuple[LabelId, ...] = ()
    """ids of labels that were there once; none of them comes again"""
    surfaces: Mapping[Name, Mapping[LabelId, Override]] = Field(default_factory=dict, max_length=100)
    """where content is shown, besides `default`, and what is otherwise there"""
    routes: tuple[Route, ...] = Field(default=(), max_length=200)

    @model_validator(mode="after")
    def _ids_kept(self) -> Self:
        again = sorted(set(self.labels) & set(self.retired_ids))
        if again:
            raise ValueError(f"the label id {again[0]!r} is retired and must not come again; choose another id")
        return self

    @model_validator(mode="after")
    def _names_known(self) -> Self:
        for surface, overrides in self.surfaces.items():
            self._known_labels(f"surface {surface!r}", overrides)
        for route in self.routes:
            self._known_labels(f"rule {route.name!r}", route.labels or ())
            strange = [name for name in route.surfaces or () if name not in self.surface_names]
            if strange:
                told = ", ".join(self.surface_names)
                raise ValueError(f"rule {route.name!r} names the surface {strange[0]!r}; the policy's are: {told}")
        names = [route.name for route in self.routes]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"the rule {repeated[0]!r} is named twice")
        return self

    def _known_labels(self, where: str, ids: "Mapping[str, object] | tuple[str, ...]") -> None:
        strange = [one for one in ids if one not in self.labels]
        if strange:
            raise ValueError(
                f"{where} names the label {strange[0]!r}; the policy's labels are: {', '.join(self.labels)}"
            )

    @property
    def surface_names(self) -> tuple[str, ...]:
        """The surfaces that content may be held to the policy on."""
        return tuple(dict.fromkeys((DEFAULT_SURFACE, *self.surfaces)))

    @property
    def digest(self) -> str:
        """The SHA-256 of the policy's content, in hexadecimal: equal for equal policies, however they were written."""
        return sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()

    def on(self, surface: str) -> dict[str, Label]:
        """Return the labels that count on a surface, by id, with what is otherwise there."""
        overrides = self.surfaces.get(surface, {})
        return {
            id_: _overridden(label, overrides.get(id_, Override()))
            for id_, label in self.labels.items()
            if overrides.get(id_, Override()).enabled
        }


def _overridden(label: Label, override: Override) -> Label:
    told = {"action": override.action, "thresholds": override.thresholds}
    return label.model_copy(update={name: value for name, value in told.items() if value is not None})


def succeeds(old: Policy, new: Policy) -> None:
    """Let a version of a policy follow another.

    Raises ValueError where an id is dropped without being retired, comes again after it was, or is given another
    meaning (another title), so that old decisions would be read wrongly.
    """
    forgotten = sorted(set(old.retired_ids) - set(new.retired_ids))
    if forgotten:
        raise ValueError(f"the retired id {forgotten[0]!r} must stay among `retired_ids`, so that it never comes again")
    dropped = sorted(set(old.labels) - set(new.labels) - set(new.retired_ids))
    if dropped:
        raise ValueError(f"the label {dropped[0]!r} is gone; put its id among `retired_ids`")
    for id_ in sorted(set(old.labels) & set(new.labels)):
        was, is_ = old.labels[id_].title, new.labels[id_].title
        if was != is_:
            raise ValueError(
                f"the label {id_!r} was {was!r} and must not become {is_!r}; retire the id and choose another"
            )


@cache
def shipped_bodies() -> MappingProxyType[str, Mapping[str, object]]:
    """Return the policies that ship with the application as they are written, by name."""
    files = sorted(POLICIES.glob("*.toml"))
    return MappingProxyType({path.stem: tomllib.loads(path.read_text("utf-8")) for path in files})


@cache
def shipped() -> MappingProxyType[str, Policy]:
    """Return the policies that ship with the application, by name."""
    return MappingProxyType({name: Policy.model_validate(body) for name, body in shipped_bodies().items()})
