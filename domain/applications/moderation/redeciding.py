"""What another policy would have decided of past content, from what was seen of it then: no model is asked.

The same code looks and decides as ever; only what it looks at is what was kept. A policy that asks for something that
was not looked for then (other prompts, another model) cannot be told, and says so.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from domain.applications.application import BankMatch, NotKept
from domain.applications.moderation.decide import decide
from domain.applications.moderation.evidence import Reading
from domain.applications.moderation.parameters import ModerationParameters
from domain.applications.moderation.policy import Label, Policy
from domain.applications.moderation.result import ModerationResult, UsedPolicy
from domain.applications.moderation.run import told
from domain.applications.moderation.signal_rules import (
    CodesRule,
    DetectRule,
    GroundRule,
    PromptsRule,
    QuestionRule,
    SignalRule,
    TextRule,
)
from domain.applications.moderation.signals import least_score, look
from domain.vision import Answer, Code, Detection, Grounding, Hashes, Picture, TextRegion
from domain.vision import Label as Scored

K = TypeVar("K")

UNKNOWABLE = frozenset({"unknown_classes"})
"""Abstentions that do not come again from what was kept."""


def redecided(result: ModerationResult, asked: ModerationParameters, was: Policy, draft: Policy) -> ModerationResult:
    """Return what `draft` decides of content that was decided under `was`.

    Raises NotKept where what was seen then does not tell.
    """
    if result.surface not in draft.surface_names:
        raise NotKept(f"the draft has no surface {result.surface!r}")
    broken = [failure for failure in result.failures if not failure.abstained or failure.code in UNKNOWABLE]
    if broken:
        raise NotKept(f"a signal gave no answer then: {broken[0].sentence}")
    before, after = was.on(result.surface), draft.on(result.surface)
    if least_score(after) < least_score(before):
        raise NotKept("the draft looks for surer and less sure objects alike, and the less sure were not kept")
    kept = _Kept(result, before)
    for label in after.values():
        for rule in label.signals:
            kept.check(rule)
    pictures = [Picture(str(at), width, height) for at, (width, height) in enumerate(result.sizes)]
    used = UsedPolicy(name=draft.name, version=None, digest=draft.digest)
    evidence = look(kept, kept if result.hashed else None, pictures, asked.text, after)  # type: ignore[arg-type]
    return told(asked, pictures, after, evidence, decide(after, draft.routes, result.surface, evidence), used)


@dataclass(frozen=True)
class _Kept:
    """What was seen, asked as a Vision and as banks are; a model's answer only to what it was asked then."""

    result: ModerationResult
    labels: dict[str, Label]

    def check(self, rule: SignalRule) -> None:
        """Raise NotKept where a signal was not looked for then."""
        if isinstance(rule, TextRule) and "picture" in rule.where:
            self._some(
                rule, lambda one: isinstance(one, TextRule) and "picture" in one.where and one.model == rule.model
            )
        elif isinstance(rule, CodesRule):
            self._some(rule, lambda one: isinstance(one, CodesRule))
        elif isinstance(rule, DetectRule):
            self._covered(rule, DetectRule, "classes")
        elif isinstance(rule, GroundRule):
            self._covered(rule, GroundRule, "phrases")

    def classify(self, picture: Picture, labels: Sequence[str], *, model: str | None = None) -> tuple[Scored, ...]:
        """Return the scores of prompts that were compared then."""
        for rule, reading in self._readings(picture, PromptsRule):
            if rule.model == model and {*rule.prompts, *rule.against} == set(labels):
                return reading.scores
        raise NotKept("the draft compares the picture with other prompts, or by another model, than were asked then")

    def ask(
        self, pictures: Sequence[Picture], question: str, *, options: Sequence[str] = (), model: str | None = None
    ) -> Answer:
        """Return the probabilities of the options of a question that was asked then."""
        for rule, reading in self._readings(pictures[0], QuestionRule):
            if (rule.question, rule.model, set(rule.options)) == (question, model, set(options)):
                return Answer(text="", options=reading.scores)
        raise NotKept(f"the question {question!r} was not asked then")

    def detect(self, picture: Picture, *, model: str | None = None, min_score: float = 0.0) -> tuple[Detection, ...]:
        """Return the objects that counted then."""
        return tuple(
            Detection(label=match.quote, score=match.score, box=match.box)
            for rule, reading in self._readings(picture, DetectRule)
            if rule.model == model
            for match in reading.matches
            if match.box is not None and match.score >= min_score
        )

    def classes(self, *, model: str | None = None) -> tuple[str, ...]:
        """Return the classes that were looked for then."""
        rules = (rule for label in self.labels.values() for rule in label.signals)
        return tuple(
            name for rule in rules if isinstance(rule, DetectRule) and rule.model == model for name in rule.classes
        )

    def ground(
        self, picture: Picture, phrases: Sequence[str], *, model: str | None = None, min_score: float = 0.0
    ) -> tuple[Grounding, ...]:
        """Return the places that counted then."""
        return tuple(
            Grounding(phrase=match.quote, score=match.score, box=match.box)
            for rule, reading in self._readings(picture, GroundRule)
            if rule.model == model
            for match in reading.matches
            if match.box is not None and match.quote in phrases and match.score >= min_score
        )

    def read(self, picture: Picture, *, model: str | None = None) -> tuple[TextRegion, ...]:
        """Return the lines that were read then."""
        lines = [line for line in self.result.texts if str(line.image) == picture.name]
        return tuple(TextRegion(quad=line.quad, text=line.text, confidence=line.confidence) for line in lines)

    def codes(self, picture: Picture) -> tuple[Code, ...]:
        """Return the codes that were read then."""
        codes = [code for code in self.result.codes if str(code.image) == picture.name]
        return tuple(Code(format=code.format, text=code.text, quad=code.quad) for code in codes)

    def hashes(self, picture: Picture) -> Hashes:
        """Return the picture's hashes."""
        return next(one.hashes for one in self.result.hashed if str(one.image) == picture.name)

    def matches(self, hashes: Hashes) -> tuple[BankMatch, ...]:
        """Return what the banks had of it then."""
        return next(one.matches for one in self.result.hashed if one.hashes == hashes)

    def _readings(self, picture: Picture, kind: type[K]) -> Iterator[tuple[K, Reading]]:
        """Yield the readings of a picture by signals of one kind, each with its signal."""
        for reading in self.result.readings:
            if str(reading.image) == picture.name and reading.label in self.labels:
                rule = self.labels[reading.label].signals[reading.signal]
                if isinstance(rule, kind):
                    yield rule, reading

    def _some(self, rule: SignalRule, fits: Any) -> None:  # noqa: ANN401  (a predicate)
        if not any(fits(one) for label in self.labels.values() for one in label.signals):
            raise NotKept(f"nothing of the kind {rule.kind!r} was looked for then")

    def _covered(self, rule: DetectRule | GroundRule, kind: type[Any], names: str) -> None:
        every = [one for label in self.labels.values() for one in label.signals if isinstance(one, kind)]
        known = {name for one in every if one.model == rule.model for name in getattr(one, names)}
        strange = sorted(set(getattr(rule, names)) - known)
        if strange:
            raise NotKept(f"{strange[0]!r} was not looked for then")
