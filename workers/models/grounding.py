"""The family `grounding`: where in a picture a phrase speaks of something, for `Capability.GROUND`.

Grounding DINO, MM-Grounding-DINO and LLMDet read all phrases as one text beside the picture and say for each box how
well each token of the text fits it (Liu et al. 2023). OWL-ViT and OWLv2 compare each box with a vector of each phrase
(Minderer et al. 2022, 2023); these vectors are kept. A picture is never padded to another's size: only calls whose
tensors have the same shape share a batch. Every box is given to the one phrase that fits it best.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from threading import Lock
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image
from pydantic import Field
from transformers import AutoConfig, AutoImageProcessor, AutoModelForZeroShotObjectDetection, AutoTokenizer

from domain.errors import ModelError, ModelUnavailable
from domain.geometry import Box, iou
from domain.vision import Capability, Grounding
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
from workers.modelling.options import Tempered, Template, options
from workers.modelling.phrases import Phrases, Text
from workers.models.family import Ask, Pixels, Prepared, ScoreKind, Told
from workers.registry import ModelSpec

LONGEST = 16
"""How many times longer than wide a picture may be before a processor that keeps its aspect gets it stretched."""
LARGEST = 4
"""How many times the network's side a picture may be long before a processor that makes it square gets it smaller."""
STEP = 32
"""Texts are padded to a multiple of so many tokens, so that calls with lists of about one length share a batch."""


class Options(Tempered):
    """The options of a row; see `load`."""

    overlap: float = Field(default=1.0, gt=0, le=1)


class OwlOptions(Options):
    """The options of a row of an OWL."""

    template: Template = "{}"


def load(spec: ModelSpec) -> "Grounder":
    """Load a checkpoint.

    Options: `overlap` (IoU: of two boxes that overlap by more, whatever their phrases, the weaker is dropped; left out,
    none is), `template` (of OWL alone: a text with {} for the phrase, as in "a photo of {}"), `temperature` (of the
    scores, from a calibration), `threads`. Raises ModelUnavailable.
    """
    path, at = folder(spec), place(spec)
    architecture = processor(AutoConfig, path).model_type
    kind = GROUNDERS.get(architecture)
    if kind is None:
        raise ModelUnavailable(f"model {spec.name!r}: a {architecture!r} is none of {', '.join(GROUNDERS)}")
    told = options(spec, kind.schema, {Capability.GROUND})
    network = pretrained(AutoModelForZeroShotObjectDetection, path, at)
    return kind(spec, at, network, processor(AutoImageProcessor, path), processor(AutoTokenizer, path), told)


@dataclass(frozen=True, eq=False)
class _Call:
    """A picture's tensors, its own height and width, what is looked for, and how many phrases had to be cut."""

    images: dict[str, torch.Tensor]
    size: tuple[int, int]
    phrases: tuple[str, ...]
    texts: Sequence[Any]
    cut: int
    min_score: float


@dataclass(frozen=True, eq=False)
class _Found:
    """Boxes × phrases logits, and the boxes × 4 (centre, width and height, as fractions)."""

    phrases: Sequence[str]
    logits: torch.Tensor
    boxes: torch.Tensor


