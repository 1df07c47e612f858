"""The recipe of the embedded translator: a small Marian of thirty directions, from notices that the project draws."""

import json
import shutil
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import torch
from transformers import MarianConfig, MarianMTModel, MarianTokenizer

from workers.training.loop import Fitted, Progress, fit
from workers.training.pack.translator_learning import PairLearner
from workers.training.pack.vocabulary import pieces
from workers.training.plan import Schedule
from workers.training.worlds.notices.grammar import LANGUAGES
from workers.training.worlds.notices.known import known_words
from workers.training.worlds.notices.pairs import training_pairs

PIECES = 6000
TEXTS = 40_000
"""So many pairs the pieces are learned from."""
POSITIONS = 128
WIDTH = 192
RATE = 1.5e-3
DECAY = 0.01
ROUNDS = 8
WORDS = "words.json"
"""The words that it was taught, for the option `trust` of the family seq2seq."""

Report = Callable[[Progress], None]


def train(out: Path, run: Path, minutes: float, seed: int, threads: int, report: Report) -> Fitted:
    """Train the translator and write it into `out`; return how it went.

    `run` keeps the vocabulary and the checkpoints: the same call goes on where one before it ended.
    """
    torch.manual_seed(seed)
    tokenizer = vocabulary(run / "vocabulary", seed)
    learner = PairLearner(network(tokenizer), tokenizer, seed)
    schedule = Schedule(
        minutes=minutes, rate=RATE, decay=DECAY, seed=seed, rounds=ROUNDS, patience=ROUNDS, threads=threads
    )
    fitted = fit(learner, schedule, run, report)
    save(learner.network, tokenizer, out)
    return fitted


def vocabulary(folder: Path, seed: int) -> MarianTokenizer:
    """Learn the pieces from the world's texts, the same for the same seed."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = islice(training_pairs(seed), TEXTS)
    return pieces((text for pair in drawn for text in (pair.source, pair.target)), PIECES, LANGUAGES, folder)


def network(tokenizer: MarianTokenizer) -> MarianMTModel:
    """Build it with random weights: about 4 million, one table of pieces for what is read and what is written."""
    pad = tokenizer.pad_token_id
    config = MarianConfig(
        vocab_size=len(tokenizer),
        d_model=WIDTH,
        encoder_layers=3,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=768,
        decoder_ffn_dim=768,
        activation_function="relu",
        dropout=0.0,
        max_position_embeddings=POSITIONS,
        pad_token_id=pad,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=pad,
        forced_eos_token_id=None,
        scale_embedding=True,
        # As Glorot and Bengio (2010) would have it. At Marian's own 0.02 a network this narrow attends
        # to everything alike at first, and hears of positions more than of words: it learns to look at its source late.
        init_std=WIDTH**-0.5,
    )
    made = MarianMTModel(config)
    made.generation_config.bad_words_ids = [[pad]]
    made.set_attn_implementation("eager")  # on a CPU, and texts this short, twice as fast to learn as the fused one
    return made


def save(trained: MarianMTModel, tokenizer: MarianTokenizer, out: Path) -> None:
    """Write what the family seq2seq serves: the network in half precision, its tokenizer, the words it was taught."""
    shutil.rmtree(out, ignore_errors=True)
    half = network(tokenizer)
    half.load_state_dict(trained.state_dict())
    half.half().save_pretrained(out)
    tokenizer.save_pretrained(out)
    taught = {language: sorted(words) for language, words in known_words().items()}
    (out / WORDS).write_text(json.dumps(taught, ensure_ascii=False, indent=0) + "\n", "utf-8")
