"""What the embedded VLM learns from: drawn scenes and phantoms, what their patches show, and what is asked of them.

numpy only, no torch: these are drawn in processes of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from domain.geometry import Box
from workers.modelling.wording import CAPTION
from workers.training.worlds import phantoms, scenes
from workers.training.worlds.objects import KINDS
from workers.training.worlds.phantom_anatomy import SIDES
from workers.training.worlds.phantom_findings import FINDINGS
from workers.training.worlds.phantom_reports import INSTRUCTION
from workers.training.worlds.phantoms import Finding, Phantom
from workers.training.worlds.scene_patches import UNSURE, Labels, patches
from workers.training.worlds.scene_questions import questions
from workers.training.worlds.scene_words import described, phrases, with_article
from workers.training.worlds.scenes import TRAINING_WORLD, Scene, World
from workers.training.worlds.symbols import SYMBOLS

SIDE, PATCH = 128, 16
"""The side of a picture, and of a place that the eye tells apart (`eye.PATCH`, in which torch is)."""
ACROSS = SIDE // PATCH
BINS = 64
"""A place along a side is told as one of so many."""
QUESTIONS = 8
"""So many of what can be asked of a picture are learned from at a time, its boxes and its draft first."""
LEARNED, VALIDATED = 11, 12
"""The first number of a picture's seed: what is learned from is never what is validated on."""
PHANTOM_SHARE = 0.3
LARGER = 224
"""The side that half of the phantoms are drawn at before they are made smaller, as they will come."""
NOTHING = "nothing"
"""What is answered where a phrase means nothing in a picture."""
COVERED = 0.2
"""A patch belongs to a finding whose box covers so much of it."""

Random = np.random.Generator


@dataclass(frozen=True)
class Asked:
    """A question with its answer; `kind` is that of `scene_questions`, or kind, box, caption, finding, side, draft."""

    kind: str
    question: str
    answer: str


@dataclass(frozen=True, eq=False)
class Shown:
    """N pictures (N×S×S×3), what their patches show, and what is asked of each.

    `kinds` and `colours` (N×P) and `boxes` (N×P×4) are as in `scene_patches`; `findings` is N×P×F: 1 where a patch
    belongs to a finding of `FINDINGS`, 0 where not. A scene has no findings to be told (-1), a phantom no things: its
    boxes are those of its findings.
    """

    pixels: npt.NDArray[np.uint8]
    kinds: Labels
    colours: Labels
    boxes: npt.NDArray[np.float32]
    findings: npt.NDArray[np.float32]
    asked: tuple[tuple[Asked, ...], ...]


def batch(part: int, seed: int, size: int, asked: bool, number: int) -> Shown:
    """Draw a batch: its first pictures are phantoms, the others scenes. Without `asked`, nothing is asked."""
    many = round(PHANTOM_SHARE * size)
    pictures, shown, questioned = [], [], []
    for index in range(size):
        rng = np.random.default_rng([part, seed, number, index])
        if index < many:
            phantom = _phantom(rng)
            pictures.append(_rgb(phantom))
            shown.append(_of_phantom(phantom))
            questioned.append(_some(rng, of_phantom(rng, phantom)) if asked else ())
        else:
            scene = scenes.draw([part, seed, number, index], side=SIDE)
            pictures.append(scene.pixels)
            shown.append(_of_scene(scene))
            questioned.append(_some(rng, (*of_scene(rng, scene), _easy(rng, scene))) if asked else ())
    kinds, colours, boxes, findings = (np.stack(each) for each in zip(*shown, strict=True))
    return Shown(np.stack(pictures), kinds, colours, boxes, findings, tuple(questioned))


def _some(rng: Random, asked: tuple[Asked, ...]) -> tuple[Asked, ...]:
    """Choose what is learned from: boxes and drafts, and of the others what chance picks."""
    chances = rng.random(len(asked)) - [one.kind in {"box", "draft"} for one in asked]
    return tuple(asked[int(index)] for index in np.argsort(chances)[:QUESTIONS])


def of_scene(rng: Random, scene: Scene, world: World = TRAINING_WORLD) -> tuple[Asked, ...]:
    """Ask of a scene: two questions of each kind where there are two, a caption, and where things are."""
    twice = [*questions(rng, scene, world), *questions(rng, scene, world)]
    asked = dict.fromkeys(Asked(one.kind, one.question, one.answer) for one in twice)
    told = [*asked, Asked("caption", CAPTION, described(scene))]
    found = phrases(scene)
    picked = [found[int(index)] for index in rng.permutation(len(found))[:2]]
    told += [Asked("box", where(one.text), boxes(one.text, one.boxes)) for one in picked]
    if rng.random() < 0.3:
        there = {thing.pair for thing in scene.things} | {("", thing.kind) for thing in scene.things}
        others = [pair for pair in world.pairs if pair not in there]
        absent = " ".join(others[int(rng.integers(len(others)))])
        told.append(Asked("box", where(absent), NOTHING))
    return tuple(told)


