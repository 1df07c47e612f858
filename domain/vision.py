"""What an application may ask about pixels: the Vision protocol and its value types.

An application gets `Picture` handles and a `Vision`; it never sees an array, a tensor or a file. Coordinates are
pixels of the picture that was asked about, after its EXIF orientation was applied; angles are degrees, clockwise as
seen. Scores lie in [0, 1]. Every method may raise `ModelError`, `ModelUnavailable`, `DeviceOutOfMemory` (see
`domain/errors.py`) and `RunStopped`, which an application lets pass. `model` names a row of `models.toml`; left out,
the profile's default for the capability answers. Which model answered is recorded beneath the protocol, call by call.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from pydantic import Field

from domain.geometry import Box, Mask, Point, Polygon, Score, Value


class Capability(StrEnum):
    """What a model can be asked to do."""

    CLASSIFY = "classify"
    """labels for the whole picture, by words (zero-shot)"""
    EMBED = "embed"
    """a vector, comparable by cosine"""
    DETECT = "detect"
    """objects of the model's own classes, with masks where it draws them"""
    GROUND = "ground"
    """where a phrase is"""
    SEGMENT = "segment"
    """a mask from a box, points or a phrase"""
    ASK = "ask"
    """an answer to a question: free, one of given options, or JSON by a schema"""
    CAPTION = "caption"
    """a sentence on the whole picture"""
    DRAFT = "draft"
    """a longer text from pictures and an instruction"""
    READ = "read"
    """text and where it stands"""
    IDENTIFY = "identify"
    """which language a text is in"""
    TRANSLATE = "translate"
    """a text in another language"""
    IMAGINE = "imagine"
    """a picture from a text"""


@dataclass(frozen=True, slots=True)
class Picture:
    """A handle on pixels that the worker holds: their name within the job and their size in pixels, upright.

    `orientation` is the EXIF orientation (1 to 8) that was undone to get them upright; 1 where there was none.
    """

    name: str
    width: int
    height: int
    orientation: int = 1


class Label(Value):
    """A label and how sure the model is of it."""

    name: str
    score: Score


class Detection(Value):
    """An object of one of the model's classes; the mask, where there is one, has the picture's size."""

    label: str
    score: Score
    box: Box
    mask: Mask | None = None


class Grounding(Value):
    """A place that a phrase speaks of."""

    phrase: str
    score: Score
    box: Box


class Segment(Value):
    """A mask of the picture's size and how sure the model is of it."""

    mask: Mask
    score: Score


class Prompt(Value):
    """What to segment: boxes, points (foreground) or a phrase; at least one of them."""

    boxes: tuple[Box, ...] = ()
    points: tuple[Point, ...] = ()
    phrase: str | None = None


class Answer(Value):
    """An answer; `options` holds a score for each option of a closed question, best first.

    Where a schema was given, `text` is JSON of it, to be read by `json.loads(answer.text)`, or by
    `Plate.model_validate_json(answer.text)` where the schema is `Plate.model_json_schema()`.
    """

    text: str
    score: Score | None = None
    options: tuple[Label, ...] = ()


@dataclass(frozen=True, slots=True)
class Example:
    """A question that was answered rightly, shown to a model before its own (few-shot)."""

    picture: Picture
    question: str
    answer: str


class TextRegion(Value):
    """A line of text: its quadrilateral (from the text's own top left, clockwise), what it says, how sure."""

    quad: Polygon
    text: str
    confidence: Score


class Language(Value):
    """A language by its ISO 639-1 code, and how sure the model is of it."""

    code: str = Field(pattern="^[a-z]{2}$")
    score: Score


class Translation(Value):
    """A text in another language, and which model gave it; no text where the model would not answer for one."""

    text: str | None
    model: str


class Palette(Value):
    """The colours of a text region, as `#rrggbb`."""

    foreground: str = Field(pattern="^#[0-9a-f]{6}$")
    background: str = Field(pattern="^#[0-9a-f]{6}$")


class Quality(Value):
    """What can be said of a picture without a model.

    `sharpness` is the variance of the Laplacian of the grey picture (0 for an even surface; Pech-Pacheco et al. 2000),
    `brightness` its mean and `contrast` its standard deviation, both as shares of full scale in [0, 1].
    """

    sharpness: float = Field(ge=0)
    brightness: float = Field(ge=0, le=1)
    contrast: float = Field(ge=0, le=1)


class Registration(Value):
    """How a reference was laid over a picture, and how well it fits.

    `correlation` is Pearson's, of both in grey and blurred a little, where both are; `covered` the share of the picture
    that the reference reaches. Seen from the picture, the reference lay moved by `shift_px` of its own pixels (at the
    picture's centre), turned clockwise by `rotation_deg`, and enlarged by `scale`.
    """

    correlation: float = Field(ge=-1, le=1)
    covered: float = Field(ge=0, le=1)
    shift_px: float = Field(ge=0)
    rotation_deg: float = Field(ge=-180, le=180)
    scale: float = Field(gt=0)