class Grounder(Checkpoint):
    """A loaded checkpoint.

    A batch of n answers as n batches of one do: same phrases, scores within 1e-3, boxes within 0.1 % of the longer
    side.
    """

    preprocessing = "grounding/1"
    scores = ScoreKind.SIGMOID
    schema: type[Options] = Options
    template = "{}"

    def __init__(
        self,
        spec: ModelSpec,
        at: Place,
        network: Any,  # noqa: ANN401
        images: Any,  # noqa: ANN401
        tokenizer: Any,  # noqa: ANN401
        told: Any,  # noqa: ANN401  (of its `schema`)
    ) -> None:
        super().__init__(spec, at, network)
        self._images, self._tokenizer, self._turn = images, tokenizer, Lock()
        self._temperature, self._overlap = told.temperature, told.overlap

    def prepare(self, ask: Ask) -> Prepared:
        """Preprocess one picture and its phrases.

        Raises ModelError on another capability, other than one picture, a phrase without a word, or a bad score.
        """
        if ask.capability != Capability.GROUND:
            raise ModelError(f"this model grounds phrases; it cannot {ask.capability}")
        pixels = one_picture(ask)
        phrases = tuple(dict.fromkeys(ask.arguments.get("phrases", ())))
        texts, cut = self._read(phrases)
        images = dict(self._images(self._fitted(pixels), input_data_format="channels_last", return_tensors="pt"))
        shapes = tuple((name, tuple(tensor.shape[1:])) for name, tensor in sorted(images.items()))
        weight = int(images["pixel_values"].numel()) // 3
        call = _Call(images, pixels.shape[:2], phrases, texts, cut, min_score(ask))
        return Prepared(call, (shapes, self._shape(texts)), max(weight, 1), prompt=self.template)

    def answers(self, batch: Sequence[Prepared]) -> list[tuple[Grounding, ...] | Told]:
        """Return what was found of each call's phrases, best first."""
        calls: list[_Call] = [prepared.payload for prepared in batch]
        images = {name: torch.cat([call.images[name] for call in calls]).to(self.at.device) for name in calls[0].images}
        images["pixel_values"] = images["pixel_values"].to(self.at.dtype)
        found = self._found(batch, calls, images)
        return [self._answer(call, of_one) for call, of_one in zip(calls, found, strict=True)]

    def _read(self, phrases: Sequence[str]) -> tuple[Sequence[Any], int]:
        """Return what the network takes for the phrases, and how many of them had to be cut."""
        raise NotImplementedError

    def _shape(self, texts: Sequence[Any]) -> Hashable:
        """Return what must be equal for texts to share a batch."""
        raise NotImplementedError

    def _found(
        self, batch: Sequence[Prepared], calls: Sequence[_Call], images: dict[str, torch.Tensor]
    ) -> list[list[_Found]]:
        """Run the network; return for each call what it found, in one or several passes."""
        raise NotImplementedError

    def _ids(self, text: str, *, ends: bool) -> list[int]:
        """Return a text's tokens; `ends` go around it as the tokenizer puts them."""
        with self._turn:  # a fast tokenizer refuses a second thread while a first one sets its padding
            return list(self._tokenizer(text, add_special_tokens=ends, verbose=False)["input_ids"])

    def _answer(self, call: _Call, found: Sequence[_Found]) -> tuple[Grounding, ...] | Told:
        dropped, told = 0, []
        for part in found:
            for score, index, corners in self._boxes(part, call.size):
                if score < call.min_score:
                    continue
                x0, y0, x1, y1 = corners
                box = Box(x0=x0, y0=y0, x1=max(x0, x1), y1=max(y0, y1)).clipped(call.size[1], call.size[0])
                if box.area > 0:
                    told.append(Grounding(phrase=part.phrases[index], score=min(score, 1.0), box=box))
                else:
                    dropped += 1
        best_first = sorted(told, key=lambda grounding: -grounding.score)
        kept = self._apart(best_first)
        remarks = {
            "dropped_boxes": dropped,
            "overlapping_boxes": len(best_first) - len(kept),
            "cut_phrases": call.cut,
            "passes": len(found) if len(found) > 1 else 0,
        }
        remarks = {name: count for name, count in remarks.items() if count}
        return Told(tuple(kept), remarks) if remarks else tuple(kept)

    def _boxes(self, part: _Found, size: tuple[int, int]) -> list[tuple[float, int, list[float]]]:
        """Return each box's best score, the number of its phrase, and its corners in the picture's pixels."""
        finite(part.logits, part.boxes)
        told = SimpleNamespace(logits=part.logits[None] / self._temperature, pred_boxes=part.boxes[None])
        # The processor knows what boxes are fractions of: of the picture, or of the square that it was padded to. The
        # threshold is one to exceed, so that of all boxes each has a score above it.
        (found,) = self._images.post_process_object_detection(told, threshold=-1.0, target_sizes=[size])
        return list(zip(*(found[name].tolist() for name in ("scores", "labels", "boxes")), strict=True))

    def _apart(self, best_first: Sequence[Grounding]) -> list[Grounding]:
        if self._overlap == 1:
            return list(best_first)
        kept: list[Grounding] = []
        for one in best_first:
            if all(iou(one.box, other.box) <= self._overlap for other in kept):
                kept.append(one)
        return kept

    def _fitted(self, pixels: Pixels) -> Pixels:
        """Stretch or shrink a picture of which the processor would make nothing, or gigabytes.

        Boxes are fractions of the sides, so that they stand where they stood.
        """
        height, width = pixels.shape[:2]
        size, longer = self._images.size, max(height, width)
        if size.shortest_edge and size.longest_edge and longer > LONGEST * min(height, width):
            longer = min(longer, size.longest_edge)
            least = -(-longer // LONGEST)
            to = (longer, least) if width > height else (least, longer)
        elif size.height and getattr(self._images, "do_pad", False) and longer > LARGEST * size.height:
            scale = LARGEST * size.height / longer
            to = (max(round(width * scale), 1), max(round(height * scale), 1))
        else:
            return pixels
        return np.array(Image.fromarray(pixels).resize(to, Image.Resampling.BOX))


@dataclass(frozen=True)
class _Chunk:
    """A text of some phrases, its tokens without padding, and where in it each phrase's tokens stand."""

    phrases: tuple[str, ...]
    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]


