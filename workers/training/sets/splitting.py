"""Splitting a set by group, never by picture: what is measured is of parts and patients that were not learnt from.

Where a set divides itself (the folders of a YOLO set, a field `split`), that stays. A share that it lacks is taken from
what it trains on.
"""

import hashlib
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

from domain.errors import InvalidRequest
from workers.training.sets.labelled_set import Item, LabelledSet, Share

log = logging.getLogger(__name__)

ORDERS = 32
"""Of so many orders of the groups, the best is taken."""
MOST_NAMED = 10
"""So many classes are named in a line of the log."""

S = TypeVar("S", bound=LabelledSet)


@dataclass(frozen=True)
class Division:
    """How a set is to be divided.

    `by` is a pattern with one group, looked for in the files' names, and in their paths within the set where it is not
    there; it goes before the groups that the set tells. The same `seed` gives the same shares of a set, whatever is
    trained.
    """

    validation: float = 0.1
    held_out: float = 0.1
    by: str | None = None
    seed: int = 0
    order: int | None = None
    """which of the orders that the seed gives; the first that suits the set where None"""


@dataclass(frozen=True)
class Parts(Generic[S]):
    """A set in shares. `held_out` is None where nothing is held out; `told` is what is kept with a revision.

    Its `lacking` are the classes, or labels, of the whole that nothing in the training share is of.
    """

    train: S
    validation: S
    held_out: S | None
    told: dict[str, Any]


def split(whole: S, division: Division) -> Parts[S]:
    """Divide a set, and warn of classes that are not in the training share.

    The groups are put into an order by the seed. Where that leaves a class to no training, or a share without anything
    that could be found in it, as in a small set, the best of several orders is taken.

    Raises InvalidRequest where the pattern is none or does not fit a name, or where there are fewer groups than shares.
    """
    items = whole.items()
    groups = _groups(whole, items, division.by)
    given = {group: item.share for group, item in zip(groups, items, strict=True) if item.share}
    for group, item in zip(groups, items, strict=True):
        if item.share not in {None, given.get(group)}:
            raise InvalidRequest(f"{whole.place}: its own split has the group {group!r} in several shares")
    best: dict[Share, S] = {}
    for order in range(ORDERS) if division.order is None else [division.order]:
        shares = _shares(whole, groups, given, division, order)
        chosen = {one: [at for at, group in enumerate(groups) if shares[group] is one] for one in Share}
        parts = {one: whole.part(places) for one, places in chosen.items() if places}
        if not best or _wanting(whole, parts) < _wanting(whole, best):
            best, taken, suits = parts, shares, order
        if _wanting(whole, best) == (0, 0):
            break
    parts, shares = best, taken
    lacking = sorted(whole.names() - parts[Share.TRAIN].names())
    if lacking:
        some = ", ".join(lacking[:MOST_NAMED]) + (" …" if len(lacking) > MOST_NAMED else "")
        log.warning(
            "%s: the training share has nothing of %d of the set's classes, which so cannot be learnt: %s",
            whole.place,
            len(lacking),
            some,
            extra={"event": "training.classes_lacking"},
        )
    told = {
        "by": _by(items, division.by),
        "seed": division.seed,
        "items": {one.value: len(parts[one].items()) if one in parts else 0 for one in Share},
        "groups": {one.value: sum(share is one for share in shares.values()) for one in Share},
        "lacking": lacking,
        "division": {**asdict(division), "order": suits},
    }
    return Parts(parts[Share.TRAIN], parts[Share.VALIDATION], parts.get(Share.HELD_OUT), told)


def _wanting(whole: LabelledSet, parts: Mapping[Share, LabelledSet]) -> tuple[int, int]:
    """Return how many classes are left to no training, and how many of the other shares have nothing to be found."""
    known = whole.names()
    others = [part for one, part in parts.items() if one is not Share.TRAIN]
    return len(known - parts[Share.TRAIN].names()), sum(bool(known) and not part.names() for part in others)


def _groups(whole: LabelledSet, items: Sequence[Item], pattern: str | None) -> list[str]:
    """Return the group of each item."""
    if pattern is None:
        return [item.group or item.key for item in items]
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InvalidRequest(f"the pattern {pattern!r} for groups is no regular expression: {error}") from error
    if compiled.groups != 1:
        raise InvalidRequest(f"the pattern {pattern!r} needs one pair of brackets, about what tells the group")
    return [_matched(whole, compiled, item) for item in items]


def _matched(whole: LabelledSet, pattern: re.Pattern[str], item: Item) -> str:
    found = pattern.search(item.name) or pattern.search(item.key)
    if not found or not found[1]:
        raise InvalidRequest(f"{whole.place}: the pattern {pattern.pattern!r} tells no group of {item.key!r}")
    return found[1]


def _by(items: Sequence[Item], pattern: str | None) -> str:
    if pattern is not None:
        return f"group, by '{pattern}' in the file names"
    told = sum(item.group is not None for item in items)
    if told == len(items):
        return "group, as the set tells it"
    if told:
        return f"group, as the set tells it of {told} items; the other {len(items) - told} are each their own"
    return "picture: the set tells no groups, so that pictures of one part may lie in several shares"


def _shares(
    whole: LabelledSet, groups: Sequence[str], given: Mapping[str, Share], division: Division, order: int
) -> dict[str, Share]:
    """Say which share each group is in, in one of the orders that the seed gives."""
    sizes: dict[str, int] = {}
    for group in groups:
        sizes[group] = sizes.get(group, 0) + 1
    shares = {group: given.get(group, Share.TRAIN) for group in sizes}
    seed = f"{division.seed}" if order == 0 else f"{division.seed}, order {order}"
    free = sorted((group for group in sizes if shares[group] is Share.TRAIN), key=lambda one: _hash(seed, one))
    wanted = {Share.HELD_OUT: division.held_out, Share.VALIDATION: division.validation}
    lacking = {one: part for one, part in wanted.items() if part > 0 and one not in shares.values()}
    if len(free) <= len(lacking) or (division.validation <= 0 and Share.VALIDATION not in shares.values()):
        raise InvalidRequest(
            f"{whole.place}: {len(free)} groups are to be trained on and to be divided into {len(lacking) + 1} shares, "
            f"one of them to validate on; give more pictures, other groups, or --held-out 0"
        )
    left = list(free)
    for one, part in lacking.items():
        room = len(left) - (2 if one is Share.HELD_OUT and Share.VALIDATION in lacking else 1)
        for group in _filling(left, sizes, part * len(groups), room):
            shares[group] = one
            left.remove(group)
    return shares


def _filling(groups: Iterable[str], sizes: dict[str, int], wanted: float, most: int) -> list[str]:
    """Return groups that together come near to so many items: the first that bring it nearer, or else the smallest."""
    taken: list[str] = []
    have = 0
    for group in groups:
        if len(taken) < most and abs(have + sizes[group] - wanted) < abs(have - wanted):
            taken.append(group)
            have += sizes[group]
    return taken or [min(groups, key=lambda one: sizes[one])]


def _hash(seed: str, group: str) -> str:
    return hashlib.sha256(f"{seed}\0{group}".encode()).hexdigest()