class Hashes(Value):
    """What a picture is found again by, each as hexadecimal digits.

    `pdq` (256 bits) and `phash` (64 bits) change little where the picture does; `pdq_quality` is 0 to 100, and below 50
    too little is to be seen for `pdq` to tell pictures apart. `sha256` is that of the file as it was sent; None for a
    picture that was cut out of another.
    """

    pdq: str = Field(pattern="^[0-9a-f]{64}$")
    pdq_quality: int = Field(ge=0, le=100)
    phash: str = Field(pattern="^[0-9a-f]{16}$")
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")


class Code(Value):
    """A bar code of any kind: its format (`QRCode`, `EAN13`, …), what it says, and where it stands, clockwise."""

    format: str
    text: str
    quad: Polygon


class Vision(Protocol):
    """All that an application may ask. Calls block; the batching across jobs happens beneath."""

    def classify(self, picture: Picture, labels: Sequence[str], *, model: str | None = None) -> tuple[Label, ...]:
        """Score each label against the picture, best first.

        Whether the scores are shares that add up to 1 or stand for each label alone depends on the model, and is kept
        with the answer.
        """

    def embed(self, picture: Picture, *, model: str | None = None) -> tuple[float, ...]:
        """Return a vector of length 1."""

    def detect(
        self,
        picture: Picture,
        *,
        reference: Picture | None = None,
        model: str | None = None,
        min_score: float = 0.25,
    ) -> tuple[Detection, ...]:
        """Find objects of the model's own classes, best first.

        A model that was trained on pairs compares the picture with its golden `reference`, which `align` laid over it.
        Raises ModelError where such a model is given none, or another model one.
        """

    def classes(self, *, model: str | None = None) -> tuple[str, ...]:
        """Return the class names that the `detect` model knows."""

    def ground(
        self, picture: Picture, phrases: Sequence[str], *, model: str | None = None, min_score: float = 0.25
    ) -> tuple[Grounding, ...]:
        """Find what each phrase speaks of, best first."""

    def segment(self, picture: Picture, prompt: Prompt, *, model: str | None = None) -> tuple[Segment, ...]:
        """Draw a mask for each box, for the points together, or for the phrase."""

    def ask(
        self,
        pictures: Sequence[Picture],
        question: str,
        *,
        options: Sequence[str] = (),
        schema: Mapping[str, Any] | None = None,
        examples: Sequence[Example] = (),
        model: str | None = None,
    ) -> Answer:
        """Answer a question about the pictures; with `options`, by one of them; after `examples` of right answers.

        With a `schema` (see `domain/schemas.py`) the answer is JSON of it. Raises InvalidRequest on a schema that no
        model is held to here, or beside options; ModelError where the model did not get to the end of its JSON.
        """

    def caption(self, picture: Picture, *, model: str | None = None) -> str:
        """Describe the picture in a sentence."""

    def draft(self, pictures: Sequence[Picture], instruction: str, *, model: str | None = None) -> str:
        """Write a text from the pictures as instructed."""

    def read(self, picture: Picture, *, model: str | None = None) -> tuple[TextRegion, ...]:
        """Read the text lines of the picture, in no particular order."""

    def identify(self, text: str, candidates: Sequence[str], *, model: str | None = None) -> Language | None:
        """Say which of the candidate languages (ISO 639-1) a text is in; None where it cannot be told."""

    def translate(self, text: str, source: str, target: str, *, model: str | None = None) -> Translation | None:
        """Translate between two languages (ISO 639-1); None where no translation model is configured."""

    def imagine(self, prompt: str, *, seed: int = 0, model: str | None = None) -> Picture:
        """Draw a picture from a text."""

    def crop(self, picture: Picture, box: Box) -> Picture:
        """Return the part of the picture inside the box, at least 1×1 pixel."""

    def palette(self, picture: Picture, quad: Polygon) -> Palette:
        """Return the colours of the ink and of the ground inside a text region."""

    def align(self, picture: Picture, reference: Picture) -> tuple[Picture, Registration]:
        """Lay a golden reference over a picture: return it as seen from there, in the picture's light, and how it fits.

        Where the reference does not reach, the picture's own pixels stand. Raises RegistrationFailed where the two do
        not show the same, or one shows nothing.
        """

    def quality(self, picture: Picture) -> Quality:
        """Measure sharpness, brightness and contrast."""

    def hashes(self, picture: Picture) -> Hashes:
        """Return what the picture is found again by."""

    def codes(self, picture: Picture) -> tuple[Code, ...]:
        """Read the bar codes and QR codes of the picture, from the top left."""
