"""Visual question answering by writing: BLIP."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch.nn.functional import log_softmax

from domain.errors import ModelError
from domain.vision import Answer
from workers.modelling.asking import Asked, best
from workers.modelling.checkpoint import Place, finite
from workers.modelling.decoding import Stopped
from workers.modelling.options import Tempered
from workers.models.family import Prepared, ScoreKind
from workers.registry import ModelSpec


class WritingOptions(Tempered):
    """The options of a row of BLIP."""

    max_new_tokens: int = Field(default=128, ge=1)


class Blip(Asked):
    """BLIP: a decoder writes the answer (Li et al. 2022, section 5.4); options are ranked by their probability.

    An option's score is its share of the options' probabilities. Longer options are less probable to be written.
    """

    scores = ScoreKind.SEQUENCE
    schema = WritingOptions

    def __init__(self, spec: ModelSpec, at: Place, network: Any, path: Path, told: Any) -> None:  # noqa: ANN401
        super().__init__(spec, at, network, path, told)
        network.text_decoder.generation_config.max_length = None  # two limits would be warned of with every answer
        self._room = min(told.max_new_tokens, self._longest - 1)

    def states(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the question's states given the picture, B × tokens × D."""
        picture = self.network.vision_model(pixel_values=inputs["pixel_values"]).last_hidden_state
        seen = torch.ones(picture.shape[:2], dtype=torch.long, device=picture.device)
        question = self.network.text_encoder(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            encoder_hidden_states=picture,
            encoder_attention_mask=seen,
        )
        return question.last_hidden_state  # type: ignore[no-any-return]

    def written(self, option: str) -> list[int]:
        """Return what the decoder writes to say something, with the signs of its beginning and end."""
        config = self.network.config.text_config
        return [config.bos_token_id, *self._ids(option, ends=False), config.sep_token_id]

    def can_say(self, answer: str) -> bool:
        """See Asked."""
        return len(self.written(answer)) <= self._longest

    def _check_options(self, options: Sequence[str]) -> None:
        long = [option for option in options if not self.can_say(option)]
        if long:
            raise ModelError(f"an option is longer than this model can write: {', '.join(map(repr, long))}")

    def _answered(self, batch: Sequence[Prepared], inputs: dict[str, torch.Tensor]) -> list[Answer]:
        if not batch[0].payload.options:
            return self._generated(batch, inputs)
        states = self.states(inputs)
        return [
            Answer(text="") if prepared.stopped.is_set() else self._ranked(row[None], prepared.payload.options)
            for row, prepared in zip(states, batch, strict=True)
        ]

    def _generated(self, batch: Sequence[Prepared], inputs: dict[str, torch.Tensor]) -> list[Answer]:
        told = self.network.generate(
            **inputs,
            max_new_tokens=self._room,
            num_beams=1,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
            stopping_criteria=[Stopped([prepared.stopped for prepared in batch])],
        )
        ids = told.sequences[:, 1:]
        logits = torch.stack(told.logits, dim=1).float()
        finite(logits)
        chosen = log_softmax(logits / self._temperature, dim=-1).gather(2, ids[..., None])[..., 0]
        ended = (ids == self.network.config.text_config.sep_token_id).cumsum(dim=1)
        counted = (ended == 0) | ((ended == 1) & (ids == self.network.config.text_config.sep_token_id))
        scores = (chosen * counted).sum(dim=1).exp().tolist()
        texts = self._tokenizer.batch_decode(ids, skip_special_tokens=True)
        return [Answer(text=text.strip(), score=score) for text, score in zip(texts, scores, strict=True)]

    def _ranked(self, states: torch.Tensor, options: Sequence[str]) -> Answer:
        logs = torch.stack([self._log_probability(states, self.written(option)) for option in options])
        finite(logs)
        return best(options, torch.softmax(logs.double() / self._temperature, dim=0).tolist())

    def _log_probability(self, states: torch.Tensor, written: Sequence[int]) -> torch.Tensor:
        """Return how probable it is (its logarithm) that the decoder writes these ids after the first."""
        ids = torch.tensor([written], device=states.device)
        seen = torch.ones(states.shape[:2], dtype=torch.long, device=states.device)
        told = self.network.text_decoder(input_ids=ids, encoder_hidden_states=states, encoder_attention_mask=seen)
        logs = log_softmax(told.logits[:, :-1].float(), dim=-1)
        return logs.gather(2, ids[:, 1:, None]).sum()
