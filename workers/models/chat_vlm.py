"""The family `chat_vlm`: generative models that read pictures and text, and write.

Qwen-VL, SmolVLM, Idefics (the open Flamingo) to Idefics3, LLaVA, PaliGemma, Llama 3.2 Vision, Gemma, InternVL, and
whatever else transformers loads for image-text-to-text. For `ask` (free, one of given options, or JSON by a schema),
`caption`, `draft` and, where the option `boxes` says how the model writes boxes, `ground`.

Worked examples (few-shot) come as the argument `examples` of `ask`: triples (index of the picture, question, answer).
The call's pictures are the examples' first, then those of the question itself; each example is a turn of the
conversation before the question.

An option's score is its probability: the product of its tokens' after the prompt, as shares of the options' sum. Where
one option begins with another, the end of the answer counts too; or the shorter would always win. A written answer's
score is the geometric mean of its tokens' probabilities, and the boxes of `ground` all have that of the text that they
stand in. Where a schema says what may come next, the probabilities are shares of what it leaves. Only calls whose
prompts have the same length in tokens share a batch, so nothing is padded; free answers and those by any schema do.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from llguidance import LLMatcher
from PIL import Image
from pydantic import Field, JsonValue
from transformers import AutoModelForImageTextToText, AutoProcessor, GenerationConfig

from domain.errors import DeviceOutOfMemory, ModelError, ModelUnavailable
from domain.geometry import Box
from domain.vision import Answer, Capability, Grounding, Label
from workers.imaging.boxes_in_text import BoxFormat, boxes_in
from workers.modelling.checkpoint import (
    Checkpoint,
    Place,
    computing,
    finite,
    folder,
    min_score,
    place,
    pretrained,
    processor,
)
from workers.modelling.decoding import Drawing, Following, Stopped, Tokens, beginnings, paths, total
from workers.modelling.grammars import Grammars, Held
from workers.modelling.options import options
from workers.modelling.prompts import Prompts, Turn
from workers.modelling.questions import Questions, Worded
from workers.models.family import Ask, DeviceLost, Prepared, ScoreKind, Told
from workers.registry import ModelSpec

CAPABILITIES = frozenset({Capability.ASK, Capability.CAPTION, Capability.DRAFT, Capability.GROUND})
INSTEAD = "let a server that knows it serve it, and name that with the family `remote_vlm`, or take another model"

Remarks = dict[str, int | float | str]


class _Settings(Worded):
    """The options of a profile's row; `load` says what they do."""

    max_new_tokens: int = Field(default=128, ge=1)
    max_prompt: int = Field(default=4096, ge=1)
    temperature: float = Field(default=1.0, gt=0)
    temperature_sampling: float = Field(default=0.0, ge=0)
    seed: int = 0
    repetition_penalty: float = Field(default=1.0, gt=0)
    system: str = ""
    template: dict[str, JsonValue] = Field(default_factory=dict)


def load(spec: ModelSpec) -> "ChatVlm":
    """Load a checkpoint.

    Options, each with its default: `max_new_tokens` (128) of an answer; `max_prompt` (4096), the most tokens of a
    prompt with its pictures, beyond which a call is refused; `max_pixels` (2,000,000) of a picture, beyond which it is
    made smaller first; `temperature` (1), from a calibration, that the log-probabilities of options are divided by;
    `temperature_sampling` (0: greedy) and `seed` (0), to draw answers by chance; `repetition_penalty` (1); `system`, a
    first message; `template`, a table of arguments for the chat template (such as `enable_thinking`); `ask_prompt`,
    where "{}" stands for the question (PaliGemma was trained on "answer en {}"); `choose_prompt`, where "{options}"
    stands for the options besides; `schema_prompt`, where "{schema}" stands for the schema besides; `caption_prompt`;
    `boxes`, how the model writes boxes (see `BoxFormat`), and `ground_prompt`, where "{}" stands for the phrases;
    `threads`. Raises ModelUnavailable.
    """
    settings = options(spec, _Settings, CAPABILITIES)
    if Capability.GROUND in spec.capabilities and settings.boxes is None:
        raise ModelUnavailable(f"model {spec.name!r}: to ground it needs the option `boxes`: {', '.join(BoxFormat)}")
    path, at = folder(spec), place(spec)
    network = pretrained(AutoModelForImageTextToText, path, at)
    told = processor(AutoProcessor, path)
    if network.config.is_encoder_decoder or not hasattr(told, "image_processor"):
        raise ModelUnavailable(
            f"model {spec.name!r}: a {type(network).__name__} continues no prompt with pictures; {INSTEAD}"
        )
    model = ChatVlm(spec, at, network, told, settings)
    model.begin()
    return model


