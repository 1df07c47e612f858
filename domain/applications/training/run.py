"""A training job: asks the trainer of the process that it runs in."""

from domain.applications.application import Case
from domain.applications.training.schema import TrainingParameters, TrainingResult
from domain.errors import InvalidParameters, ModelUnavailable


def run(case: Case[TrainingParameters]) -> TrainingResult:
    """Train, and tell what came of it.

    Raises InvalidParameters where no set is named, ModelUnavailable in a process that serves.
    """
    if not case.parameters.dataset:
        raise InvalidParameters("training: dataset: name a folder in the installation's folder `datasets`")
    if case.trainer is None:
        raise ModelUnavailable(
            "this process serves; a training runs in one of its own (`sightline worker --queues training`)"
        )
    return TrainingResult.model_validate(case.trainer.train(case.parameters.model_dump()))
