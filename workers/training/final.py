"""The last step of a training: its outcome, measured on what was kept from it, and that kept with the revision."""

from pathlib import Path

from storage.settings import Settings
from workers.training.evaluating import paper
from workers.training.evaluating.candidate import candidate
from workers.training.evaluating.judged import Advance
from workers.training.evaluating.objects import Criteria
from workers.training.evaluating.run import evaluate, keep
from workers.training.measures.evaluation import Evaluation
from workers.training.sets.find import find
from workers.training.sets.labelled_set import LabelledSet
from workers.training.training import Trained


def measure(
    trained: Trained, other: Path | None, settings: Settings, advance: Advance = lambda: None
) -> Evaluation | None:
    """Measure a revision on the share that was held out, or on another set; None where there is neither."""
    asked = paper.everything(find(other)) if other is not None else _held_out(trained.whole, trained)
    if asked is None:
        return None
    revision = trained.revision
    model = candidate(f"{revision.name}@{revision.revision}", settings)
    told, _ = evaluate(model, asked, Criteria(), settings.image_limits, revision.facts.command, advance)
    keep(told, model, settings)
    return told


def _held_out(whole: LabelledSet, trained: Trained) -> paper.Paper | None:
    if trained.parts.held_out is None:
        return None
    told = trained.parts.told
    return paper.Paper(whole, trained.parts.held_out, f"held-out share by {told['by']}, seed {told['seed']}")
