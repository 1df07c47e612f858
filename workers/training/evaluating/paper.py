"""Which part of a set is judged: all of it, a share of a split, or the items that a pattern or a list names."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from domain.errors import InvalidRequest
from workers.training.evaluating.candidate import Candidate
from workers.training.sets.labelled_set import Item, LabelledSet, Share, share_named
from workers.training.sets.splitting import Division, split


@dataclass(frozen=True)
class Paper:
    """What is to be answered: the part of a set that is judged, which that is in words, and the whole for its names."""

    whole: LabelledSet
    part: LabelledSet
    split: str


def everything(whole: LabelledSet) -> Paper:
    """Judge all of a set."""
    return Paper(whole, whole, "all of the set")


def share(whole: LabelledSet, name: str, division: Division) -> Paper:
    """Judge a share of a set, divided as for a training. Raises InvalidRequest where nothing is in that share."""
    wanted = share_named(name, "--share")
    parts = split(whole, division)
    part = {Share.TRAIN: parts.train, Share.VALIDATION: parts.validation}.get(wanted or Share.HELD_OUT, parts.held_out)
    if part is None:
        raise InvalidRequest(f"{whole.place}: nothing is in the share {name!r} of {parts.told['groups']} groups")
    return Paper(whole, part, f"{wanted} share by {parts.told['by']}, seed {division.seed}")


def division(chosen: Candidate | None) -> Division:
    """Return how the training of a revision divided its set; of anything else, how a training does by default."""
    recorded = chosen.registered.facts.split.get("division") if chosen and chosen.registered else None
    return Division(**{"order": 0, **recorded}) if recorded else Division()  # one that does not say took the first


def matching(whole: LabelledSet, pattern: str) -> Paper:
    """Judge the items whose path, or text, a regular expression finds. Raises InvalidRequest where it finds none."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InvalidRequest(f"--only {pattern!r} is no regular expression: {error}") from error
    return _those(whole, lambda item: compiled.search(item.key) is not None, f"items that match {pattern!r}")


def listed(whole: LabelledSet, file: Path) -> Paper:
    """Judge the items that a file names, one in each line, by path or by file name.

    Raises InvalidRequest where the file names one that the set does not have.
    """
    try:
        names = {line.strip() for line in file.read_text("utf-8").splitlines() if line.strip()}
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{file} is no list of names, one in each line: {error}") from error
    known = {name for item in whole.items() for name in (item.key, item.name)}
    if strange := sorted(names - known):
        raise InvalidRequest(f"{file} names {strange[0]!r}, which {whole.place} does not have")
    return _those(whole, lambda item: bool(names & {item.key, item.name}), f"items listed in {file.name}")


def _those(whole: LabelledSet, wanted: Callable[[Item], bool], told: str) -> Paper:
    chosen = [place for place, item in enumerate(whole.items()) if wanted(item)]
    if not chosen:
        raise InvalidRequest(f"{whole.place}: none of its {len(whole.items())} items is among the {told}")
    return Paper(whole, whole.part(chosen), told)
