"""Measuring what learns as it would be served: saved, loaded by its family, asked, and judged as an evaluation does."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from domain.errors import InvalidRequest
from workers.hub import digest
from workers.judging import Look
from workers.models import family
from workers.registered import checkpoint
from workers.registry import ModelSpec
from workers.training.coco import Dataset
from workers.training.evaluating.examinee import Examinee
from workers.training.evaluating.objects import Criteria, judge
from workers.training.learners.learner import FamilyLearner, Options

MOST = 200
"""So many pictures are measured in the course of a training: it is to learn, not to measure."""


@contextmanager
def serving(learner: FamilyLearner, name: str, options: Options) -> Iterator[Examinee]:
    """Save the network as it stands, and have its family `name` serve it for a while."""
    with tempfile.TemporaryDirectory(prefix="sightline-measured-") as folder:
        learner.save(Path(folder))
        place = checkpoint(Path(folder))
        spec = ModelSpec(
            name="measured",
            family=name,
            capabilities=learner.capabilities,
            source=str(place),
            revision=digest(place),
            licence=learner.licence,
            device=options.device,
            options=learner.served,
        )
        with torch.inference_mode(False):  # the loop measures within it, and what is built there cannot be changed
            model = family.load(spec)
        try:
            yield Examinee(model, spec, Look(options.limits))
        finally:
            model.close()


class Detecting:
    """How well what learns detects: COCO's average precision, of its masks where it is to draw some."""

    def __init__(self, validation: Dataset, *, masks: bool) -> None:
        """Choose the pictures. Raises InvalidRequest where none of them has an object that could be found."""
        pairs = validation.without_crowds().pairs()
        first = next((at for at, (_, objects) in enumerate(pairs) if objects), None)
        if first is None:
            raise InvalidRequest(
                f"none of the {len(validation.content.images)} pictures to validate on has an object, by which weights "
                f"could be chosen; validate on more (--validation), or on others (--split-seed)"
            )
        every = -(-len(validation.content.images) // MOST)
        self._pictures = validation.part(sorted({first, *range(0, len(validation.content.images), every)}))
        prefix = "mask_" if masks else ""
        self.watched = f"{prefix}AP50"
        self._told = (self.watched, f"{prefix}AP", f"{prefix}precision", f"{prefix}recall")

    def measure(self, learner: FamilyLearner, name: str, options: Options) -> dict[str, float]:
        """Return AP at an IoU of 0.5 and over 0.50 to 0.95, and precision and recall at the score of 0.25."""
        with serving(learner, name, options) as examinee:
            judged = judge(examinee, self._pictures, Criteria())
        return {name: judged.metrics.get(name) or 0.0 for name in self._told}
