"""What is told of an evaluation: its record, and files for people (figures, confusion matrix, worst cases)."""

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from domain.images import ImageLimits
from workers.judging import Look
from workers.training.evaluating.confusion import draw
from workers.training.evaluating.judged import Judged
from workers.training.evaluating.paper import Paper
from workers.training.evaluating.sheet import page
from workers.training.measures.evaluation import Evaluation, Kind


class Named(NamedTuple):
    """What was judged, of which revision, by which command."""

    model: str
    revision: str
    command: str


def told(paper: Paper, known: str, judged: Judged, kind: Kind, named: Named) -> Evaluation:
    """Return the record of an evaluation that has just ended; `known` is the hash of what was judged."""
    return Evaluation(
        kind=kind,
        model=named.model,
        revision=named.revision,
        dataset=paper.whole.place.resolve().name,
        data_hash=known,
        split=paper.split,
        count=judged.count,
        metrics=judged.metrics,
        intervals=judged.intervals,
        per_class=judged.per_class,
        settings=judged.settings,
        when=datetime.now(UTC),
        command=named.command,
    )


def write(evaluation: Evaluation, judged: Judged, out: Path, limits: ImageLimits) -> None:
    """Write `evaluation.json`, `worst.html` and, where there is something to confuse, `confusion.png` into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "evaluation.json").write_text(f"{evaluation.model_dump_json(indent=2)}\n", "utf-8")
    (out / "worst.html").write_text(page(evaluation, judged, Look(limits)), "utf-8")
    if judged.confusion is not None:
        title = f"{evaluation.model} on {evaluation.dataset} (n = {evaluation.count})"
        draw(judged.confusion, title, out / "confusion.png")
