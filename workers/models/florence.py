"""The family `florence`: Florence-2, one network that is told its task by a prompt (Xiao et al. 2024).

It captions, detects, grounds phrases, draws polygons around what a phrase or a box shows, and reads text where it
stands. Places come as tokens of a grid of 1000 x 1000; the processor parses them. What makes no box, polygon or line of
text in the picture is dropped and told. It gives no scores: all are 1. It has no task for questions; a checkpoint that
was trained further for them says so in the option `ask_prompt`.
"""

import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image, ImageDraw
from pydantic import Field
from transformers import AutoProcessor, Florence2ForConditionalGeneration

from domain.errors import ModelError, ModelUnavailable
from domain.geometry import Box, Point, Polygon
from domain.vision import Answer, Capability, Detection, Grounding, Prompt, Segment, TextRegion
from workers.imaging.masks import encode
from workers.modelling.checkpoint import (
    Checkpoint,
    Place,
    finite,
    folder,
    min_score,
    one_picture,
    place,
    pretrained,
    processor,
)
from workers.modelling.decoding import Stopped
from workers.modelling.options import Options as Common
from workers.modelling.options import Template, options
from workers.models.family import Ask, Prepared, ScoreKind, Told
from workers.registry import ModelSpec

BINS = 1000
"""How many places the network tells apart each way."""
AT_ONCE = 16
"""So many prompts are answered at a time: a call may have one for each phrase or box."""
BRIEF, LONG = 128, 1024
"""The most tokens of a caption or an answer, and of lists of places."""
SEAM = 4
"""So many more tokens a text may have when it is cut and put between others."""
CAPABILITIES = frozenset(
    {
        Capability.ASK,
        Capability.CAPTION,
        Capability.DETECT,
        Capability.GROUND,
        Capability.READ,
        Capability.SEGMENT,
    }
)
TASKS = {Capability.DETECT: "<OD>", Capability.READ: "<OCR_WITH_REGION>"}
OF_PHRASE = {
    Capability.GROUND: "<CAPTION_TO_PHRASE_GROUNDING>",
    Capability.SEGMENT: "<REFERRING_EXPRESSION_SEGMENTATION>",
}
OF_BOX = "<REGION_TO_SEGMENTATION>"
PLACE = re.compile(r"<loc_\d+>")


class Options(Common):
    """The options of a row; see `load`."""

    caption: Literal["<CAPTION>", "<DETAILED_CAPTION>", "<MORE_DETAILED_CAPTION>"] = "<CAPTION>"
    ask_prompt: Template | None = None
    beams: int = Field(default=1, ge=1)
    max_new_tokens: int | None = Field(default=None, ge=1)


def load(spec: ModelSpec) -> "Florence":
    """Load a checkpoint.

    Options: `caption` (the task: `<CAPTION>`, the default, `<DETAILED_CAPTION>` or `<MORE_DETAILED_CAPTION>`),
    `ask_prompt` (a text with {} for the question, such as `<VQA>{}`, for a checkpoint that learned to answer it),
    `beams` (default 1: greedy), `max_new_tokens` (default 128 for texts, 1024 for lists of places), `threads`. Raises
    ModelUnavailable.
    """
    told = options(spec, Options, CAPABILITIES)
    if Capability.ASK in spec.capabilities and told.ask_prompt is None:
        raise ModelUnavailable(f"model {spec.name!r}: to ask it needs the option `ask_prompt`")
    path, at = folder(spec), place(spec)
    network = pretrained(Florence2ForConditionalGeneration, path, at)
    return Florence(spec, at, network, processor(AutoProcessor, path), told)


@dataclass(frozen=True)
class _Row:
    """One prompt of a call: its task, its ids, how many tokens may answer it, and what it asks about."""

    task: str
    ids: tuple[int, ...]
    room: int
    phrase: str = ""


@dataclass(frozen=True, eq=False)
class _Call:
    """A picture's tensor, 1 × 3 × side × side, its own width and height, its prompts, and how many of them were cut."""

    capability: Capability
    pixels: torch.Tensor
    size: tuple[int, int]
    rows: tuple[_Row, ...]
    cut: int


@dataclass
class _Said:
    """What a prompt was answered with; `whole` unless the answer had to end before its end."""

    text: str
    whole: bool


