"""An inspection that lets a defect pass is worse than one that stops a clean part, and both are told."""

from pathlib import Path

import pytest

from domain.applications.inspection.recipe import Verdict
from domain.applications.inspection.result import Defect, Ignored, InspectionResult, Reason, Regions, UsedRecipe
from domain.geometry import Box
from workers.training.coco import CocoImage
from workers.training.evaluating.decisions import Decision, of_inspections
from workers.training.measures.boxes import Thing

BOX = Box(x0=1, y0=1, x1=9, y1=9)


def decision(number: int, verdict: Verdict, *, there: bool, found: bool) -> Decision:
    defect = Defect(
        id="d1", image=0, label="pit", score=0.9, certain=True, box=BOX, mask=None,
        area_px=64, length_px=11, area_mm2=None, length_mm=None,
    )  # fmt: skip
    result = InspectionResult(
        verdict=verdict,
        reasons=(Reason(rule="any", outcome=verdict, sentence="a pit"),) if found else (),
        defects=(defect,) if found else (),
        counts={"pit": int(found)},
        ignored=Ignored(),
        quality=(),
        recipe=UsedRecipe(name="default", version="1", digest="0"),
        calibration=None,
        regions=Regions(),
    )
    image = CocoImage(id=number, file_name=f"{number}.png", width=20, height=20)
    return Decision(image, Path(f"{number}.png"), [Thing("pit", BOX)] if there else [], result)


def test_verdicts_are_judged_by_what_is_there() -> None:
    told = of_inspections(
        [
            decision(1, Verdict.REJECT, there=True, found=True),
            decision(2, Verdict.ACCEPT, there=True, found=False),
            decision(3, Verdict.REWORK, there=False, found=True),
            decision(4, Verdict.ACCEPT, there=False, found=False),
            decision(5, Verdict.UNDECIDED, there=False, found=False),
            decision(6, Verdict.REJECT, there=True, found=True),
        ],
        ("pit",),
        0.5,
    )

    assert told.metrics["refused_precision"] == pytest.approx(2 / 3)
    assert told.metrics["refused_recall"] == pytest.approx(2 / 3)
    assert told.metrics["escapes"] == told.metrics["false_refusals"] == pytest.approx(1 / 3)
    assert told.metrics["undecided"] == pytest.approx(1 / 6)
    assert told.metrics["defect_recall"] == told.metrics["defect_precision"] == pytest.approx(2 / 3)
    assert told.confusion is not None
    assert told.confusion.columns == ("ACCEPT", "UNDECIDED", "REWORK", "REJECT")
    assert told.confusion.counts.tolist() == [[1, 1, 1, 0], [1, 0, 0, 2]]
    assert [case.name for case in sorted(told.cases, key=lambda case: -case.badness)][:3] == ["2.png", "3.png", "5.png"]
