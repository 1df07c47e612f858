"""What happens between two steps of a generation by transformers: drawing tokens, following given ones, stopping.

The rows of a batch do not depend on each other: each draws by chance from a generator of its own, and each is ended by
its own event.
"""

import threading
from collections.abc import Sequence
from typing import Any

import torch
from transformers import LogitsProcessor, StoppingCriteria

Tokens = tuple[int, ...]


class Stopped(StoppingCriteria):  # type: ignore[misc]  # transformers has no types
    """End the rows whose call nobody waits for any more; when all are, the generation ends."""

    def __init__(self, events: Sequence[threading.Event]) -> None:
        self._events = events

    def __call__(self, input_ids: torch.Tensor, scores: Any, **more: Any) -> torch.Tensor:  # noqa: ANN401
        """Return for each row (B × length tokens) whether it ends here."""
        return torch.tensor([event.is_set() for event in self._events], device=input_ids.device)


class Drawing(LogitsProcessor):  # type: ignore[misc]
    """Keep the log-probability of each token that is drawn; let the likeliest be drawn, or one by chance.

    By chance, the likeliest after Gumbel noise was added is a draw from the distribution (Gumbel 1954; Maddison et al.
    2014), so that generating stays greedy. `chances` holds B values for each step.
    """

    def __init__(self, rows: int, temperature: float, seed: int) -> None:
        self.chances: list[torch.Tensor] = []
        self._temperature = temperature
        self._random = [torch.Generator().manual_seed(seed) for _ in range(rows)]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return the logits (B × vocabulary) whose likeliest token is the one that is drawn."""
        logs = torch.log_softmax(scores.float() / (self._temperature or 1.0), dim=-1)
        told = logs
        if self._temperature:
            even = torch.stack([torch.rand(logs.shape[1], generator=random) for random in self._random])
            told = logs - torch.log(-torch.log(even.clamp(min=1e-30))).to(logs.device)
        drawn = told.argmax(dim=-1, keepdim=True)
        self.chances.append(logs.gather(1, drawn)[:, 0])
        return told if self._temperature else scores


class Following(LogitsProcessor):  # type: ignore[misc]
    """Lead each row along given tokens, and keep the log-probabilities that several continuations have on the way."""

    def __init__(self) -> None:
        self._rows: list[Tokens] = []
        self._wanted: list[list[tuple[int, int]]] = []
        self._found: list[list[float]] = []

    def add(self, continuations: Sequence[Tokens]) -> tuple[int, list[list[tuple[int, int]]]]:
        """Take in the continuations of a prompt. Returns how many rows it needs, and for `sums` where each is found."""
        rows = beginnings(continuations)
        places = []
        for tokens in continuations:
            place = []
            for step, token in enumerate(tokens):
                row = next(index for index, row in enumerate(rows) if row[:step] == tokens[:step])
                while len(self._wanted) <= step:
                    self._wanted.append([])
                place.append((step, len(self._wanted[step])))
                self._wanted[step].append((len(self._rows) + row, token))
            places.append(place)
        self._rows += rows
        return len(rows), places

    @property
    def steps(self) -> int:
        """How many steps it takes to have looked at all continuations."""
        return len(self._wanted)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return logits (rows × vocabulary) that allow each row its next token alone."""
        step = len(self._found)
        logs = torch.log_softmax(scores.float(), dim=-1)
        rows, tokens = zip(*self._wanted[step], strict=True)
        self._found.append(logs[list(rows), list(tokens)].tolist())
        ahead = [row[step] if step < len(row) else 0 for row in self._rows]
        told = torch.full_like(scores, -torch.inf)
        told[list(range(len(ahead))), ahead] = 0
        return told

    def sums(self, places: Sequence[Sequence[tuple[int, int]]]) -> list[float]:
        """Return the log-probability of each continuation: the sum over its tokens; of those reached, when stopped."""
        return [sum(self._found[step][index] for step, index in place if step < len(self._found)) for place in places]


def beginnings(continuations: Sequence[Tokens]) -> list[Tokens]:
    """Return the fewest rows of tokens that lead past every continuation up to its last token."""
    kept: list[Tokens] = []
    for one in sorted({tokens[:-1] for tokens in continuations}, key=lambda tokens: (-len(tokens), tokens)):
        if not any(row[: len(one)] == one for row in kept):
            kept.append(one)
    return kept
