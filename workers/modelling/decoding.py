"""What happens between two steps of a generation by transformers: drawing tokens, following given ones, stopping.

The rows of a batch do not depend on each other: each draws by chance from a generator of its own, is led along a path
of its own, and is ended by its own event.
"""

import threading
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from transformers import LogitsProcessor, StoppingCriteria

Tokens = tuple[int, ...]


class Stopped(StoppingCriteria):  # type: ignore[misc]  # transformers has no types
    """End the rows whose call nobody waits for any more; when all are, the generation ends."""

    def __init__(self, events: Sequence[threading.Event]) -> None:
        self._events = events

    def __call__(self, input_ids: torch.Tensor, scores: Any, **more: Any) -> torch.Tensor:  # noqa: ANN401
        """Return for each row (B × length tokens) whether it ends here; beams of a call are beside one another."""
        ended = torch.tensor([event.is_set() for event in self._events], device=input_ids.device)
        return ended.repeat_interleave(len(input_ids) // len(ended))


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
    """Lead each row along given tokens, and find how probable other tokens were on the way.

    A row's `wanted` are beginnings of continuations of its prompt that part from its path at their last token or never;
    `found` holds the log-probability of the last token of each, as far as the generation came.
    """

    def __init__(self, paths: Sequence[Tokens], wanted: Sequence[Collection[Tokens]]) -> None:
        self.found: list[dict[Tokens, float]] = [{} for _ in paths]
        self.steps = max(len(one) for several in wanted for one in several)
        """how many steps it takes to have looked at all"""
        self._paths = paths
        self._wanted = [(row, one) for row, several in enumerate(wanted) for one in several]
        self._step = 0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return logits (rows × vocabulary) that allow each row its next token alone."""
        now = [(row, one) for row, one in self._wanted if len(one) == self._step + 1]
        logs = torch.log_softmax(scores.float(), dim=-1)
        values = logs[[row for row, _ in now], [one[-1] for _, one in now]].tolist()
        for (row, one), value in zip(now, values, strict=True):
            self.found[row][one] = value
        ahead = [path[self._step] if self._step < len(path) else 0 for path in self._paths]
        told = torch.full_like(scores, -torch.inf)
        told[list(range(len(ahead))), ahead] = 0
        self._step += 1
        return told


def paths(continuations: Sequence[Tokens]) -> list[tuple[Tokens, set[Tokens]]]:
    """Return the fewest rows that see every continuation of a prompt: for each its path, and what is wanted there."""
    left = {tokens[: end + 1] for tokens in continuations for end in range(len(tokens))}
    told = []
    for path in beginnings(continuations):
        seen = {one for one in left if one[:-1] == path[: len(one) - 1]}
        told.append((path, seen))
        left -= seen
    return told


def total(tokens: Tokens, found: Mapping[Tokens, float]) -> float:
    """Return the log-probability of a continuation: the sum over its tokens; of those reached, when stopped."""
    return sum(found.get(tokens[: end + 1], 0.0) for end in range(len(tokens)))


def beginnings(continuations: Sequence[Tokens]) -> list[Tokens]:
    """Return the fewest rows of tokens that lead past every continuation up to its last token."""
    kept: list[Tokens] = []
    for one in sorted({tokens[:-1] for tokens in continuations}, key=lambda tokens: (-len(tokens), tokens)):
        if not any(row[: len(one)] == one for row in kept):
            kept.append(one)
    return kept
