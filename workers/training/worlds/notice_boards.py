"""Photographs of boards that say drawn notices: texts for a reader and a translator whose truth is known."""

from dataclasses import dataclass
from random import Random
from textwrap import wrap

import numpy as np

from workers.training.worlds.notices.drawing import Notice, Share, draw
from workers.training.worlds.notices.grammar import LANGUAGES, Language
from workers.training.worlds.signboards import Board, Colour, Face, Pixels, Weather, Written, photograph

LINE = 18
"""So many letters go on a line, or more where a word alone has them."""
COLOURS: tuple[tuple[Colour, Colour], ...] = (
    ((250, 250, 245), (20, 70, 150)),
    ((20, 20, 20), (245, 200, 30)),
    ((190, 20, 30), (250, 250, 245)),
    ((240, 250, 240), (0, 120, 70)),
    ((250, 245, 225), (70, 60, 50)),
    ((20, 20, 25), (235, 235, 230)),
)
"""Ink and ground."""
FACES: tuple[Face, ...] = ("sans", "sans-bold", "serif-bold", "mono-bold", "embedded")
SIZES = (20, 30)
"""of the letters, in pixels, on a picture that is 480 pixels wide"""


@dataclass(frozen=True, eq=False)
class Shown:
    """A photograph (H × W × 3, RGB), the notice on its board and in which language, and where its lines are."""

    pixels: Pixels
    notice: Notice
    language: Language
    lines: tuple[Written, ...]


def photographed(seed: int, share: Share = Share.TRAINING, size: tuple[int, int] = (480, 360)) -> Shown:
    """Draw a notice of a share and photograph its board, in perspective; the same seed, the same picture."""
    random = Random(seed)  # noqa: S311  (drawing is no secret)
    rng = np.random.default_rng(seed)
    notice, language = draw(random, share), random.choice(LANGUAGES)
    text = notice.say(language)
    spoken = wrap(text.upper() if random.random() < 0.4 else text, LINE, break_long_words=False)
    letters = round(float(rng.uniform(*SIZES)) * size[0] / 480)
    ink, ground = random.choice(COLOURS)
    board = Board(
        lines=tuple((line, letters) for line in spoken),
        ink=ink,
        ground=ground,
        face=random.choice(FACES),
        place=(float(rng.uniform(0.47, 0.53)), float(rng.uniform(0.44, 0.56))),
        turn=float(rng.uniform(-10, 10)),
        tilt=float(rng.uniform(-0.18, 0.18)),
    )
    weather = Weather(float(rng.uniform(0.3, 1.0)), float(rng.uniform(2, 8)), float(rng.uniform(0.75, 1.15)))
    pixels, lines = photograph([board], size, weather, seed)
    return Shown(pixels, notice, language, tuple(lines))
