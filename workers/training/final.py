"""The last step of a training: its outcome, measured on what was kept from it, and that kept with the revision."""

from storage.settings import Settings
from workers.training.evaluating import paper
from workers.training.evaluating.candidate import candidate
from workers.training.evaluating.judged import Advance
from workers.training.evaluating.objects import Criteria
from workers.training.evaluating.run import evaluate, keep
from workers.training.measures.evaluation import Evaluation
from workers.training.training import Trained


def measure(trained: Trained, settings: Settings, advance: Advance = lambda: None) -> Evaluation | None:
    """Measure a revision on the share that was held out, or on the set in its place; None where there is neither."""
    asked = paper.everything(trained.held_out) if trained.held_out is not None else _share(trained)
    if asked is None:
        return None
    revision = trained.revision
    model = candidate(f"{revision.name}@{revision.revision}", settings)
    told, _ = evaluate(model, asked, Criteria(), settings.image_limits, revision.facts.command, advance)
    keep(told, model, settings)
    return told


def _share(trained: Trained) -> paper.Paper | None:
    if trained.parts.held_out is None:
        return None
    told = trained.parts.told
    return paper.Paper(trained.whole, trained.parts.held_out, f"held-out share by {told['by']}, seed {told['seed']}")
