"""A Vision, banks and kept policies that answer from a script."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from domain.applications.application import BankMatch, Configured
from domain.errors import InvalidParameters, SightlineError
from domain.geometry import Box, Polygon
from domain.vision import Answer, Code, Detection, Grounding, Hashes, Label, Picture, TextRegion

WIDTH, HEIGHT = 200, 100
ORDINARY = Hashes(pdq="0" * 64, pdq_quality=100, phash="0" * 16, sha256="0" * 64)


def square(x: float, y: float, width: float = 40, height: float = 10) -> Polygon:
    """A place in a picture."""
    return Polygon(points=((x, y), (x + width, y), (x + width, y + height), (x, y + height)))


@dataclass
class ScriptedVision:
    """Answers by the picture's name where that is told, else by what is told for all; an error is raised."""

    shares: Mapping[str, float] = field(default_factory=dict)
    """of prompts; those that are not named share the rest"""
    options: Mapping[str, float] | None = None
    lines: Sequence[tuple[str, float]] = ()
    said_by_codes: Sequence[str] = ()
    objects: Sequence[tuple[str, float]] = ()
    seen_hashes: Hashes = ORDINARY
    errors: Mapping[str, SightlineError] = field(default_factory=dict)
    """by the name of the method"""
    asked: list[str] = field(default_factory=list)

    def _called(self, method: str) -> None:
        self.asked.append(method)
        if method in self.errors:
            raise self.errors[method]

    def classify(self, picture: Picture, labels: Sequence[str], *, model: str | None = None) -> tuple[Label, ...]:
        self._called("classify")
        rest = [label for label in labels if label not in self.shares]
        left = 1 - sum(self.shares.get(label, 0.0) for label in labels)
        scores = {label: self.shares.get(label, left / max(len(rest), 1)) for label in labels}
        return tuple(Label(name=name, score=score) for name, score in scores.items())

    def ask(
        self, pictures: Sequence[Picture], question: str, *, options: Sequence[str] = (), model: str | None = None
    ) -> Answer:
        self._called("ask")
        told = {option: 1 / len(options) for option in options} if self.options is None else self.options
        return Answer(text="", options=tuple(Label(name=name, score=score) for name, score in told.items()))

    def detect(self, picture: Picture, *, model: str | None = None, min_score: float) -> tuple[Detection, ...]:
        self._called("detect")
        box = Box(x0=10, y0=10, x1=50, y1=50)
        return tuple(Detection(label=name, score=score, box=box) for name, score in self.objects if score >= min_score)

    def classes(self, *, model: str | None = None) -> tuple[str, ...]:
        return ("knife", "spoon")

    def ground(
        self, picture: Picture, phrases: Sequence[str], *, model: str | None = None, min_score: float
    ) -> tuple[Grounding, ...]:
        self._called("ground")
        box = Box(x0=10, y0=10, x1=50, y1=50)
        found = ((name, score) for name, score in self.objects if name in phrases and score >= min_score)
        return tuple(Grounding(phrase=name, score=score, box=box) for name, score in found)

    def read(self, picture: Picture, *, model: str | None = None) -> tuple[TextRegion, ...]:
        self._called("read")
        # In no particular order, as the protocol has it: here from the bottom.
        placed = [
            TextRegion(quad=square(10, 10 + 20 * row), text=text, confidence=sure)
            for row, (text, sure) in enumerate(self.lines)
        ]
        return tuple(reversed(placed))

    def codes(self, picture: Picture) -> tuple[Code, ...]:
        self._called("codes")
        return tuple(Code(format="QRCode", text=text, quad=square(100, 20, 50, 50)) for text in self.said_by_codes)

    def hashes(self, picture: Picture) -> Hashes:
        self._called("hashes")
        return self.seen_hashes


@dataclass
class ScriptedBanks:
    """Matches the same entries whatever it is asked, or raises."""

    found: Sequence[BankMatch] = ()
    error: SightlineError | None = None

    def matches(self, hashes: Hashes) -> tuple[BankMatch, ...]:
        if self.error is not None:
            raise self.error
        return tuple(self.found)


@dataclass
class KeptPolicies:
    """Versions of policies by name and number; the last is the active one."""

    kept: Mapping[str, Sequence[Mapping[str, Any]]]

    def find(self, kind: str, name: str, version: int | None = None) -> Configured:
        versions = self.kept.get(name, ())
        number = len(versions) if version is None else version
        if kind != "policy" or not 1 <= number <= len(versions):
            raise InvalidParameters(f"there is no {kind} {name!r}")
        digest = f"{number:064x}"
        return Configured(kind=kind, name=name, version=number, digest=digest, body=dict(versions[number - 1]))


PROMPTS = {"kind": "prompts", "prompts": ["a sword"], "against": ["a spoon"]}


def policy(
    *signals: Mapping[str, Any],
    action: str = "block",
    review: float = 0.4,
    act: float = 0.8,
    **more: Any,
) -> dict[str, Any]:
    """A policy of one label, `weapon`, noticed by these signals."""
    label = {
        "title": "a weapon",
        "action": action,
        "thresholds": {"review": review, "act": act},
        "signals": list(signals or (PROMPTS,)),
    }
    return {"labels": {"weapon": label}, **more}
