"""Judging a set of pictures with one label each."""

from collections.abc import Sequence

from domain.vision import Capability, Label
from workers.labelled import LabelledPicture
from workers.training.evaluating.choosing import chosen
from workers.training.evaluating.examinee import Examinee
from workers.training.evaluating.judged import Case, Confusion, Judged
from workers.training.measures import labels as measures
from workers.training.measures.calibration import BINS, expected_error
from workers.training.measures.labels import PerLabel, Rate
from workers.training.sets.lines import Lines

MISSED = "(no answer)"


def judge(examinee: Examinee, found: Lines, labels: Sequence[str]) -> Judged:
    """Let the model choose among `labels` for each picture; a picture that it fails on is called by none of them."""
    examinee.asked(found.place, Capability.CLASSIFY)
    lines = [line for line in found.lines if isinstance(line, LabelledPicture)]
    told, among_all = chosen(examinee, [line.image for line in lines], labels)
    best = [one or Label(name=MISSED, score=0) for one in told]
    called, right = [one.name for one in best], [line.label for line in lines]
    hits = Rate(sum(one == other for one, other in zip(called, right, strict=True)), len(right))
    per_label = {name: rate for name, rate in measures.per_label(called, right).items() if name != MISSED}
    present = [one for one in per_label.values() if one.recall.count]
    scored = [(one.score, one.name == other) for one, other in zip(best, right, strict=True) if one.name != MISSED]
    metrics: dict[str, float | None] = {
        "accuracy": hits.share,
        "balanced_accuracy": sum(one.recall.share or 0 for one in present) / len(present),
        "macro_f1": sum(one.f1 or 0 for one in present) / len(present),
        "failed": called.count(MISSED) / len(called),
    }
    if examinee.scores_tell and scored and among_all:
        metrics["calibration_error"] = expected_error([score for score, _ in scored], [hit for _, hit in scored])
    shown = tuple(sorted({*called, *right}))
    return Judged(
        count=len(lines),
        metrics=metrics,
        intervals={"accuracy": hits.interval},
        per_class={name: rates(one) for name, one in per_label.items()},
        settings={"labels": len(labels), "calibration_bins": BINS},
        confusion=Confusion(shown, shown, measures.confusion(called, right, shown)),
        cases=[
            Case(line.image.name, 0 if one.name == line.label else one.score + 1, line.label, _told(one), line.image)
            for line, one in zip(lines, best, strict=True)
        ],
    )


def rates(one: PerLabel) -> dict[str, float | None]:
    """Return what is told of a label: both rates with their intervals, F1, and how often it is there."""
    (precision_low, precision_high), (recall_low, recall_high) = one.precision.interval, one.recall.interval
    return {
        "count": one.recall.count,
        "precision": one.precision.share,
        "precision_low": precision_low,
        "precision_high": precision_high,
        "recall": one.recall.share,
        "recall_low": recall_low,
        "recall_high": recall_high,
        "f1": one.f1,
    }


def _told(one: Label) -> str:
    return one.name if one.name == MISSED else f"{one.name} ({one.score:.2f})"
