"""How the embedded translator learns: pairs of notices, freshly drawn, each text behind the name of its target."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from transformers import MarianMTModel, MarianTokenizer

from workers.training.loop import Step
from workers.training.measures.translations import chrf
from workers.training.pack.precision import quick
from workers.training.worlds.notices.drawing import Share
from workers.training.worlds.notices.pairs import Pair, held_out_pairs, training_pairs

BATCH = 128
SORTED = 16
"""So many batches are drawn at a time and sorted by length, so that little is padding."""
VALIDATION, VALIDATION_SEED = 240, 500_000
"""Pairs of held-out combinations, but drawn by other seeds than those that the card reports."""
LONGEST = 64


@dataclass(frozen=True)
class Batch:
    """Ids of sources and targets, padded: N × S and N × T."""

    sources: torch.Tensor
    targets: torch.Tensor


class PairLearner:
    """Learns to write the target of a pair."""

    watched = "chrf"
    rates: Mapping[str, float] = {}

    def __init__(self, network: MarianMTModel, tokenizer: MarianTokenizer, seed: int, size: int = BATCH) -> None:
        self.network, self._tokenizer, self._size = network, tokenizer, size
        self._validation = list(held_out_pairs(VALIDATION_SEED + seed, Share.COMBINATION, VALIDATION))

    def batches(self, seed: int) -> Iterator[Batch]:
        """Return freshly drawn batches of texts of like length."""
        rng, drawn = np.random.default_rng(seed), training_pairs(seed)
        while True:
            rows = [self._row(pair) for pair in islice(drawn, self._size * SORTED)]
            rows.sort(key=lambda row: (len(row[1]), len(row[0])))
            for number in rng.permutation(SORTED).tolist():
                yield self._batch(rows[number * self._size : (number + 1) * self._size])

    def loss(self, batch: Batch) -> Step:
        """Judge what is written, piece by piece; padding is left out before it costs anything."""
        pad = self._tokenizer.pad_token_id
        real = batch.targets != pad
        begun = torch.nn.functional.pad(batch.targets[:, :-1], (1, 0), value=pad)
        with quick():
            written = self.network.model(
                input_ids=batch.sources,
                attention_mask=(batch.sources != pad).long(),
                decoder_input_ids=begun,
                use_cache=False,
            )
            logits = self.network.lm_head(written.last_hidden_state[real])
        loss = torch.nn.functional.cross_entropy(logits.float(), batch.targets[real])
        return Step(loss, {"pieces": loss}, len(batch.sources))

    def measure(self) -> Mapping[str, float]:
        """Return chrF over held-out combinations, and the share of them that is translated word by word as written."""
        said = translated(self.network, self._tokenizer, self._validation)
        right = [pair.target for pair in self._validation]
        exact = sum(one == other for one, other in zip(said, right, strict=True)) / len(right)
        return {"chrf": chrf(said, right), "exact": exact}

    def _row(self, pair: Pair) -> tuple[list[int], list[int]]:
        source = self._tokenizer(prompt(pair)).input_ids
        return source, self._tokenizer(text_target=pair.target).input_ids

    def _batch(self, rows: Sequence[tuple[list[int], list[int]]]) -> Batch:
        sources, targets = zip(*rows, strict=True)
        return Batch(*(_padded(texts, self._tokenizer.pad_token_id) for texts in (sources, targets)))


def prompt(pair: Pair) -> str:
    """Return a source as it is given: behind the name of the target."""
    return f">>{pair.target_language}<< {pair.source}"


def translated(network: MarianMTModel, tokenizer: MarianTokenizer, pairs: Sequence[Pair]) -> list[str]:
    """Translate the sources of pairs, greedily."""
    told = tokenizer([prompt(pair) for pair in pairs], padding=True, return_tensors="pt")
    ids = network.generate(**told, max_new_tokens=LONGEST, num_beams=1, do_sample=False)
    return list(tokenizer.batch_decode(ids, skip_special_tokens=True))


def _padded(rows: Sequence[Sequence[int]], value: int) -> torch.Tensor:
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[value] * (longest - len(row))] for row in rows])
