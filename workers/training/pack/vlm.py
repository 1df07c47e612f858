"""The recipe of the embedded VLM: a small FastVLM that learns from drawn scenes and phantoms, within given minutes.

The eye first: from answers alone a network of this size learns next to nothing in the same time. Then all of it learns
to answer, the eye more slowly.
"""

from pathlib import Path

import torch

from workers.training.loop import Fitted, Learner
from workers.training.pack.stages import Report, learnt
from workers.training.pack.vlm_learning import AnswerLearner, EyeLearner
from workers.training.pack.vlm_network import Seeing, save
from workers.training.pack.vlm_words import tokenizer
from workers.training.plan import Schedule

EYE_SHARE = 0.24
"""The share of the minutes that the eye learns alone."""
RATE = 2e-3
DECAY = 0.02
ROUNDS = 8


def train(out: Path, run: Path, minutes: float, seed: int, threads: int, report: Report) -> dict[str, Fitted]:
    """Train the VLM and write it into `out`; return how each stage went.

    `run` keeps the checkpoints: the same call goes on where one before it ended. `report` is told the stage.
    """
    torch.manual_seed(seed)
    words = tokenizer()
    seeing = Seeing(words)
    stages: dict[str, tuple[Learner, float]] = {
        "eye": (EyeLearner(seeing, seed), EYE_SHARE),
        "answers": (AnswerLearner(seeing, words, seed), 1 - EYE_SHARE),
    }
    schedule = Schedule(
        minutes=minutes, rate=RATE, decay=DECAY, seed=seed, rounds=ROUNDS, patience=ROUNDS, threads=threads
    )
    fitted = learnt(stages, schedule, run, report)
    save(seeing, words, out)
    return fitted
