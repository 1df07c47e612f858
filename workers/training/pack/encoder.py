"""The recipe of the embedded encoder: a small CLIP that learns from drawn scenes, in two stages, within given minutes.

The eye first: from captions alone a network of this size learns next to nothing in the same time.
"""

from collections.abc import Callable
from pathlib import Path

import torch

from workers.training.loop import Fitted, Learner, Progress, fit
from workers.training.pack.encoder_learning import ContrastLearner, EyeLearner
from workers.training.pack.encoder_network import Seeing, save, tokenizer
from workers.training.plan import Schedule

EYE_SHARE = 0.5
"""The share of the minutes that the eye learns alone."""
RATE = 1e-3
DECAY = 0.02

Report = Callable[[str, Progress], None]


def train(out: Path, run: Path, minutes: float, seed: int, threads: int, report: Report) -> dict[str, Fitted]:
    """Train the encoder and write it into `out`; return how each stage went.

    `run` keeps the checkpoints: the same call goes on where one before it ended. `report` is told the stage.
    """
    torch.manual_seed(seed)
    words = tokenizer()
    network = Seeing(words)
    stages: dict[str, tuple[Learner, float]] = {
        "eye": (EyeLearner(network, seed), EYE_SHARE * minutes),
        "captions": (ContrastLearner(network, words, seed), (1 - EYE_SHARE) * minutes),
    }
    fitted = {}
    for stage, (learner, its) in stages.items():
        schedule = Schedule(minutes=its, rate=RATE, decay=DECAY, seed=seed, rounds=6, patience=6, threads=threads)

        def told(progress: Progress, stage: str = stage) -> None:
            report(stage, progress)

        fitted[stage] = fit(learner, schedule, run / stage, told)
    save(network, words, out)
    return fitted