@dataclass(frozen=True, eq=False)
class _Call:
    """A prompt's tensors, and what the answer is made into."""

    ask: Ask
    inputs: dict[str, torch.Tensor]
    choices: tuple[tuple[Tokens, ...], ...] = ()
    """of a closed question: for each option its tokens, in as many ways as it may end"""
    grammar: LLMatcher | None = None
    """of an answer by a schema"""

    @property
    def ways(self) -> list[Tokens]:
        """All that may follow the prompt."""
        return [tokens for choice in self.choices for tokens in choice]


class ChatVlm(Checkpoint):
    """A loaded checkpoint."""

    preprocessing = "chat-vlm/1"
    scores = ScoreKind.MEAN

    def __init__(self, spec: ModelSpec, at: Place, network: Any, told: Any, settings: _Settings) -> None:  # noqa: ANN401
        super().__init__(spec, at, network)
        self._settings, self._tokenizer, self._images = settings, told.tokenizer, told.image_processor
        self._prompts = Prompts(told, settings.system, settings.template)
        self._questions = Questions(settings, self._prompts)
        self._writing = _greedy(network.generation_config, told, settings)
        self._ends = frozenset(_several(self._writing.eos_token_id))
        self._grammars = Grammars(self._tokenizer, self._ends)
        # What is left to a checkpoint's taste (temperature, penalties, shortest lengths) would bend options' scores.
        network.generation_config = GenerationConfig(
            eos_token_id=self._writing.eos_token_id, pad_token_id=self._writing.pad_token_id
        )
        positions = getattr(network.config.get_text_config(), "max_position_embeddings", None) or math.inf
        self._most = min(settings.max_prompt, positions - settings.max_new_tokens)

    def begin(self) -> None:
        """Write one token about a small picture. Raises ModelUnavailable where the architecture cannot be asked so."""
        name, drawing = type(self.network).__name__, Drawing(1, 0.0, 0)
        try:
            inputs, _ = self._prompts.tensors([Turn((Image.new("RGB", (64, 64)),), "What is it?")])
            with computing(self.at, 1):
                self.network.generate(
                    **self._stacked([_Call(Ask(Capability.CAPTION), inputs)]),
                    generation_config=GenerationConfig(max_new_tokens=1, do_sample=False),
                    logits_processor=[drawing],
                )
        except (DeviceOutOfMemory, DeviceLost):
            raise
        except Exception as error:
            raise ModelUnavailable(
                f"model {self.spec.name!r}: a {name} cannot be asked about a picture here: {type(error).__name__}: "
                f"{error}; {INSTEAD}"
            ) from error
        if not drawing.chances:
            raise ModelUnavailable(f"model {self.spec.name!r}: a {name} lets nobody see how sure it is; {INSTEAD}")

    def prepare(self, ask: Ask) -> Prepared:
        """Render a call's prompt and preprocess its pictures.

        Raises ModelError on another capability, on no question or picture, on texts that hold the model's own signs,
        on a prompt that is too long, and on a schema that the model's tokens cannot be held to.
        """
        if ask.capability not in CAPABILITIES or (ask.capability == Capability.GROUND and not self._settings.boxes):
            raise ModelError(f"this model cannot {ask.capability}")
        min_score(ask)  # a number that is none is told before the answer is written, not after
        if ask.capability == Capability.GROUND and not ask.arguments.get("phrases"):
            return Prepared(_Call(ask, {}), group="nothing is asked for", pixels=1)
        options = tuple(ask.arguments.get("options", ()))
        inputs, prompt = self._prompts.tensors(self._questions.turns(ask, options))
        ids = inputs["input_ids"][0].tolist()
        if len(ids) > self._most:
            raise ModelError(
                f"the prompt with its pictures has {len(ids)} tokens, more than {self._most}; `max_prompt` allows "
                f"longer ones within the model's positions, `max_pixels` makes pictures smaller"
            )
        schema = ask.arguments.get("schema")
        grammar = None if schema is None else self._grammars.of(schema)
        call = _Call(ask, inputs, self._choices(self._prompts.continued(ids, options)), grammar)
        shapes = tuple((name, tuple(tensor.shape)) for name, tensor in sorted(inputs.items()))
        values = sum(tensor.numel() for tensor in inputs.values() if tensor.is_floating_point())
        rows = max(len(beginnings(call.ways)), 1)
        tokens = rows * (len(ids) + self._settings.max_new_tokens)
        return Prepared(call, (bool(options), shapes), pixels=values // 3 * rows, prompt=prompt, tokens=tokens)

    def answered(self, ask: Ask, answer: str) -> tuple[dict[str, torch.Tensor], int]:
        """Return a call's tensors with an answer after the prompt, and its end, to learn from; and where those begin.

        Raises ModelError as `prepare` does, ModelUnavailable where nothing ends this model's answers.
        """
        inputs = self.prepare(ask).payload.inputs
        end, prompt = self._prompts.end(self._ends), inputs["input_ids"][0].tolist()
        if end is None:
            raise ModelUnavailable(f"model {self.spec.name!r}: its configuration names no token that ends an answer")
        (tokens,) = self._prompts.continued(prompt, [answer])
        return self._prompts.followed(inputs, (*tokens, end)), len(prompt)

    def answers(self, batch: Sequence[Prepared]) -> list[Any]:
        """Return an Answer, a text, or Groundings for each call, with what its caller should know besides."""
        calls: list[_Call] = [prepared.payload for prepared in batch]
        if not calls[0].inputs:
            return [() for _ in calls]
        return self._chosen(batch, calls) if calls[0].choices else self._written(batch, calls)

    def _choices(self, options: Sequence[Tokens]) -> tuple[tuple[Tokens, ...], ...]:
        """Return in how many ways each option may be written: with each sign of the end, where that matters."""
        alike = any(one != other and other[: len(one)] == one for one in options for other in options)
        if alike and self._ends:
            return tuple(tuple((*tokens, end) for end in sorted(self._ends)) for tokens in options)
        return tuple((tokens,) for tokens in options)

    def _stacked(self, calls: Sequence[_Call]) -> dict[str, torch.Tensor]:
        """Return the tensors of all calls, one below the other."""
        told = {}
        for name in calls[0].inputs:
            stacked = torch.cat([call.inputs[name] for call in calls]).to(self.at.device)
            told[name] = stacked.to(self.at.dtype) if stacked.is_floating_point() else stacked
        return told

    def _written(self, batch: Sequence[Prepared], calls: Sequence[_Call]) -> list[Any]:
        inputs = self._stacked(calls)
        drawing = Drawing(len(calls), self._settings.temperature_sampling, self._settings.seed)
        told = self.network.generate(
            **inputs,
            generation_config=self._writing,
            logits_processor=[Held([call.grammar for call in calls]), drawing],
            stopping_criteria=[Stopped([prepared.stopped for prepared in batch])],
        )
        tokens = told[:, inputs["input_ids"].shape[1] :].tolist()
        chances = torch.stack(drawing.chances, dim=1).cpu()
        return [self._answer(call, ids, chance) for call, ids, chance in zip(calls, tokens, chances, strict=True)]

    def _answer(self, call: _Call, ids: Sequence[int], chances: torch.Tensor) -> Any:  # noqa: ANN401
        """Return what the call wants, from a row of tokens and their log-probabilities."""
        end = next((place for place, token in enumerate(ids) if token in self._ends), None)
        used = chances[: len(ids) if end is None else end + 1]
        finite(used)
        score = min(math.exp(used.mean().item()), 1.0)
        remarks: Remarks = {} if end is not None else {"cut_off_at_tokens": len(ids)}
        value: Any
        if call.ask.capability == Capability.GROUND:
            value = self._grounded(call, self._tokenizer.decode(ids[:end]), score, remarks)
        else:
            tidied = None if call.grammar is None else False  # a tokenizer that tidies blanks would change the JSON
            value = self._tokenizer.decode(
                ids[:end], skip_special_tokens=True, clean_up_tokenization_spaces=tidied
            ).strip()
            value = Answer(text=value, score=score) if call.ask.capability == Capability.ASK else value
        return Told(value, remarks) if remarks else value

    def _grounded(self, call: _Call, text: str, score: float, remarks: Remarks) -> tuple[Grounding, ...]:
        """Return the boxes in a text that bear one of the phrases; count the others among the remarks."""
        height, width = call.ask.pictures[0].shape[:2]
        phrases = {phrase.strip().casefold(): phrase for phrase in call.ask.arguments["phrases"]}
        only = next(iter(phrases.values())) if len(phrases) == 1 else None
        found, dropped = boxes_in(text, self._settings.boxes or BoxFormat.JSON1000, self._size_shown(call))
        told = []
        for box in found:
            phrase, (x0, y0, x1, y1) = only or phrases.get(box.label.casefold()), box.corners
            if phrase is not None:
                corners = Box(x0=x0 * width, y0=y0 * height, x1=x1 * width, y1=y1 * height)
                told.append(Grounding(phrase=phrase, score=score, box=corners))
        counted = {"dropped_boxes": dropped, "boxes_of_other_labels": len(found) - len(told)}
        remarks.update({name: count for name, count in counted.items() if count})
        return tuple(told) if score >= min_score(call.ask) else ()

    def _size_shown(self, call: _Call) -> tuple[float, float]:
        """Return width and height in pixels of the picture as the network was shown it."""
        if "image_grid_thw" in call.inputs:  # Qwen-VL's: in patches
            _, rows, columns = call.inputs["image_grid_thw"][0].tolist()
            return columns * self._images.patch_size, rows * self._images.patch_size
        height, width = call.inputs["pixel_values"].shape[-2:]
        return width, height

    def _chosen(self, batch: Sequence[Prepared], calls: Sequence[_Call]) -> list[Any]:
        """Answer closed questions: each has as many rows as its options need, and `max_batch` of them go at a time."""
        rows = [(index, *row) for index, call in enumerate(calls) for row in paths(call.ways)]
        found: list[dict[Tokens, float]] = [{} for _ in calls]
        for start in range(0, len(rows), self.spec.max_batch):
            owners, along, wanted = zip(*rows[start : start + self.spec.max_batch], strict=True)
            following = Following(along, wanted)
            self.network.generate(
                **self._stacked([calls[owner] for owner in owners]),
                generation_config=GenerationConfig(max_new_tokens=following.steps, do_sample=False),
                logits_processor=[following],
                stopping_criteria=[Stopped([batch[owner].stopped for owner in owners])],
            )
            for owner, told in zip(owners, following.found, strict=True):
                found[owner] |= told
        return [self._closed(call, told) for call, told in zip(calls, found, strict=True)]

    def _closed(self, call: _Call, found: Mapping[Tokens, float]) -> Told:
        """Return the options by their probabilities, from the log-probabilities of the tokens of all ways to write."""
        ways = [[total(tokens, found) for tokens in choice] for choice in call.choices]
        logits = torch.stack([torch.tensor(way, dtype=torch.float64).logsumexp(dim=0) for way in ways])
        finite(logits)
        shares = torch.softmax(logits / self._settings.temperature, dim=0).tolist()
        names = call.ask.arguments["options"]
        labels = [Label(name=name, score=min(share, 1.0)) for name, share in zip(names, shares, strict=True)]
        labels.sort(key=lambda label: -label.score)
        best = Answer(text=labels[0].name, score=labels[0].score, options=tuple(labels))
        return Told(best, {}, scores=ScoreKind.SOFTMAX)


def _greedy(told: GenerationConfig, prompts: Any, settings: _Settings) -> GenerationConfig:  # noqa: ANN401
    """Return how answers are written: the likeliest token comes next, but none that the checkpoint forbids.

    Nor one that stands for a picture: an answer holds none.
    """
    ends = told.eos_token_id if told.eos_token_id is not None else prompts.tokenizer.eos_token_id
    pads = [told.pad_token_id, prompts.tokenizer.pad_token_id, *_several(ends), 0]
    pictures = {token for token in prompts.image_token_ids if token is not None}
    return GenerationConfig(
        do_sample=False,
        num_beams=1,
        eos_token_id=ends,
        pad_token_id=next(pad for pad in pads if pad is not None),
        max_new_tokens=settings.max_new_tokens,
        repetition_penalty=settings.repetition_penalty,
        bad_words_ids=told.bad_words_ids,
        suppress_tokens=sorted({*(told.suppress_tokens or ()), *pictures}),
        sequence_bias=told.sequence_bias,
    )


def _several(tokens: int | list[int] | None) -> list[int]:
    return [] if tokens is None else [tokens] if isinstance(tokens, int) else list(tokens)
