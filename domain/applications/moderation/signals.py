"""Asks for all that a policy's labels are noticed by. Each signal gives a reading, or a failure that is kept.

One that fails takes none of the others with it. What a retry can help (a model that is not to be reached, a database
that does not answer) is no failure of a signal: it passes, and the job is tried again as a whole.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from domain.applications.application import Banks
from domain.applications.moderation.evidence import Evidence, Failure, Hashed, Reading, SeenCode, SeenText, places
from domain.applications.moderation.policy import Label
from domain.applications.moderation.scoring import Doubt, Scored, answered, coded, compared, located, reached, worded
from domain.applications.moderation.signal_rules import (
    BanksRule,
    CodesRule,
    DetectRule,
    GroundRule,
    PromptsRule,
    QuestionRule,
    SignalRule,
    TextRule,
)
from domain.applications.moderation.wording import Lines
from domain.errors import RunStopped, SightlineError
from domain.texts import printable
from domain.vision import Detection, Picture, TextRegion, Vision

T = TypeVar("T")

LEAST_SCORE = 0.05
"""Objects are asked for from this score on, or from the least threshold where that is lower."""
MOST_TEXT = 8_000
"""Characters of a line or a code that are kept: more than the largest code holds."""
MOST_SENTENCE = 500


def look(
    vision: Vision, banks: Banks | None, pictures: Sequence[Picture], text: str, labels: Mapping[str, Label]
) -> Evidence:
    """Ask for every signal of every label, on each picture and on the post's own text.

    Every picture is looked up in the tenant's banks, whether a label names one or not. Raises RunStopped, and errors
    that a retry can help.
    """
    looking = _Looking(vision, banks, pictures, text, least_score(labels))
    for place in range(len(pictures)) if banks is not None else ():
        looking.note(place)
    for id_, label in labels.items():
        for number, rule in enumerate(label.signals):
            for where in places(rule, len(pictures)):
                looking.ask(id_, number, rule, where)
    return Evidence(
        images=len(pictures),
        readings=tuple(looking.readings),
        failures=tuple(looking.failures),
        texts=tuple(looking.texts),
        codes=tuple(looking.seen_codes),
        hashed=tuple(looking.all_hashed),
    )


def least_score(labels: Mapping[str, Label]) -> float:
    """Return how sure an object must be to be looked at: none that could count is left out."""
    return min([LEAST_SCORE, *(label.thresholds.review for label in labels.values())])


@dataclass
class _Looking:
    """Looks at the content of one job; what several labels need is asked once, its error is kept too."""

    vision: Vision
    banks: Banks | None
    pictures: Sequence[Picture]
    text: str
    least: float
    readings: list[Reading] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    texts: list[SeenText] = field(default_factory=list)
    seen_codes: list[SeenCode] = field(default_factory=list)
    all_hashed: list[Hashed] = field(default_factory=list)
    _answers: dict[Hashable, Any] = field(default_factory=dict)

    def note(self, place: int) -> None:
        """Look a picture up in the banks, whoever asks for it later; keep it where that fails."""
        try:
            self._hashed(place)
        except SightlineError as error:
            told = _told(error)
            self.failures.append(Failure(kind="banks", image=place, code=error.code, abstained=False, sentence=told))

    def ask(self, label: str, signal: int, rule: SignalRule, place: int | None) -> None:
        """Ask for one signal of a label, and keep what comes of it."""
        about: dict[str, Any] = {"label": label, "signal": signal, "kind": rule.kind, "image": place}
        try:
            scored = self._scored(rule, place)
        except SightlineError as error:
            self.failures.append(Failure(**about, code=error.code, abstained=False, sentence=_told(error)))
            return
        if scored.score is not None:
            told = {"score": scored.score, "matches": scored.matches, "scores": scored.scores}
            self.readings.append(Reading(**about, **told))
        if scored.doubt is not None:
            sentence = printable(scored.doubt.sentence, MOST_SENTENCE)
            self.failures.append(Failure(**about, code=scored.doubt.code, abstained=True, sentence=sentence))

    def _scored(self, rule: SignalRule, place: int | None) -> Scored:
        if place is None:
            assert isinstance(rule, TextRule), "nothing but words is looked for in a text"
            return worded(rule, self.text, lambda span: (1.0, None))
        if isinstance(rule, TextRule):
            lines = Lines(self._read(place, rule.model))
            return worded(rule, lines.text, lines.place)
        if isinstance(rule, CodesRule):
            return coded(rule, self._codes(place))
        if isinstance(rule, BanksRule):
            return self._reached(rule, place)
        return self._modelled(rule, place)

    def _modelled(self, rule: PromptsRule | QuestionRule | DetectRule | GroundRule, place: int) -> Scored:
        picture = self.pictures[place]
        if isinstance(rule, PromptsRule):
            return compared(rule, self.vision.classify(picture, (*rule.prompts, *rule.against), model=rule.model))
        if isinstance(rule, QuestionRule):
            return answered(rule, self.vision.ask([picture], rule.question, options=rule.options, model=rule.model))
        if isinstance(rule, DetectRule):
            return self._detected(rule, place)
        found = self.vision.ground(picture, rule.phrases, model=rule.model, min_score=self.least)
        return located(rule.phrases, ((one.phrase, one.score, one.box) for one in found))

    def _detected(self, rule: DetectRule, place: int) -> Scored:
        def ask() -> tuple[Detection, ...]:
            return self.vision.detect(self.pictures[place], model=rule.model, min_score=self.least)

        found = self._once(("detect", rule.model, place), ask)
        scored = located(rule.classes, ((one.label, one.score, one.box) for one in found))
        known = self._once(("classes", rule.model), lambda: self.vision.classes(model=rule.model))
        strange = [name for name in rule.classes if name not in known]
        if not strange:
            return scored
        told = f"the detector does not know the class {strange[0]!r}; it knows: {', '.join(known)}"
        return Scored(scored.score, scored.matches, doubt=Doubt("unknown_classes", told))

    def _reached(self, rule: BanksRule, place: int) -> Scored:
        if self.banks is None:
            return Scored(None, doubt=Doubt("no_banks", "no hash banks can be looked into here"))
        return reached(rule, self._hashed(place))

    def _read(self, place: int, model: str | None) -> tuple[TextRegion, ...]:
        def ask() -> tuple[TextRegion, ...]:
            found = self.vision.read(self.pictures[place], model=model)
            self.texts += [
                SeenText(image=place, text=printable(one.text, MOST_TEXT), confidence=one.confidence, quad=one.quad)
                for one in found
            ]
            return found

        return self._once(("read", model, place), ask)

    def _codes(self, place: int) -> tuple[SeenCode, ...]:
        def ask() -> tuple[SeenCode, ...]:
            found = tuple(
                SeenCode(image=place, format=one.format, text=printable(one.text, MOST_TEXT), quad=one.quad)
                for one in self.vision.codes(self.pictures[place])
            )
            self.seen_codes += found
            return found

        return self._once(("codes", place), ask)

    def _hashed(self, place: int) -> Hashed:
        def ask() -> Hashed:
            assert self.banks is not None, "without banks nothing is looked up"
            hashes = self.vision.hashes(self.pictures[place])
            found = Hashed(image=place, hashes=hashes, matches=self.banks.matches(hashes))
            self.all_hashed.append(found)
            return found

        return self._once(("hashes", place), ask)

    def _once(self, key: Hashable, ask: Callable[[], T]) -> T:
        """Return what was asked for before, or ask for it. Raises its error, each time."""
        if key not in self._answers:
            try:
                self._answers[key] = ask()
            except SightlineError as error:
                self._answers[key] = error
        answer: T | SightlineError = self._answers[key]
        if isinstance(answer, SightlineError):
            raise answer
        return answer


def _told(error: SightlineError) -> str:
    """Return an error's sentence, to be kept. Raises it where it is not for this place to swallow."""
    if error.retryable or isinstance(error, RunStopped):
        raise error
    return printable(f"{error.code}: {error.message}", MOST_SENTENCE)
