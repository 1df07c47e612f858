"""`sightline demo`: the whole system, every sample, a table, annotated pictures and a report."""

import shutil
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from gateway.commands.options import AsJson
from gateway.commands.output import print_json, print_table, progress, remark, state
from gateway.demo.installation import running
from gateway.demo.report import write_report
from gateway.demo.trial import Trial, all_samples, attempt


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the pictures and the report.")] = Path("demo-output"),
    as_json: AsJson = False,
) -> None:
    """Start everything, hand in every sample, and fail if one does not end as it says."""
    trials = all_samples()
    began = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="sightline-demo-") as folder:
        remark("starting the system")
        with running(Path(folder)) as client, progress() as bar:
            task = bar.add_task("samples", total=len(trials))
            since = time.monotonic()
            done = attempt(client, trials, lambda _: bar.advance(task))
            seconds = time.monotonic() - since
            remark("stopping the system")
    _write(out, done, began, seconds)
    print_json([_told(trial) for trial in done]) if as_json else _print(done)
    remark(f"report: {out / 'report.html'}")
    unexpected = sum(not trial.expected for trial in done)
    remark(f"{len(done) - unexpected} of {len(done)} jobs as expected, in {seconds:.1f} s")
    if unexpected or not done:
        raise typer.Exit(1)


def _write(out: Path, trials: Sequence[Trial], began: datetime, seconds: float) -> None:
    pictures = out / "pictures"
    if pictures.exists():
        shutil.rmtree(pictures)
    pictures.mkdir(parents=True)
    for trial in trials:
        for at, png in enumerate(trial.pictures):
            name = f"{trial.application.name}-{trial.sample.name}-{at + 1}.png"
            (pictures / name).write_bytes(png)
    write_report(out / "report.html", trials, began, seconds)


def _print(trials: Sequence[Trial]) -> None:
    columns = ("application", "sample", "answer", "state", "expected", "ms")
    rows = [
        (trial.application.name, trial.sample.name, trial.headline, state(trial.ended), _expected(trial), _ms(trial))
        for trial in trials
    ]
    print_table(columns, rows)
    for trial in trials:
        for difference in trial.differences:
            remark(f"{trial.application.name} {trial.sample.name}: {difference}")


def _expected(trial: Trial) -> Text:
    return Text("yes", style="green") if trial.expected else Text("NO", style="bold red")


def _ms(trial: Trial) -> str:
    return "-" if trial.milliseconds is None else f"{trial.milliseconds:.0f}"


def _told(trial: Trial) -> dict[str, Any]:
    return {
        "application": trial.application.name,
        "sample": trial.sample.name,
        "state": trial.ended,
        "headline": trial.headline,
        "expected": trial.expected,
        "differences": list(trial.differences),
        "ms": trial.milliseconds,
        "job": trial.job.model_dump(mode="json") if trial.job else None,
    }
