"""Continuations of a prompt are looked at in the fewest rows, and each draw is a row's own."""

import threading
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from workers.modelling.decoding import Drawing, Following, Stopped, beginnings, paths, total

pytestmark = pytest.mark.model

TOKENS = st.lists(st.integers(0, 3), min_size=1, max_size=5).map(tuple)


@given(st.lists(TOKENS, min_size=1, max_size=6))
def test_rows_pass_all_that_comes_before_a_last_token_and_none_could_be_left_out(told: list[tuple[int, ...]]) -> None:
    rows = beginnings(told)

    wanted = {tokens[:step] for tokens in told for step in range(len(tokens))}
    assert {row[:step] for row in rows for step in range(len(row) + 1)} == wanted
    assert not any(row != other and other[: len(row)] == row for row in rows for other in rows)


def test_yes_and_no_need_one_row() -> None:
    assert beginnings([(1,), (2,)]) == [()]


@given(st.lists(st.lists(TOKENS, min_size=1, max_size=4), min_size=1, max_size=3), st.integers(1, 4))
def test_each_continuation_gets_the_sum_of_its_own_tokens(prompts: list[list[tuple[int, ...]]], most: int) -> None:
    """The toy network gives each token a logit by the prompt, by what was written so far and by the token."""
    rows = [(prompt, *row) for prompt, told in enumerate(prompts) for row in paths(told)]
    found: list[dict[tuple[int, ...], float]] = [{} for _ in prompts]

    for start in range(0, len(rows), most):
        some = rows[start : start + most]
        for (prompt, *_), told in zip(some, _followed(some), strict=True):
            found[prompt] |= told

    for prompt, continuations in enumerate(prompts):
        for tokens in continuations:
            logs = [torch.log_softmax(_logits(prompt, tokens[:step]), dim=-1) for step in range(len(tokens))]
            alone = sum(float(log[token]) for log, token in zip(logs, tokens, strict=True))
            assert total(tokens, found[prompt]) == pytest.approx(alone)


def test_a_call_that_nobody_waits_for_ends_with_all_its_beams() -> None:
    waiting, left = threading.Event(), threading.Event()
    left.set()

    ended = Stopped([waiting, left])(torch.zeros(6, 1), None)

    assert ended.tolist() == [False] * 3 + [True] * 3


def test_draws_are_distributed_as_the_network_says() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0]])
    drawing = Drawing(1, temperature=2.0, seed=7)

    drawn = torch.cat([drawing(torch.zeros(1, 1), logits).argmax(dim=-1) for _ in range(4000)])

    shares = torch.softmax(logits[0] / 2.0, dim=-1)
    assert torch.bincount(drawn).div(4000).tolist() == pytest.approx(shares.tolist(), abs=0.03)
    assert torch.allclose(torch.cat(drawing.chances).exp(), shares[drawn])


def _followed(rows: list[Any]) -> list[dict[tuple[int, ...], float]]:
    following = Following([path for _, path, _ in rows], [wanted for *_, wanted in rows])
    written: list[tuple[int, ...]] = [() for _ in rows]
    for _ in range(following.steps):
        logits = torch.stack([_logits(prompt, row) for (prompt, *_), row in zip(rows, written, strict=True)])
        chosen = following(torch.zeros(len(rows), 1), logits).argmax(dim=-1).tolist()
        written = [(*row, token) for row, token in zip(written, chosen, strict=True)]
    return following.found


def _logits(prompt: int, written: tuple[int, ...]) -> torch.Tensor:
    generator = torch.Generator().manual_seed(hash((prompt, written)) % 2**31)
    return torch.randn(4, generator=generator)
