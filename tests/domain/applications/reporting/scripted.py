"""A Vision that drafts and answers from a script, and what is known of the pictures that it is shown."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from domain.applications.reporting.result import ReportingResult
from domain.errors import SightlineError
from domain.geometry import Box
from domain.studies import PixelSpacing, SpacingSource, StudyFacts
from domain.vision import Answer, Grounding, Label, Picture

SIDE = 200
Corners = tuple[float, float, float, float]
LEFT: Corners = (130, 90, 170, 130)
"""On the picture's right, where the patient's left is."""
RIGHT: Corners = (30, 90, 70, 130)
MIDDLE: Corners = (60, 100, 140, 170)
FRONTAL = StudyFacts(modality="DX", body_part="CHEST", view="PA", age_years=50)
CALIBRATED = FRONTAL.model_copy(
    update={"spacing": PixelSpacing(row_mm=1.5, column_mm=2.0, source=SpacingSource.PATIENT)}
)


@dataclass
class ScriptedVision:
    """Drafts by the picture's name, places by phrase, and yes by the words of a question; whatever is not told is not
    there."""

    drafts: Mapping[str, str]
    places: Mapping[str, Sequence[tuple[Corners, float]]] = field(default_factory=dict)
    yes: Mapping[str, float] = field(default_factory=dict)
    sides: Mapping[str, str] = field(default_factory=dict)
    unsure: str = ""
    """the name of a picture of which no question is answered with certainty"""
    shares: bool = True
    error: SightlineError | None = None
    instructions: list[str] = field(default_factory=list)

    def draft(self, pictures: Sequence[Picture], instruction: str, *, model: str | None = None) -> str:
        self.instructions.append(instruction)
        if self.error is not None:
            raise self.error
        return self.drafts[pictures[0].name]

    def ground(
        self, picture: Picture, phrases: Sequence[str], *, model: str | None = None, min_score: float = 0.25
    ) -> tuple[Grounding, ...]:
        return tuple(
            Grounding(phrase=phrase, score=score, box=Box(x0=x0, y0=y0, x1=x1, y1=y1))
            for phrase in phrases
            for (x0, y0, x1, y1), score in self.places.get(phrase, ())
        )

    def ask(
        self, pictures: Sequence[Picture], question: str, *, options: Sequence[str] = (), model: str | None = None
    ) -> Answer:
        first = next((score for words, score in self.yes.items() if words in question), 0.01)
        if tuple(options) == ("left", "right"):
            first = 0.95 if any(words in question and side == "left" for words, side in self.sides.items()) else 0.05
        if pictures[0].name == self.unsure:
            first = 0.5
        told = {options[0]: first, options[1]: 1 - first}
        return Answer(text="", options=tuple(Label(name=n, score=s) for n, s in told.items()) if self.shares else ())


Draft = Callable[..., ReportingResult]
