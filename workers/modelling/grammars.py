"""JSON by a schema, token by token: which tokens may come next is told by llguidance, and no other is drawn.

The grammar works on the bytes that tokens stand for. Between the parts of its JSON a model writes what `json.dumps`
would: no blanks of its own, which could go on for ever.
"""

import json
from collections.abc import Collection, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from llguidance import LLMatcher, LLTokenizer
from llguidance.hf import from_tokenizer
from transformers import LogitsProcessor

from domain.errors import ModelError
from domain.schemas import Schema

LAYOUT: Any = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


class Grammars:
    """The grammars of schemas over one tokenizer's tokens; `ends` are the signs that end an answer. For all threads."""

    def __init__(self, tokenizer: Any, ends: Collection[int]) -> None:  # noqa: ANN401  (transformers has no types)
        self._tokenizer, self._ends = tokenizer, sorted(ends)

    def of(self, schema: Schema) -> LLMatcher:
        """Return the grammar of a closed schema, at its beginning.

        Raises ModelError where the tokens of this model cannot be held to it.
        """
        grammar = LLMatcher.grammar_from_json_schema(json.dumps(schema, ensure_ascii=False), overrides=LAYOUT)
        matcher = LLMatcher(self._tokens, grammar, log_level=0)
        if matcher.is_error():
            raise ModelError(f"this model cannot be held to the schema: {matcher.get_error()}")
        return matcher

    @cached_property
    def _tokens(self) -> LLTokenizer:
        if not self._ends:
            raise ModelError("this model has no sign for the end of an answer, so it cannot be held to a schema")
        try:
            return from_tokenizer(self._tokenizer, eos_token=self._ends)
        except ValueError as error:
            raise ModelError(f"this model's tokenizer cannot be held to a schema: {error}") from error


class Held(LogitsProcessor):  # type: ignore[misc]
    """Leave each row that has a grammar only the tokens that may come next in it; the other rows are left alone."""

    def __init__(self, grammars: Sequence[LLMatcher | None]) -> None:
        self._matchers = [(row, grammar.deep_copy()) for row, grammar in enumerate(grammars) if grammar]
        self._begun = False

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return the logits (B × vocabulary), with minus infinity for what may not come."""
        last = input_ids[:, -1].tolist()
        barred = torch.zeros(scores.shape, dtype=torch.bool)
        for row, matcher in self._matchers:
            if self._begun:
                matcher.consume_token(last[row])
            if not matcher.is_error():  # or else the row has ended, and is padded
                # A network may have room for more tokens than its tokenizer knows.
                known = np.frombuffer(matcher.compute_logit_bias(), dtype=np.uint8)[: scores.shape[1]]
                barred[row, : len(known)] = torch.from_numpy(known == 0)
                barred[row, len(known) :] = True
        self._begun = True
        return scores.masked_fill(barred.to(scores.device), -torch.inf) if self._matchers else scores
