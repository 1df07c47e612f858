"""The files for people hold what is to be seen, and nothing that a label could smuggle in."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image

from domain.geometry import Box
from tests.workers.training.evaluating.scripted import pictures
from workers.training.evaluating.judged import Case, Confusion, Judged, Marked
from workers.training.evaluating.report import write
from workers.training.measures.evaluation import Evaluation, Kind

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
    told = judged(tmp_path / "set")

    write(evaluation(told), told, tmp_path / "out")

    page = (tmp_path / "out" / "worst.html").read_text()
    assert "<script" not in page
    assert "fine.png" not in page
    assert page.index("&lt;script&gt;") < page.index("bad.png")
    assert len(re.findall(r'src="data:image/jpeg;base64,[A-Za-z0-9+/=]+"', page)) == 1
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "2 of 3 answers are not right" in page


def test_the_figures_and_the_confusion_are_written_beside_it(tmp_path: Path) -> None:
    told = judged(tmp_path / "set")

    write(evaluation(told), told, tmp_path / "out")

    kept = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert kept["metrics"] == {"accuracy": 1 / 3, "none": None}
    assert Evaluation.model_validate(kept) == evaluation(told)
    with Image.open(tmp_path / "out" / "confusion.png") as drawn:
        assert drawn.format == "PNG"
        assert len(drawn.convert("RGB").getcolors(1 << 20) or []) > 20