class Florence(Checkpoint):
    """A loaded checkpoint. Calls of all tasks share a batch; prompts of equal length are answered together.

    Nothing is padded, so company does not change an answer.
    """

    preprocessing = "florence/1"
    scores = ScoreKind.NONE

    def __init__(self, spec: ModelSpec, at: Place, network: Any, own: Any, told: Options) -> None:  # noqa: ANN401
        super().__init__(spec, at, network)
        self._processor, self._tokenizer, self._lock = own, own.tokenizer, threading.Lock()
        images = own.image_processor
        if not images.size.height or images.do_center_crop:
            raise ModelUnavailable(
                f"model {spec.name!r}: its processor does not squeeze the whole picture into one size"
            )
        self._caption, self._ask = told.caption, told.ask_prompt
        self._positions = int(network.config.text_config.max_position_embeddings)
        self._rooms = {usual: min(told.max_new_tokens or usual, self._positions - 1) for usual in (BRIEF, LONG)}
        network.generation_config.update(num_beams=told.beams, early_stopping=told.beams > 1, do_sample=False)
        # In a phrase these would be read as a picture, a place, or an end.
        self._reserved = (*self._tokenizer.get_added_vocab(), *own.tasks_answer_post_processing_type)

    def prepare(self, ask: Ask) -> Prepared:
        """Preprocess one picture and what is asked of it. Raises ModelError on what Florence-2 has no task for."""
        pixels = one_picture(ask)
        min_score(ask)  # all scores are 1, but a number that is none is a mistake
        size = (pixels.shape[1], pixels.shape[0])
        told = list(self._told(ask, size))
        seen = self._processor.image_processor(pixels, input_data_format="channels_last", return_tensors="pt")
        tensor = seen["pixel_values"]
        rows = tuple(row for row, _ in told)
        prompt = " | ".join(f"{row.task}{row.phrase}" for row in rows)
        call = _Call(ask.capability, tensor, size, rows, cut=sum(was_cut for _, was_cut in told))
        tokens = sum(len(row.ids) + row.room for row in rows)
        return Prepared(call, tuple(tensor.shape), pixels=tensor[0, 0].numel(), prompt=prompt, tokens=tokens)

    def answers(self, batch: Sequence[Prepared]) -> list[Any]:
        """Answer each call, with what was dropped or cut on the way."""
        calls: list[_Call] = [prepared.payload for prepared in batch]
        pixels = torch.cat([call.pixels for call in calls]).to(self.at.device, self.at.dtype)
        features = self.network.get_image_features(pixels).pooler_output
        finite(features)
        said: dict[tuple[int, int], _Said] = {}
        for keys in _together(calls):
            rows = [calls[call].rows[row] for call, row in keys]
            owners = [call for call, _ in keys]
            texts = self._generated(rows, features[owners], [batch[owner].stopped for owner in owners])
            said.update(zip(keys, texts, strict=True))
        return [
            self._answer(call, [said[index, row] for row in range(len(call.rows))]) for index, call in enumerate(calls)
        ]

    def _told(self, ask: Ask, size: tuple[int, int]) -> Iterator[tuple[_Row, bool]]:
        """Yield a call's prompts, and whether their texts were cut."""
        capability, arguments = ask.capability, ask.arguments
        if capability in TASKS:
            yield self._row(TASKS[capability], LONG)
        elif capability == Capability.CAPTION:
            yield self._row(self._caption, BRIEF)
        elif capability == Capability.GROUND:
            for phrase in arguments.get("phrases", ()):
                yield self._row(OF_PHRASE[capability], LONG, phrase)
        elif capability == Capability.SEGMENT:
            yield from self._of_prompt(arguments.get("prompt"), size)
        elif capability == Capability.ASK and self._ask is not None:
            if arguments.get("options") or arguments.get("schema"):
                raise ModelError("this model answers freely; it cannot weigh options, nor answer by a schema")
            yield self._row(self._ask, BRIEF, arguments.get("question", ""))
        else:
            raise ModelError(f"Florence-2 has no task to {capability}")

    def _of_prompt(self, prompt: Prompt | None, size: tuple[int, int]) -> Iterator[tuple[_Row, bool]]:
        if prompt is None or prompt.points or not (prompt.boxes or prompt.phrase):
            raise ModelError("this model segments what a phrase or boxes show; it takes no points")
        for box in prompt.boxes:
            inside = box.clipped(*size)
            if inside.area <= 0:
                raise ModelError(f"the box {box.xyxy} covers nothing of a picture of {size[0]}x{size[1]}")
            bins = self._processor.post_processor.quantize(torch.tensor([inside.xyxy]), size)[0].tolist()
            yield _Row(OF_BOX, self._ids(OF_BOX, "".join(f"<loc_{place}>" for place in bins)), self._rooms[LONG]), False
        if prompt.phrase is not None:
            yield self._row(OF_PHRASE[Capability.SEGMENT], LONG, prompt.phrase)

    def _row(self, task: str, room: int, phrase: str | None = None) -> tuple[_Row, bool]:
        """Return a prompt, its phrase cut to the network's positions. Raises ModelError on a phrase of no words."""
        if phrase is None:
            return _Row(task, self._ids(task), self._rooms[room]), False
        reserved = next((sign for sign in self._reserved if sign in phrase), None)
        if not phrase.strip() or reserved:
            raise ModelError(f"a text needs a word, and may not hold {reserved or 'what the model keeps for itself'!r}")
        ids, kept = self._ids(task, phrase), phrase
        if len(ids) > self._positions:
            kept = self._cut(phrase, self._positions - len(self._ids(task, "")) - SEAM)
            ids = self._ids(task, kept)
        return _Row(task, ids, self._rooms[room], phrase), kept != phrase

    def _cut(self, phrase: str, room: int) -> str:
        """Return so much of a phrase as that many tokens hold. Raises ModelError where there is room for none."""
        if room < 1:
            raise ModelError("this model has no room for a text beside the picture")
        with self._lock:
            told = self._tokenizer(phrase, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return phrase[: told["offset_mapping"][room - 1][1]]

    def _ids(self, task: str, phrase: str | None = None) -> tuple[int, ...]:
        """Return the ids of a prompt: places for the picture, and the task in words, between the signs of a text."""
        words, tokenizer = self._processor, self._tokenizer
        if phrase is None:
            text = words.task_prompts_without_inputs[task]
        elif task in words.task_prompts_with_input:
            text = words.task_prompts_with_input[task].replace("{input}", phrase)
        else:
            text = task.replace("{}", phrase)
        with self._lock:  # tokenizers are not for two threads at a time
            ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        picture = [words.image_token_id] * words.num_image_tokens
        return (*picture, tokenizer.bos_token_id, *ids, tokenizer.eos_token_id)

    def _generated(
        self, rows: Sequence[_Row], features: torch.Tensor, stopped: Sequence[threading.Event]
    ) -> list[_Said]:
        """Answer prompts of one length; `features` are those of the picture of each."""
        ids = torch.tensor([row.ids for row in rows], device=self.at.device)
        words = self.network.get_input_embeddings()(ids)
        mixed = words.masked_scatter((ids == self._processor.image_token_id)[..., None], features.to(words.dtype))
        mask, room = torch.ones_like(ids), rows[0].room
        generated = self.network.generate(
            encoder_outputs=self.network.get_encoder()(inputs_embeds=mixed, attention_mask=mask),
            attention_mask=mask,
            max_new_tokens=room,
            stopping_criteria=[Stopped(stopped)],
        )
        return [self._said(row[1:], room) for row in generated.tolist()]  # the first one is where all begin

    def _said(self, ids: list[int], room: int) -> _Said:
        end, padding = self._tokenizer.eos_token_id, self._tokenizer.pad_token_id
        length = next((index for index, one in enumerate(ids) if one in {end, padding}), len(ids))
        # It is made to end at the last place, so an end there does not say that the answer is whole.
        return _Said(self._tokenizer.decode(ids[:length], skip_special_tokens=False), end in ids[: room - 1])

    def _answer(self, call: _Call, said: Sequence[_Said]) -> Any:  # noqa: ANN401
        parsed = [self._parsed(row.task, one.text) for row, one in zip(call.rows, said, strict=True)]
        remarks = {"cut_phrases": call.cut, "cut_answers": sum(not one.whole for one in said)}
        value: Any
        if call.capability == Capability.CAPTION:
            value = parsed[0]
        elif call.capability == Capability.ASK:
            value = Answer(text=parsed[0])
        elif call.capability == Capability.SEGMENT:
            value, remarks["dropped_polygons"] = _segments(call, parsed)
        elif call.capability == Capability.READ:
            value = _lines(parsed[0], call.size)
            remarks["dropped_lines"] = _places(said, 8) - len(value)
        else:
            value = _found(call, parsed)
            remarks["dropped_boxes"] = _places(said, 4) - len(value)
        remarks = {name: count for name, count in remarks.items() if count > 0}
        return Told(value, remarks) if remarks else value

    def _parsed(self, task: str, text: str) -> Any:  # noqa: ANN401
        """Return what the processor reads in an answer; as places, the numbers of the grid, which it would round."""
        return self._processor.post_process_generation(text=text, task=task, image_size=(BINS, BINS))[task]


def _together(calls: Sequence[_Call]) -> Iterator[list[tuple[int, int]]]:
    """Yield which prompts (call, row) are answered together: of one length and with one limit."""
    alike: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for index, call in enumerate(calls):
        for number, row in enumerate(call.rows):
            alike.setdefault((len(row.ids), row.room), []).append((index, number))
    for keys in alike.values():
        yield from (keys[start : start + AT_ONCE] for start in range(0, len(keys), AT_ONCE))


def _places(said: Sequence[_Said], each: int) -> int:
    """Return of how many things the answers speak that take so many places each, finished or not."""
    return sum(-(-len(PLACE.findall(one.text)) // each) for one in said)


def _points(bins: Sequence[int], size: tuple[int, int]) -> list[Point]:
    """Return the points of the picture in the middle of the grid's cells."""
    (width, height), each = size, iter(bins)
    return [((x + 0.5) * width / BINS, (y + 0.5) * height / BINS) for x, y in zip(each, each, strict=False)]


def _found(call: _Call, parsed: Sequence[dict[str, Any]]) -> tuple[Detection | Grounding, ...]:
    """Return the boxes, in the picture and of some area, under their own labels or the phrases asked about."""
    found: list[Detection | Grounding] = []
    for row, told in zip(call.rows, parsed, strict=True):
        for bins, label in zip(told["bboxes"], told["labels"], strict=True):
            (x0, y0), (x1, y1) = _points(bins, call.size)
            if x0 >= x1 or y0 >= y1 or not label:
                continue
            box = Box(x0=x0, y0=y0, x1=x1, y1=y1).clipped(*call.size)
            if box.area > 0 and row.phrase:
                found.append(Grounding(phrase=row.phrase, score=1.0, box=box))
            elif box.area > 0:
                found.append(Detection(label=label, score=1.0, box=box))
    return tuple(found)


def _lines(parsed: dict[str, Any], size: tuple[int, int]) -> tuple[TextRegion, ...]:
    told = [
        (Polygon(points=tuple(_points(bins, size))), text)
        for bins, text in zip(parsed["quad_boxes"], parsed["labels"], strict=True)
        if max(bins) < BINS
    ]
    return tuple(TextRegion(quad=quad, text=text, confidence=1.0) for quad, text in told if quad.area > 0 and text)


def _segments(call: _Call, parsed: Sequence[dict[str, Any]]) -> tuple[tuple[Segment, ...], int]:
    """Return a mask for each prompt, and how many polygons were dropped. One for a box may be empty, with the score 0.

    The polygons of a prompt are pieces of one mask.
    """
    found, dropped = [], 0
    for row, told in zip(call.rows, parsed, strict=True):
        outlines = [_points(bins, call.size) for polygons in told["polygons"] for bins in polygons]
        drawn = Image.new("1", call.size)
        for outline in outlines:
            if len(outline) < 3:
                dropped += 1
            else:  # PIL counts from the middle of the first pixel
                ImageDraw.Draw(drawn).polygon([(x - 0.5, y - 0.5) for x, y in outline], fill=1)
        bits = np.asarray(drawn)
        if bits.any() or not row.phrase:
            found.append(Segment(mask=encode(bits), score=float(bits.any())))
    return tuple(found), dropped