class SpanGrounder(Grounder):
    """Grounding DINO and its kin: `[CLS] a cat . a dog . [SEP]`, and a logit of each box for each token.

    A list longer than the text may be is looked for in several passes.
    """

    template = "{}."

    def __init__(
        self,
        spec: ModelSpec,
        at: Place,
        network: Any,  # noqa: ANN401
        images: Any,  # noqa: ANN401
        tokenizer: Any,  # noqa: ANN401
        told: Any,  # noqa: ANN401  (of its `schema`)
    ) -> None:
        super().__init__(spec, at, network, images, tokenizer, told)
        config = network.config
        self._longest = min(int(config.max_text_len), int(config.text_config.max_position_embeddings))
        self._stop = int(tokenizer.convert_tokens_to_ids("."))
        self._first, self._last = int(tokenizer.cls_token_id), int(tokenizer.sep_token_id)
        # The network keeps phrases from seeing each other by these tokens, whose numbers are fixed in it.
        self._separators = frozenset(network.model.special_tokens.tolist())
        if not {self._stop, self._first, self._last} <= self._separators:
            raise ModelUnavailable(f"model {spec.name!r}: its tokenizer is not the one that the network was trained on")

    def _read(self, phrases: Sequence[str]) -> tuple[Sequence[_Chunk], int]:
        room = self._longest - len((self._first, self._stop, self._last))
        read = [(phrase, self._tokens(phrase)) for phrase in phrases]
        chunks: list[_Chunk] = []
        some: list[tuple[str, list[int]]] = []
        for phrase, tokens in read:
            if some and 2 + sum(len(before) + 1 for _, before in some) + len(tokens[:room]) + 1 > self._longest:
                chunks.append(self._chunk(some))
                some = []
            some.append((phrase, tokens[:room]))
        return [*chunks, self._chunk(some)] if some else chunks, sum(len(tokens) > room for _, tokens in read)

    def _tokens(self, phrase: str) -> list[int]:
        """Return a phrase's tokens, without separators: one within it ("e.g.") would make two phrases of it."""
        tokens = [token for token in self._ids(phrase.lower(), ends=False) if token not in self._separators]
        if not tokens:
            raise ModelError(f"a phrase needs a word: {phrase!r}")
        return tokens

    def _chunk(self, read: Sequence[tuple[str, list[int]]]) -> _Chunk:
        ids, spans = [self._first], []
        for _, tokens in read:
            spans.append((len(ids), len(ids) + len(tokens)))
            ids += [*tokens, self._stop]
        return _Chunk(tuple(phrase for phrase, _ in read), (*ids, self._last), tuple(spans))

    def _length(self, chunk: _Chunk) -> int:
        """Return a text's length with padding."""
        return min(-(-len(chunk.ids) // STEP) * STEP, self._longest)

    def _shape(self, texts: Sequence[_Chunk]) -> Hashable:
        return tuple(self._length(chunk) for chunk in texts)

    def _found(
        self, batch: Sequence[Prepared], calls: Sequence[_Call], images: dict[str, torch.Tensor]
    ) -> list[list[_Found]]:
        found: list[list[_Found]] = [[] for _ in calls]
        for chunks in zip(*(call.texts for call in calls), strict=True):
            if all(prepared.stopped.is_set() for prepared in batch):
                break
            told = self.network(**images, **self._stacked(chunks))
            for of_one, chunk, logits, boxes in zip(found, chunks, told.logits, told.pred_boxes, strict=True):
                # A box's logit for a phrase is that of the best of the phrase's tokens: what transformers takes for the
                # box's score is the best of all tokens, and which phrase that token is of is known by its place. So no
                # text is put together again from tokens above a threshold, which may be no phrase that was asked for.
                best = [logits[:, start:end].amax(dim=1) for start, end in chunk.spans]
                of_one.append(_Found(chunk.phrases, torch.stack(best, dim=1).float(), boxes.float()))
        return found

    def _stacked(self, chunks: Sequence[_Chunk]) -> dict[str, torch.Tensor]:
        ids = torch.zeros((len(chunks), self._length(chunks[0])), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, chunk in enumerate(chunks):
            ids[row, : len(chunk.ids)] = torch.tensor(chunk.ids)
            mask[row, : len(chunk.ids)] = 1
        return {"input_ids": ids.to(self.at.device), "attention_mask": mask.to(self.at.device)}


class VectorGrounder(Grounder):
    """OWL-ViT and OWLv2: a vector of each phrase is compared with one of each of the picture's patches."""

    schema = OwlOptions

    def __init__(
        self,
        spec: ModelSpec,
        at: Place,
        network: Any,  # noqa: ANN401
        images: Any,  # noqa: ANN401
        tokenizer: Any,  # noqa: ANN401
        told: Any,  # noqa: ANN401  (of its `schema`)
    ) -> None:
        super().__init__(spec, at, network, images, tokenizer, told)
        self.template = told.template
        longest = int(network.config.text_config.max_position_embeddings)
        self._phrases = Phrases(tokenizer, longest, told.template, self._encoded, at)

    def close(self) -> None:
        """Release the network and the kept vectors."""
        self._phrases.close()
        super().close()

    def _read(self, phrases: Sequence[str]) -> tuple[Sequence[Text], int]:
        return self._phrases.read(phrases)

    def _shape(self, texts: Sequence[Text]) -> Hashable:
        return None  # phrases are compared one by one, whoever asked for them

    def _found(
        self, batch: Sequence[Prepared], calls: Sequence[_Call], images: dict[str, torch.Tensor]
    ) -> list[list[_Found]]:
        self._phrases.keep({text for call in calls for text in call.texts})
        grid = self.network.image_embedder(**images)[0]
        patches = grid.flatten(1, 2)
        boxes = self.network.box_predictor(patches, grid).float()
        found: list[list[_Found]] = []
        for call, of_one, where in zip(calls, patches, boxes, strict=True):
            if not call.texts:
                found.append([])
                continue
            vectors = self._phrases.vectors(call.texts)
            logits = self.network.class_predictor(of_one[None], vectors[None])[0][0].float()
            found.append([_Found(call.phrases, logits, where)])
        return found

    def _encoded(self, ids: torch.Tensor) -> torch.Tensor:
        return self.network.base_model.get_text_features(input_ids=ids).pooler_output  # type: ignore[no-any-return]


GROUNDERS: dict[str, type[Grounder]] = {
    "grounding-dino": SpanGrounder,
    "mm-grounding-dino": SpanGrounder,
    "owlvit": VectorGrounder,
    "owlv2": VectorGrounder,
}
"""By architecture (`model_type`); LLMDet's checkpoints are of the second."""
