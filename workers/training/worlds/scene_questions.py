"""Questions about a drawn scene, each of a kind, with its answer and what else might be answered."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from workers.training.worlds.objects import KINDS
from workers.training.worlds.palette import COLOURS
from workers.training.worlds.scene_words import NUMBERS, called, with_article
from workers.training.worlds.scenes import Scene, Thing, World

Random = np.random.Generator
APART = 0.12
"""How far two places are at least apart, in shares of the side, to be told from each other."""


@dataclass(frozen=True)
class Question:
    """`kind` is count, colour, thing, position or yes/no; `options` holds the answer among others."""

    kind: str
    question: str
    answer: str
    options: tuple[str, ...]


def questions(rng: Random, scene: Scene, world: World) -> Sequence[Question]:
    """Return one question of each kind that the scene has an answer to."""
    asked = (ask(rng, scene, world) for ask in _ASK)
    return [question for question in asked if question is not None]


def _one(rng: Random, things: Sequence[Thing]) -> Thing | None:
    return things[int(rng.integers(len(things)))] if things else None


def _alone(scene: Scene) -> Sequence[Thing]:
    """Return the things whose kind no other has."""
    kinds = [thing.kind for thing in scene.things]
    return [thing for thing in scene.things if kinds.count(thing.kind) == 1]


def _count(rng: Random, scene: Scene, world: World) -> Question | None:
    kind = scene.things[int(rng.integers(len(scene.things)))].kind
    counted = sum(thing.kind == kind for thing in scene.things)
    return Question("count", f"How many {called(kind, 2)} are there?", NUMBERS[counted], NUMBERS[1:])


def _colour(rng: Random, scene: Scene, world: World) -> Question | None:
    thing = _one(rng, [thing for thing in _alone(scene) if thing.colour])
    return Question("colour", f"What colour is the {thing.kind}?", thing.colour, tuple(COLOURS)) if thing else None


def _thing(rng: Random, scene: Scene, world: World) -> Question | None:
    """Ask what has a colour; not beside symbols, which have several."""
    colours = [thing.colour for thing in scene.things]
    thing = None if "" in colours else _one(rng, [each for each in scene.things if colours.count(each.colour) == 1])
    return Question("thing", f"What is {thing.colour}?", thing.kind, tuple(KINDS)) if thing else None


def _position(rng: Random, scene: Scene, world: World) -> Question | None:
    side = scene.pixels.shape[0]
    ways = []
    for thing in _alone(scene):
        x, y = (thing.box.x0 + thing.box.x1) / 2 / side, (thing.box.y0 + thing.box.y1) / 2 / side
        for place, words in ((x, ("left", "right")), (y, ("top", "bottom"))):
            if abs(place - 0.5) > APART / 2:
                ways.append((thing, words, words[int(place > 0.5)]))
    if not ways:
        return None
    thing, words, answer = ways[int(rng.integers(len(ways)))]
    at = "on the left or on the right" if "left" in words else "at the top or at the bottom"
    return Question("position", f"Is the {thing.kind} {at}?", answer, words)


def _there(rng: Random, scene: Scene, world: World) -> Question | None:
    """Ask for something that is there, or for what differs from it in a word."""
    thing = _one(rng, [thing for thing in scene.things if thing.colour])
    if thing is None:
        return None
    asked = thing.pair
    if rng.random() < 0.5:
        there = {other.pair for other in scene.things}
        near = [pair for pair in world.pairs if pair not in there and (pair[0] == asked[0]) != (pair[1] == asked[1])]
        if near:
            asked = near[int(rng.integers(len(near)))]
    answer = "yes" if asked == thing.pair else "no"
    return Question("yes/no", f"Is there {with_article(' '.join(asked))}?", answer, ("yes", "no"))


def _related(rng: Random, scene: Scene, world: World) -> Question | None:
    """Ask whether one thing is left of, or above, another."""
    alone = _alone(scene)
    if len(alone) < 2:
        return None
    one, other = (alone[int(index)] for index in rng.permutation(len(alone))[:2])
    side = scene.pixels.shape[0]
    across = (other.box.x0 + other.box.x1 - one.box.x0 - one.box.x1) / 2 / side
    down = (other.box.y0 + other.box.y1 - one.box.y0 - one.box.y1) / 2 / side
    by, words = (across, "to the left of") if abs(across) > abs(down) else (down, "above")
    if abs(by) < APART:
        return None
    answer = "yes" if by > 0 else "no"
    return Question("yes/no", f"Is the {one.kind} {words} the {other.kind}?", answer, ("yes", "no"))


_ASK: tuple[Callable[[Random, Scene, World], Question | None], ...] = (
    _count,
    _colour,
    _thing,
    _position,
    _there,
    _related,
)