def _easy(rng: Random, scene: Scene) -> Asked:
    """Ask for a kind of thing alone: the first step to asking for one of a colour."""
    there = sorted({thing.kind for thing in scene.things})
    absent = [kind for kind in (*KINDS, *SYMBOLS) if kind not in there]
    yes = rng.random() < 0.5
    return Asked("kind", f"Is there {with_article(str(rng.choice(there if yes else absent)))}?", "yes" if yes else "no")


def of_phantom(rng: Random, phantom: Phantom) -> tuple[Asked, ...]:
    """Ask of a phantom: for a draft, for findings that are there and that are not, for sides, and for places."""
    told = [Asked("draft", INSTRUCTION, phantom.report)]
    names = [finding.name for finding in phantom.findings]
    absent = [name for name in FINDINGS if name not in names]
    for name in [*names, *rng.permutation(absent)[: max(1, len(names))].tolist()]:
        question = "Is there cardiomegaly?" if name == "cardiomegaly" else f"Is there {with_article(name)}?"
        told.append(Asked("finding", question, "yes" if name in names else "no"))
    for finding in phantom.findings:
        told.append(Asked("box", where(finding.name), boxes(finding.name, [_box(finding.box, len(phantom.pixels))])))
        if finding.side:
            told.append(Asked("side", f"On which side is the {finding.name}?", finding.side))
    if absent:
        told.append(Asked("box", where(str(rng.choice(absent))), NOTHING))
    return tuple(told)


def where(phrase: str) -> str:
    """Return how it is asked where something is; the profile's row asks so too."""
    return f"detect {phrase}"


def boxes(phrase: str, found: Sequence[Box], side: int = SIDE) -> str:
    """Write boxes as PaliGemma does (`boxes_in_text`), from the left to the right, in `BINS` steps."""
    corners = sorted((box.x0 / side, box.y0 / side, box.x1 / side, box.y1 / side) for box in found)
    return " ; ".join(
        f"{location(y0)}{location(x0)}{location(y1)}{location(x1)} {phrase}" for x0, y0, x1, y1 in corners
    )


def location(share: float) -> str:
    """Return the token of a place along a side, in [0, 1]: the middle of its bin, of 1024."""
    step = 1024 // BINS
    return f"<loc{min(int(share * BINS), BINS - 1) * step + step // 2:04d}>"


LOCATIONS = tuple(location((index + 0.5) / BINS) for index in range(BINS))


def _phantom(rng: Random) -> Phantom:
    size = LARGER if rng.random() < 0.5 else SIDE
    return phantoms.draw(int(rng.integers(2**62)), size=size)


def _rgb(phantom: Phantom) -> npt.NDArray[np.uint8]:
    grey = phantom.pixels
    if grey.shape[0] != SIDE:
        grey = np.asarray(cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


Patched = tuple[Labels, Labels, npt.NDArray[np.float32], npt.NDArray[np.float32]]
"""Kinds, colours, boxes and findings of a picture's patches."""


def _of_scene(scene: Scene) -> Patched:
    found = patches(scene, PATCH)
    return found.kinds, found.colours, found.boxes, np.full((ACROSS**2, len(FINDINGS)), -1, np.float32)


def _of_phantom(phantom: Phantom) -> Patched:
    unsure = np.full(ACROSS**2, UNSURE, np.int64)
    told = np.zeros((ACROSS, ACROSS, len(FINDINGS)), np.float32)
    boxes = np.full((ACROSS, ACROSS, 4), np.nan, np.float32)
    for finding in sorted(phantom.findings, key=_area, reverse=True):  # where two overlap, a patch has the smaller box
        corners = np.array(finding.box, np.float32) / len(phantom.pixels)
        x0, y0, x1, y1 = (float(corner) * ACROSS for corner in corners)
        at = np.arange(ACROSS)
        covers = [np.clip(np.minimum(at + 1, high) - np.maximum(at, low), 0, 1) for low, high in ((y0, y1), (x0, x1))]
        belongs = np.outer(*covers) >= COVERED
        belongs[min(int((y0 + y1) / 2), ACROSS - 1), min(int((x0 + x1) / 2), ACROSS - 1)] = True
        told[belongs, FINDINGS.index(finding.name)] = 1
        boxes[belongs] = corners
    return unsure, unsure, boxes.reshape(-1, 4), told.reshape(ACROSS**2, -1)


def _area(finding: Finding) -> float:
    x0, y0, x1, y1 = finding.box
    return (x1 - x0) * (y1 - y0)


def _box(corners: tuple[float, float, float, float], side: int) -> Box:
    """Return the box of a finding in the pixels of a picture of `SIDE`."""
    x0, y0, x1, y1 = (corner * SIDE / side for corner in corners)
    return Box(x0=x0, y0=y0, x1=max(x1, x0 + 1), y1=max(y1, y0 + 1))


def sayings() -> list[str]:
    """Return texts with all words of the worlds, from which the tokens are learned: the same always."""
    told = []
    for seed in range(500):
        rng = np.random.default_rng([0, seed])
        for one in of_scene(rng, scenes.draw([0, seed], side=64)):
            told += [one.question, one.answer]
        for one in of_phantom(rng, phantoms.draw(seed, size=64)):
            told += [one.question, one.answer]
    return [text for text in told if "<loc" not in text] + [*SIDES, *FINDINGS, NOTHING] * 9
