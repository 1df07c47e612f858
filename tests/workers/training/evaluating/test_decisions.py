"""An inspection that lets a defect pass is worse than one that stops a clean part, and both are told."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from domain.applications import Case
from domain.applications.inspection.contract import APPLICATION
from domain.applications.inspection.recipe import Verdict
from domain.applications.inspection.result import Defect, Ignored, InspectionResult, Reason, Regions, UsedRecipe
from domain.errors import ModelError
from domain.geometry import Box
from storage.promotions import Why, promote
from storage.revisions import attach
from storage.session import write
from storage.settings import Settings, load_settings
from tests.support.revisions import facts, measured
from workers.database import opened
from workers.registry import load_profile
from workers.training.coco import CocoImage, read
from workers.training.evaluating.applications import Deciding, evaluate
from workers.training.evaluating.decisions import Decision, of_inspections
from workers.training.evaluating.judged import Judged
from workers.training.evaluating.paper import everything
from workers.training.measures.boxes import Thing
from workers.training.measures.evaluation import Evaluation
from workers.training.registering import register

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


def test_a_part_that_the_application_failed_on_was_not_accepted() -> None:
    failed = Decision(
        decision(1, Verdict.ACCEPT, there=True, found=False).image, Path("1.png"), [Thing("pit", BOX)], None, "no"
    )

    told = of_inspections([failed, decision(2, Verdict.ACCEPT, there=False, found=False)], ("pit",), 0.5)

    assert (told.metrics["escapes"], told.metrics["refused_recall"], told.metrics["failed"]) == (0, 0, 0.5)
    assert told.confusion is not None
    assert told.confusion.counts.tolist() == [[1, 0, 0, 0, 0], [0, 0, 0, 0, 1]]
    assert [(case.badness, case.answered) for case in told.cases] == [(1, "FAILED. no"), (0, "ACCEPT.")]


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
    assert told.confusion.columns == ("ACCEPT", "UNDECIDED", "REWORK", "REJECT", "FAILED")
    assert told.confusion.counts.tolist() == [[1, 1, 1, 0, 0], [1, 0, 0, 2, 0]]
    assert told.metrics["failed"] == 0
    assert [case.name for case in sorted(told.cases, key=lambda case: -case.badness)][:3] == ["2.png", "3.png", "5.png"]


# The whole run, of an application that asks a model which is served by what is promoted.

PROFILE = """
[[models]]
name = "eye"
family = "tests.workers.brightness"
capabilities = ["classify"]
source = "registered:boards"
revision = "promoted"
licence = "none"
options = { sure = 2.0, temperature = 1.0 }
[defaults]
classify = "eye"
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "models.toml").write_text(PROFILE)
    return load_settings(data=tmp_path / "data").model_copy(update={"models": str(tmp_path / "models.toml")})


@pytest.fixture
def promoted(settings: Settings, tmp_path: Path) -> str:
    """Have a revision served that reads nothing of its files; return which."""
    (tmp_path / "trained").mkdir()
    (tmp_path / "trained" / "weights.pt").write_bytes(b"none")
    revision = register(settings, tmp_path / "trained", facts(capabilities=("classify",)))
    with_figures = opened(settings)
    write(with_figures, attach, revision, measured())
    write(with_figures, promote, revision, Why(by="ada", because="it is the first"))
    return revision.revision


def bright_ones_pass(case: Case[Any]) -> InspectionResult:
    """Accept what is brighter than dark, and fail on what is black."""
    *_, part = case.pictures
    best = max(case.vision.classify(part, ("bright", "dark")), key=lambda label: label.score)
    if best.name == "dark":
        raise ModelError("it is too dark")
    result = decision(1, Verdict.ACCEPT, there=False, found=False).result
    assert result is not None
    return result.model_copy(update={"part": f"{[one.width for one in case.pictures]}"})


def run(settings: Settings, folder: Path, **parameters: Any) -> tuple[Evaluation, Judged]:
    """Let it decide on a bright, a black and a broken part; each has a defect, and a template that is wider."""
    for name, width in (("images", 8), ("templates", 12)):
        (folder / name).mkdir(parents=True)
        for number, grey in enumerate((250, 0, 250)):
            Image.new("RGB", (width, 8), (grey,) * 3).save(folder / name / f"{number}.png")
    images = [
        {"id": n, "file_name": f"{n}.png", "template": f"{n}.png", "width": 8, "height": 8, "bbox": [1, 1, 2, 2]}
        for n in range(3)
    ]
    objects = [{"id": n, "image_id": n, "category_id": 1, "bbox": [1, 1, 2, 2]} for n in range(3)]
    told = {"images": images, "annotations": objects, "categories": [{"id": 1, "name": "pit"}]}
    (folder / "annotations.json").write_text(json.dumps(told))
    found = read(folder)
    (folder / "images" / "2.png").write_bytes(b"cut off")
    deciding = Deciding(replace(APPLICATION, run=bright_ones_pass), parameters, load_profile(settings.models), settings)
    return evaluate(deciding, everything(found), 0.5, "sightline eval", lambda: None)


def test_a_picture_that_it_fails_on_ends_nothing_and_is_no_accept(
    settings: Settings, promoted: str, tmp_path: Path
) -> None:
    told, judged = run(settings, tmp_path / "set")

    assert told.metrics["failed"] == pytest.approx(2 / 3)
    assert told.metrics["escapes"] == pytest.approx(1 / 3)
    assert [case.answered.split(".")[0] for case in judged.cases] == ["ACCEPT", "FAILED", "FAILED"]
    assert "it is too dark" in judged.cases[1].answered
    assert told.revision == f"version {APPLICATION.version}, eye {promoted}"


@pytest.mark.parametrize(("reference", "widths"), [(0, [12, 8]), (1, [8, 12]), (None, [8])])
def test_the_template_stands_where_the_parameters_say(
    settings: Settings, promoted: str, tmp_path: Path, reference: int | None, widths: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    seen: list[list[int]] = []

    def kept(case: Case[Any]) -> InspectionResult:
        seen.append([one.width for one in case.pictures])
        result = decision(1, Verdict.ACCEPT, there=False, found=False).result
        assert result is not None
        return result

    monkeypatch.setitem(globals(), "bright_ones_pass", kept)
    run(settings, tmp_path / "set", reference=reference, model="eye")

    assert seen == [widths, widths]
