"""Which findings a drafted text tells, by rules: names, what denies them, and the side that is said of them.

In English. The idea is NegEx's (Chapman et al. 2001): a word that denies holds for the names after it, up to where its
clause ends. It understands no synonyms: a set names its findings as its reports do.
"""

import re
from collections.abc import Collection, Iterator

from workers.training.measures.drafts import Told

CLAUSE = re.compile(r"[.;:!?\n]+|\b(?:but|however|although|though|except|yet|whereas)\b")
"""Where the reach of a denial ends."""
DENIES = re.compile(r"\b(?:no|not|without|absent|absence of|free of|negative for|neither|nor|excludes?|denies)\b")
"""Before a name."""
DENIED = re.compile(
    r"^[\w\s]{0,20}?\b(?:is|are|was|were)?\s*(?:absent|excluded|ruled out|not (?:seen|present|visible|identified))\b"
)
"""After a name."""
SIDE = re.compile(r"\b(left|right|bilateral(?:ly)?|both)\b")
BOTH = ("left", "right")
JOINT = re.compile(r",|\b(?:and|with)\b")


def told_findings(text: str, names: Collection[str]) -> frozenset[Told]:
    """Return the findings of these names that a text says to be there, each with its side where it says one.

    `bilateral` and `both` are one on either side.
    """
    return frozenset(
        finding for clause in CLAUSE.split(_plain(text)) for finding in _in_clause(clause, sorted(names, key=len)[::-1])
    )


def _in_clause(clause: str, names: list[str]) -> Iterator[Told]:
    places = _places(clause, names)
    for index, (begin, end, name) in enumerate(places):
        before = clause[places[index - 1][1] if index else 0 : begin]
        after = clause[end : places[index + 1][0] if index + 1 < len(places) else len(clause)]
        if DENIES.search(clause[:begin]) or DENIED.search(after):
            continue
        for side in _sides(before, after, first=index == 0):
            yield Told(name, side)


def _places(clause: str, names: list[str]) -> list[tuple[int, int, str]]:
    """Return where names stand, in the order of the clause: (begin, end, name). A longer name hides one within it."""
    found: list[tuple[int, int, str]] = []
    for name in names:
        for match in re.finditer(rf"\b{re.escape(_plain(name))}(?:s|es)?\b", clause):
            if all(match.end() <= begin or end <= match.start() for begin, end, _ in found):
                found.append((match.start(), match.end(), name))
    return sorted(found)


def _sides(before: str, after: str, *, first: bool) -> tuple[str, ...]:
    """Return the side that is told just before a finding, or else after it; of none, an empty one.

    What stands beyond an `and` or a comma is another finding's, but before the first one there is no other.
    """
    near = SIDE.findall(JOINT.split(before)[-1]) or (SIDE.findall(before) if first else [])
    word = near[-1] if near else next(iter(SIDE.findall(JOINT.split(after)[0])), "")
    return (word,) if word in {*BOTH, ""} else BOTH


def _plain(text: str) -> str:
    return re.sub(r"[\s_-]+", " ", text.casefold().replace("\n", ". ")).strip()
