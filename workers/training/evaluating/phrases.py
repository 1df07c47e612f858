"""Judging a set of pictures with phrases and the boxes of what they mean: phrase grounding."""

from domain.geometry import Box
from domain.vision import Capability, Grounding
from workers.labelled import LabelledPhrase
from workers.training.evaluating.examinee import Examinee
from workers.training.evaluating.judged import Case, Judged, Marked
from workers.training.measures.labels import PerLabel, Rate
from workers.training.measures.matching import NONE, box_overlaps, matched
from workers.training.sets.lines import Lines

Found = tuple[Grounding, ...]


def judge(examinee: Examinee, found: Lines, iou: float) -> Judged:
    """Let the model find what each phrase means. A box is right from an IoU of `iou` on with one that no surer has."""
    capability = examinee.asked(found.place, Capability.GROUND)
    lines = [line for line in found.lines if isinstance(line, LabelledPhrase)]
    asks = (examinee.ask(capability, line.image, phrases=(line.phrase,)) for line in lines)
    got: list[Found | None] = list(examinee.answers(asks))
    cases = [_case(line, answer or (), iou) for line, answer in zip(lines, got, strict=True)]
    marks = [mark for case in cases for mark in case.marked]
    there = Rate(sum(mark.right for mark in marks if mark.there), sum(mark.there for mark in marks))
    called = Rate(there.hits, sum(not mark.there for mark in marks))
    whole = Rate(sum(case.badness == 0 for case in cases), len(cases))
    nothing = [case for line, case in zip(lines, cases, strict=True) if not line.boxes]
    kept = Rate(sum(case.badness == 0 for case in nothing), len(nothing))
    rates = {"box_recall": there, "box_precision": called, "all_right": whole, "nothing_kept": kept}
    return Judged(
        count=len(lines),
        metrics={
            **{name: rate.share for name, rate in rates.items()},
            "box_f1": PerLabel(called, there).f1,
            "failed": got.count(None) / len(got),
        },
        intervals={name: rate.interval for name, rate in rates.items() if rate.count},
        settings={"iou": iou, "boxes": there.count, "phrases_of_nothing": kept.count},
        cases=cases,
    )


def _case(line: LabelledPhrase, found: Found, iou: float) -> Case:
    """Return a phrase with its boxes; each that was missed or made up makes it worse."""
    boxes: list[Box] = [one.box for one in found]
    places = matched([one.score for one in found], box_overlaps(boxes, line.boxes), iou)
    there = [Marked(box, line.phrase, index in places, True) for index, box in enumerate(line.boxes)]
    told = [Marked(box, line.phrase, place != NONE, False) for box, place in zip(boxes, places, strict=True)]
    marked = [*there, *told]
    missed, made_up = sum(not mark.right for mark in there), sum(not mark.right for mark in told)
    return Case(
        line.image.name,
        missed + made_up,
        f"{len(there)} there, {missed} missed",
        f"{len(told)} found, {made_up} made up",
        line.image,
        question=line.phrase,
        marked=marked,
    )
