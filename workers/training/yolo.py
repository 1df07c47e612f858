"""From a data set to a served YOLO model: train, save, and say how it is pinned."""

import hashlib
import resource
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from domain.vision import Capability
from workers.models import family, yolo
from workers.models.family import Model
from workers.registry import ModelSpec
from workers.training.batches import batches
from workers.training.coco import Dataset
from workers.training.plan import Plan, Progress

REVISION_DIGITS = 16
LICENCE = "trained with AGPL-3.0 software; see Licences in the README"


class Trained(BaseModel):
    """Weights and what they took: seconds on the wall, seconds of CPU, pictures seen."""

    model_config = ConfigDict(frozen=True)

    path: Path
    revision: str
    wall_s: float
    cpu_s: float
    pictures: int
    pictures_in_set: int
    losses: dict[str, float]


def train(
    dataset: Dataset, out: Path, plan: Plan, report: Callable[[Progress], None] = lambda progress: None
) -> Trained:
    """Train on the data set until the plan's minutes are over; the weights lie at `out` afterwards."""
    out.parent.mkdir(parents=True, exist_ok=True)
    started, used = time.monotonic(), _cpu_s()
    stream = batches(dataset, side=plan.side, size=plan.batch, seed=plan.seed)
    end = yolo.train(stream, dataset.classes, plan, out, report)
    return Trained(
        path=out,
        revision=revision(out),
        wall_s=time.monotonic() - started,
        cpu_s=_cpu_s() - used,
        pictures=end.pictures,
        pictures_in_set=len(dataset.content.images),
        losses=end.losses,
    )


def revision(path: Path) -> str:
    """Return what pins a weights file in a profile: `sha256:` and the first 16 hex digits."""
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()[:REVISION_DIGITS]}"


def served(path: Path) -> Model:
    """Load a weights file as a worker would."""
    spec = ModelSpec(
        name="candidate",
        family="yolo",
        capabilities=(Capability.DETECT,),
        source=str(path),
        revision=revision(path) if path.is_file() else "sha256:",
        licence=LICENCE,
    )
    return family.load(spec)


def profile_row(name: str, path: Path) -> str:
    """Return the row that names the model in a profile."""
    return (
        f'[[models]]\nname = "{name}"\nfamily = "yolo"\ncapabilities = ["detect"]\nsource = "{path.resolve()}"\n'
        f'revision = "{revision(path)}"\nlicence = "{LICENCE}"\n'
    )


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
