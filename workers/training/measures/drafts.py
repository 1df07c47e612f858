"""Findings that a draft tells, against those that are there."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from workers.training.measures.labels import PerLabel, Rate


@dataclass(frozen=True)
class Told:
    """A finding and the side that it is on; the side is empty where it has none, or none was told."""

    finding: str
    side: str = ""


@dataclass(frozen=True)
class Drafts:
    """How well drafts tell what is there.

    `findings` counts findings by name over all drafts; `laterality` the sides of those that are right and have one;
    `normals` the pictures without a finding for which none was invented.
    """

    findings: PerLabel
    laterality: Rate
    normals: Rate
    per_finding: dict[str, PerLabel]


def compare(told: Sequence[Iterable[Told]], right: Sequence[Iterable[Told]]) -> Drafts:
    """Compare what each draft tells with what is there. A finding counts once a draft for each of its sides.

    A finding on a wrong side is found, and its laterality wrong: the two figures are independent.
    """
    pairs = [(frozenset(one), frozenset(other)) for one, other in zip(told, right, strict=True)]
    names = sorted({finding.finding for pair in pairs for side in pair for finding in side})
    per_finding = {name: _sum([_counted(one, other, name) for one, other in pairs]) for name in names}
    sides = [_sides(one, other, name) for one, other in pairs for name in names]
    normals = [not one for one, other in pairs if not other]
    return Drafts(
        findings=_sum(list(per_finding.values())),
        laterality=Rate(sum(rate.hits for rate in sides), sum(rate.count for rate in sides)),
        normals=Rate(sum(normals), len(normals)),
        per_finding=per_finding,
    )


def _counted(told: frozenset[Told], right: frozenset[Told], name: str) -> PerLabel:
    """Count one finding of one draft: two of them, left and right, are two."""
    called = sum(one.finding == name for one in told)
    are = sum(one.finding == name for one in right)
    hits = min(called, are)
    return PerLabel(Rate(hits, called), Rate(hits, are))


def _sides(told: frozenset[Told], right: frozenset[Told], name: str) -> Rate:
    """Count the sided findings that were found, and those of them whose side was told."""
    sides = {one.side for one in right if one.finding == name and one.side}
    called = [one.side for one in told if one.finding == name]
    return Rate(len(sides.intersection(called)), min(len(sides), len(called)))


def _sum(counted: Sequence[PerLabel]) -> PerLabel:
    hits = sum(one.recall.hits for one in counted)
    return PerLabel(
        Rate(hits, sum(one.precision.count for one in counted)), Rate(hits, sum(one.recall.count for one in counted))
    )
