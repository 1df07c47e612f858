"""What can be said of a drawn scene and what can be asked about it: captions, phrases with boxes, questions.

A caption carries its claim: a set of facts, and it is true of every scene that has all of them (`facts`). So two
scenes of a batch that one caption fits are known as such. Nothing here ever speaks of a pair of colour and kind that
the scene's world does not have.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from domain.geometry import Box
from workers.training.worlds import symbols
from workers.training.worlds.objects import KINDS
from workers.training.worlds.scenes import Scene, Thing, World

Random = np.random.Generator
NUMBERS = ("zero", "one", "two", "three", "four", "five")
OTHER_WORDS_SHARE = 0.15
FRAMES = ("{}", "{}", "a picture of {}", "a picture of {}.", "a photo of {}.", "there is {}", "a drawing of {}.")


@dataclass(frozen=True)
class Caption:
    """A text that is true of each scene that has all facts of its claim."""

    text: str
    claim: frozenset[str]


@dataclass(frozen=True)
class Phrase:
    """Words for some things of a scene, and where each of those is."""

    text: str
    boxes: tuple[Box, ...]


def facts(scene: Scene) -> frozenset[str]:
    """Return what claims are made of: `fish`, `red fish`, `2 fish`, `2 red fish`."""
    kinds = Counter(thing.kind for thing in scene.things)
    names = Counter(thing.name for thing in scene.things)
    numbered = (f"{count} {name}" for counted in (kinds, names) for name, count in counted.items())
    return frozenset((*kinds, *names, *numbered))


def called(kind: str, count: int = 1) -> str:
    """Return the name of a kind of thing or symbol, for so many of it."""
    if kind in KINDS:
        return KINDS[kind].called(count)
    if count == 1:
        return kind
    return kind.replace("banner", "banners") if "banner" in kind else f"{kind}s"


def with_article(name: str) -> str:
    """Return a name with `a` or `an` before it."""
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def caption(rng: Random, scene: Scene) -> Caption:
    """Say something true of a scene: one of its things, two of them, or how many of some there are."""
    first, *others = (scene.things[int(index)] for index in rng.permutation(len(scene.things)))
    alike = [thing for thing in scene.things if thing.pair == first.pair]
    framed = str(rng.choice(FRAMES))
    if len(alike) > 1 and rng.random() < 0.6:
        name = f"{first.colour} {called(first.kind, len(alike))}".strip()
        said = f"{NUMBERS[len(alike)]} {name}"
        return Caption(framed.replace("there is", "there are").format(said), frozenset({f"{len(alike)} {first.name}"}))
    words, claim = _named(rng, first)
    if others and others[0].kind != first.kind and rng.random() < 0.4:
        more, claimed = _named(rng, others[0])
        return Caption(framed.format(f"{words} and {more}"), claim | claimed)
    return Caption(framed.format(words), claim)


def _named(rng: Random, thing: Thing) -> tuple[str, frozenset[str]]:
    """Name a thing by its kind, mostly with its colour, sometimes in other words, with an article or without."""
    other = KINDS[thing.kind].also if thing.kind in KINDS else symbols.ALSO.get(thing.kind, ())
    kind = str(rng.choice(other)) if other and rng.random() < OTHER_WORDS_SHARE else thing.kind
    coloured = bool(thing.colour) and rng.random() < 0.8
    words = f"{thing.colour} {kind}" if coloured else kind
    claim = frozenset({thing.name if coloured else thing.kind})
    return (with_article(words) if rng.random() < 0.7 else words), claim


def altered(rng: Random, thing: Thing, world: World) -> Caption:
    """Name what differs from a thing in one word: in its colour or in its kind; for a symbol, another symbol."""
    if not thing.colour:
        others = [name for name in symbols.SYMBOLS if name != thing.kind]
        name = others[int(rng.integers(len(others)))]
        return Caption(str(rng.choice(FRAMES)).format(with_article(name)), frozenset({name}))
    near = [pair for pair in world.pairs if (pair[0] == thing.colour) != (pair[1] == thing.kind)]
    same_kind = [pair for pair in near if pair[1] == thing.kind]
    chosen = same_kind if same_kind and rng.random() < 0.5 else near
    name = " ".join(chosen[int(rng.integers(len(chosen)))])
    return Caption(str(rng.choice(FRAMES)).format(with_article(name)), frozenset({name}))


def names(world: World) -> tuple[str, ...]:
    """Return the name of each pair of colour and kind in a world, and of each symbol."""
    pairs = tuple(" ".join(pair) for pair in world.pairs)
    return pairs + (tuple(symbols.SYMBOLS) if world.symbols else ())


def phrases(scene: Scene) -> Sequence[Phrase]:
    """Return a phrase for each kind and each pair in a scene, with the boxes of all that it means."""
    by_kind: dict[str, list[Box]] = {}
    by_name: dict[str, list[Box]] = {}
    for thing in scene.things:
        by_kind.setdefault(called(thing.kind), []).append(thing.box)
        by_name.setdefault(thing.name, []).append(thing.box)
    return [Phrase(text, tuple(boxes)) for text, boxes in (by_kind | by_name).items()]


def described(scene: Scene) -> str:
    """Say what is on a scene, from the left, what is alike counted, as in `There are a cat and two red cars`."""
    ordered = sorted(scene.things, key=lambda thing: thing.box.x0)
    counted = Counter(thing.pair for thing in ordered)
    named = [
        with_article(f"{colour} {kind}".strip())
        if count == 1
        else f"{NUMBERS[count]} {f'{colour} {called(kind, count)}'.strip()}"
        for (colour, kind), count in counted.items()
    ]
    verb = "is" if len(scene.things) == 1 else "are"
    *first, last = named
    return f"There {verb} {', '.join(first)} and {last}." if first else f"There {verb} {last}."
