"""The files for people hold what is to be seen, and nothing that a label could smuggle in."""

import base64
import io
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from domain.geometry import Box
from domain.images import ImageLimits
from tests.workers.training.evaluating.scripted import pictures
from workers.training.coco import CocoFile, CocoImage, Dataset
from workers.training.evaluating import confusion as drawing
from workers.training.evaluating.confusion import draw
from workers.training.evaluating.judged import Case, Confusion, Judged, Marked
from workers.training.evaluating.paper import everything
from workers.training.evaluating.report import Named, told, write
from workers.training.measures.evaluation import Evaluation, Kind

LIMITS = ImageLimits()
NASTY = "<script>alert('$x$')</script>"


def judged(folder: Path) -> Judged:
    pictures(folder, 1)
    marked = [Marked(Box(x0=2, y0=2, x1=30, y1=30), NASTY, right=False, there=False)]
    cases = [
        Case("fine.png", 0, "a", "a"),
        Case("bad.png", 1, NASTY, "nothing", folder / "0.png", marked=marked),
        Case(NASTY, 2, "a", NASTY, question=NASTY),
    ]
    confusion = Confusion(("a", NASTY), ("a", NASTY, "(nothing)"), np.array([[3, 1, 0], [0, 0, 2]]))
    return Judged(count=3, metrics={"accuracy": 1 / 3, "none": None}, confusion=confusion, cases=cases)


def evaluation(of: Judged) -> Evaluation:
    return Evaluation(
        kind=Kind.LABELS,
        model=NASTY,
        revision="sha256:0",
        dataset="set.jsonl",
        data_hash="sha256:1",
        split="all of the set",
        count=of.count,
        metrics=of.metrics,
        intervals={"accuracy": (0.0615, 0.7923)},
        when=datetime(2026, 1, 1, tzinfo=UTC),
        command="sightline eval",
    )


def test_the_sheet_shows_the_worst_first_with_its_picture_and_escapes_what_it_is_told(tmp_path: Path) -> None:
    of = judged(tmp_path / "set")

    write(evaluation(of), of, tmp_path / "out", LIMITS)

    page = (tmp_path / "out" / "worst.html").read_text()
    assert "<script" not in page
    assert "fine.png" not in page
    assert page.index("&lt;script&gt;") < page.index("bad.png")
    assert len(re.findall(r'src="data:image/jpeg;base64,[A-Za-z0-9+/=]+"', page)) == 1
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "2 of 3 answers are not right" in page


def test_the_figures_and_the_confusion_are_written_beside_it(tmp_path: Path) -> None:
    of = judged(tmp_path / "set")

    write(evaluation(of), of, tmp_path / "out", LIMITS)

    kept = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert kept["metrics"] == {"accuracy": 1 / 3, "none": None}
    assert Evaluation.model_validate(kept) == evaluation(of)
    with Image.open(tmp_path / "out" / "confusion.png") as drawn:
        assert drawn.format == "PNG"
        assert len(drawn.convert("RGB").getcolors(1 << 20) or []) > 20


def shown(folder: Path, picture: Path) -> str:
    of = Judged(count=1, metrics={}, cases=[Case(picture.name, 1, "a", "b", picture)])
    write(evaluation(of), of, folder / "out", LIMITS)
    return (folder / "out" / "worst.html").read_text()


def test_a_picture_is_shown_as_the_model_saw_it(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 30_000, dtype=np.uint16)).save(tmp_path / "grey.png")

    encoded = re.findall(r"base64,([^\"]+)", shown(tmp_path, tmp_path / "grey.png"))

    with Image.open(io.BytesIO(base64.b64decode(encoded[0]))) as image:
        assert np.asarray(image).mean() == pytest.approx(30_000 / 65_535 * 255, abs=2)


def test_a_picture_that_cannot_be_read_is_told_of_on_the_sheet(tmp_path: Path) -> None:
    (tmp_path / "cut.png").write_bytes(b"cut off")

    assert "cut.png is not an image in a format" in shown(tmp_path, tmp_path / "cut.png")


def test_a_label_with_dollars_is_no_formula(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Any] = []

    class Kept(drawing.Figure):
        def savefig(self, *more: Any, **others: Any) -> None:
            figures.append(self)

    monkeypatch.setattr(drawing, "Figure", Kept)
    draw(Confusion(("$5", "$x$"), ("$5", "$x$"), np.eye(2, dtype=np.int64)), "of $x$", tmp_path / "none.png")

    [axes] = figures[0].axes
    texts = [axes.title, *axes.get_xticklabels(), *axes.get_yticklabels()]
    assert [one.get_text() for one in texts] == ["of $x$", *("$5", "$x$") * 2]
    assert not any(one.get_parse_math() for one in texts)


def test_a_set_is_called_by_its_folder_wherever_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    image = CocoImage(id=1, file_name="0.png", width=8, height=8)
    here = Dataset(Path(), CocoFile(images=(image,), annotations=(), categories=()))

    kept = told(everything(here), "sha256:1", Judged(count=1, metrics={}), Kind.BOXES, Named("m", "r", "c"))

    assert kept.dataset == tmp_path.name
