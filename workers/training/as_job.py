"""A training as a job: its set is named, and lies in the installation with all that it names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from domain.errors import InvalidRequest
from storage.settings import Settings
from workers.training import training
from workers.training.beginning import order_of
from workers.training.final import measure
from workers.training.runs import Left
from workers.training.sets.find import find
from workers.training.training import Report, Stop

DATASETS = "datasets"


def train(
    asked: Mapping[str, Any], settings: Settings, run: Path, command: str, report: Report, stop: Stop
) -> dict[str, Any]:
    """Train, measure what was held out, and return the fields of the job's result.

    Raises InvalidRequest where the set is not one of the installation's.
    """
    place = dataset_named(asked["dataset"], settings.data / DATASETS)
    order = order_of(asked, place, settings, command)
    trained, measured = training.train(
        order,
        settings,
        run,
        report=report,
        stop=stop,
        judge=lambda ended: measure(ended, settings, stop),
        left=Left.OWN,
    )
    facts, fitted = trained.revision.facts, trained.fitted
    return {
        "name": trained.revision.name,
        "revision": trained.revision.revision,
        "metrics": dict(facts.metrics),
        "held_out": measured and dict(measured.metrics),
        "split": dict(facts.split),
        "rounds": len(fitted.rounds),
        "seconds": round(fitted.seconds, 1),
        "stopped_early": fitted.stopped_early,
    }


def dataset_named(name: str, folder: Path) -> Path:
    """Return the set of that name. Raises InvalidRequest where it, or a picture that it names, lies outside."""
    place = folder / name
    if not place.is_dir():
        known = sorted(one.name for one in folder.iterdir() if one.is_dir()) if folder.is_dir() else []
        raise InvalidRequest(f"there is no set {name!r} in {folder}; there are: {', '.join(known) or 'none'}")
    for path in (place, *find(place).pictures()):
        if not path.resolve().is_relative_to(folder.resolve()):
            raise InvalidRequest(f"the set {name!r} names {path}, which lies outside of {folder}: put it into the set")
    return place
