"""The recipe of the embedded encoder: a small CLIP that learns from drawn scenes, in two stages, within given minutes.

The eye first: from captions alone a network of this size learns next to nothing in the same time.
"""

from pathlib import Path

import torch

from workers.training.loop import Fitted, Learner
from workers.training.pack.encoder_learning import ContrastLearner, EyeLearner
from workers.training.pack.encoder_network import Seeing, save, tokenizer
from workers.training.pack.stages import Report, learnt
from workers.training.plan import Schedule

EYE_SHARE = 0.55
"""The share of the minutes that the eye learns alone."""
RATE = 2e-3
DECAY = 0.02
ROUNDS = 6


def train(out: Path, run: Path, minutes: float, seed: int, threads: int, report: Report) -> dict[str, Fitted]:
    """Train the encoder and write it into `out`; return how each stage went.

    `run` keeps the checkpoints: the same call goes on where one before it ended. `report` is told the stage.
    """
    torch.manual_seed(seed)
    words = tokenizer()
    network = Seeing(words)
    stages: dict[str, tuple[Learner, float]] = {
        "eye": (EyeLearner(network, seed), EYE_SHARE),
        "captions": (ContrastLearner(network, words, seed), 1 - EYE_SHARE),
    }
    schedule = Schedule(
        minutes=minutes, rate=RATE, decay=DECAY, seed=seed, rounds=ROUNDS, patience=ROUNDS, threads=threads
    )
    fitted = learnt(stages, schedule, run, report)
    save(network, words, out)
    return fitted
