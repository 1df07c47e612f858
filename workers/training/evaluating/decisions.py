"""What inspections decided on parts whose defects are known."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from domain.applications.inspection.recipe import Verdict
from domain.applications.inspection.result import InspectionResult
from domain.vision import Detection
from workers.training.coco import CocoImage
from workers.training.evaluating.judged import Case, Confusion, Judged
from workers.training.evaluating.labels import rates
from workers.training.measures.boxes import Scene, Thing, operating
from workers.training.measures.labels import PerLabel, Rate

FAILED = "FAILED"
"""What is told of a part that the application failed on, in place of a verdict."""
REFUSED = frozenset({Verdict.REJECT, Verdict.REWORK})
ROWS = ("clean", "defective")
COLUMNS = (*(str(one) for one in Verdict), FAILED)


@dataclass(frozen=True)
class Decision:
    """A part: what is there, and what the application made of it; no result where it failed."""

    image: CocoImage
    picture: Path
    there: Sequence[Thing]
    result: InspectionResult | None
    failure: str = ""
    """why there is no result"""

    @property
    def verdict(self) -> str:
        """The verdict, or FAILED."""
        return FAILED if self.result is None else self.result.verdict

    @property
    def defective(self) -> bool:
        """Whether it has a defect."""
        return bool(self.there)


def of_inspections(decisions: Sequence[Decision], classes: Sequence[str], iou: float) -> Judged:
    """Judge verdicts: a part with a defect is to be refused, a clean one to be accepted; to a person is neither.

    Nor is a failure. An escape is a defective part that was accepted. Defects that the application is certain of are
    judged from `iou`.
    """
    refused = PerLabel(
        precision=Rate(_count(decisions, REFUSED, defective=True), _count(decisions, REFUSED)),
        recall=Rate(_count(decisions, REFUSED, defective=True), sum(one.defective for one in decisions)),
    )
    defective, clean = refused.recall.count, len(decisions) - refused.recall.count
    escapes = Rate(_count(decisions, {Verdict.ACCEPT}, defective=True), defective)
    overkill = Rate(_count(decisions, REFUSED, defective=False), clean)
    undecided = Rate(_count(decisions, {Verdict.UNDECIDED}), len(decisions))
    failed = Rate(_count(decisions, {FAILED}), len(decisions))
    at = operating([_scene(one) for one in decisions], classes, score=0, iou=iou)
    return Judged(
        count=len(decisions),
        metrics={
            "refused_precision": refused.precision.share,
            "refused_recall": refused.recall.share,
            "refused_f1": refused.f1,
            "escapes": escapes.share,
            "false_refusals": overkill.share,
            "undecided": undecided.share,
            "failed": failed.share,
            "defect_precision": at.overall.precision.share,
            "defect_recall": at.overall.recall.share,
        },
        intervals={
            "refused_precision": refused.precision.interval,
            "refused_recall": refused.recall.interval,
            "escapes": escapes.interval,
            "false_refusals": overkill.interval,
            "undecided": undecided.interval,
        },
        per_class={name: rates(one) for name, one in at.per_class.items()},
        settings={"iou": iou, "defective": defective, "clean": clean},
        confusion=_confusion(decisions),
        cases=[_case(one) for one in decisions],
    )


def _count(decisions: Sequence[Decision], verdicts: Set[str], *, defective: bool | None = None) -> int:
    return sum(one.verdict in verdicts and defective in {None, one.defective} for one in decisions)


def _scene(one: Decision) -> Scene:
    defects = () if one.result is None else one.result.defects
    found = [Detection(label=each.label, score=each.score, box=each.box) for each in defects if each.certain]
    return Scene(one.image.width, one.image.height, one.there, found)


def _confusion(decisions: Sequence[Decision]) -> Confusion:
    counts = np.zeros((len(ROWS), len(COLUMNS)), dtype=np.int64)
    for one in decisions:
        counts[int(one.defective), COLUMNS.index(one.verdict)] += 1
    return Confusion(ROWS, COLUMNS, counts)


def _case(one: Decision) -> Case:
    """Return a part: an escape is the worst, then a clean part that was refused, then what was left to a person."""
    verdict = one.verdict
    badness = 3.0 if one.defective and verdict == Verdict.ACCEPT else 0.0
    badness += 2.0 if not one.defective and verdict in REFUSED else 0.0
    badness += 1.0 if verdict in {Verdict.UNDECIDED, FAILED} else 0.0
    there = ", ".join(sorted(thing.label for thing in one.there)) or "no defect"
    why = one.failure if one.result is None else " ".join(reason.sentence for reason in one.result.reasons)
    return Case(one.image.file_name, badness, there, f"{verdict}. {why}".strip(), one.picture)
