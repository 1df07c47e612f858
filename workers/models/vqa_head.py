"""The family `vqa_head`: models of visual question answering, which score the answers, for `Capability.ASK`.

ViLT, VisualBERT and LXMERT choose among the answers that their head knows; BLIP writes an answer, or ranks the options
that a call gives by how probable it would be to write each.

VisualBERT and LXMERT see regions in place of pixels. They were published with features of a Faster R-CNN trained on
Visual Genome (Anderson et al. 2018), which transformers does not have. Here the regions come from a detector that the
profile names: the boxes of its best queries, and for each box either the query's last hidden state (`queries`) or the
mean of the backbone's last feature map inside the box (`pooled`, RoIAlign, He et al. 2017). Published weights know
neither: the family is for weights that were trained with the same detector, and it loads nothing whose features have
another size than the model's configuration says.

No text and no picture is padded for another's sake: questions of one token count share a batch.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch.nn.functional import log_softmax
from transformers import (
    AutoImageProcessor,
    AutoModelForObjectDetection,
    AutoTokenizer,
    BlipForQuestionAnswering,
    LxmertForQuestionAnswering,
    ViltForQuestionAnswering,
    VisualBertForQuestionAnswering,
)

from domain.errors import ModelError, ModelUnavailable
from domain.vision import Answer, Capability, Label
from workers.modelling.checkpoint import Checkpoint, Place, finite, folder, one_picture, place, pretrained, processor
from workers.modelling.decoding import Stopped
from workers.modelling.options import Part, Tempered, options
from workers.modelling.regions import Regions
from workers.models.family import Ask, Pixels, Prepared, ScoreKind, Told
from workers.registry import ModelSpec

LONGEST = 8
"""How many times longer than wide a picture may be; others get black borders, or scaling would leave nothing."""


class HeadOptions(Tempered):
    """The options of a row of a head over fixed answers; see `load`."""

    top: int = Field(default=5, ge=1)
    answers: str | None = None


class RegionOptions(HeadOptions):
    """The options of a row of VisualBERT or LXMERT."""

    detector: Part
    regions: Literal["queries", "pooled"] = "queries"
    region_count: int = Field(default=36, ge=1)


class WritingOptions(Tempered):
    """The options of a row of BLIP."""

    max_new_tokens: int = Field(default=128, ge=1)


def load(spec: ModelSpec) -> "Asked":
    """Load a checkpoint.

    Options: `top` (how many answers are told, default 5), `temperature` (of the scores, from a calibration), `answers`
    (a JSON list in the checkpoint's folder: the head's answers, where its configuration does not name them),
    `max_new_tokens` (of BLIP, default 128), `threads`. VisualBERT and LXMERT need `detector` (a table
    with the `source` and the `revision` of a DETR, RT-DETR or the like) and take `regions` (`queries`, the default, or
    `pooled`) and `region_count` (default 36). Raises ModelUnavailable.
    """
    path, at = folder(spec), place(spec)
    kinds: dict[str, tuple[type[Asked], Any]] = {
        "vilt": (_Vilt, ViltForQuestionAnswering),
        "visual_bert": (_VisualBert, VisualBertForQuestionAnswering),
        "lxmert": (_Lxmert, LxmertForQuestionAnswering),
        "blip": (_Blip, BlipForQuestionAnswering),
    }
    kind = str(json.loads((path / "config.json").read_text("utf-8")).get("model_type"))
    if kind not in kinds:
        raise ModelUnavailable(f"model {spec.name!r}: a {kind!r} is none of {', '.join(kinds)}")
    family, architecture = kinds[kind]
    told = options(spec, family.schema, {Capability.ASK})
    return family(spec, at, pretrained(architecture, path, at), path, told)


@dataclass(frozen=True, eq=False)
class _Call:
    """Tensors of a batch of one, the asked options, and how many of the question's tokens did not fit."""

    inputs: dict[str, torch.Tensor]
    options: tuple[str, ...]
    cut: int


class Asked(Checkpoint):
    """A loaded checkpoint; the architectures say what they see and how they answer."""

    preprocessing = "vqa-head/1"
    scores = ScoreKind.SIGMOID
    schema: type[Tempered] = Tempered
    """what its row may say"""

    def __init__(self, spec: ModelSpec, at: Place, network: Any, path: Path, told: Any) -> None:  # noqa: ANN401
        super().__init__(spec, at, network)
        self._options = told
        self._tokenizer, self._turn = processor(AutoTokenizer, path), Lock()
        self._images = self._of_pictures(path)
        self._longest = int(network.config.get_text_config().max_position_embeddings)
        self._temperature = told.temperature

    def prepare(self, ask: Ask) -> Prepared:
        """Preprocess one picture and a question.

        Raises ModelError on anything else, on options it cannot score, and on a schema.
        """
        if ask.capability != Capability.ASK:
            raise ModelError(f"this model answers questions; it cannot {ask.capability}")
        if ask.arguments.get("schema") is not None:
            raise ModelError("this model answers in a few words; it cannot answer by a schema")
        pixels, question = framed(one_picture(ask)), str(ask.arguments["question"])
        options = tuple(dict.fromkeys(str(option) for option in ask.arguments.get("options", ())))
        if not question.strip() or not all(option.strip() for option in options):
            raise ModelError(f"a question and its options need words: {question!r}, {options}")
        self._check_options(options)
        tokens, cut = self._tokens(question)
        inputs = {**tokens, "pixel_values": _values(self._images, pixels)}
        shapes = tuple((name, tuple(tensor.shape[1:])) for name, tensor in sorted(inputs.items()))
        weight = max(inputs["pixel_values"].numel() // 3, 1)
        return Prepared(_Call(inputs, options, cut), group=(shapes, bool(options)), pixels=weight)

    def answers(self, batch: Sequence[Prepared]) -> list[Answer | Told]:
        """Answer each question. A question that was longer than the model takes is told as `cut_tokens`."""
        calls: list[_Call] = [prepared.payload for prepared in batch]
        stacked = {
            name: torch.cat([call.inputs[name] for call in calls]).to(self.at.device) for name in calls[0].inputs
        }
        stacked["pixel_values"] = stacked["pixel_values"].to(self.at.dtype)
        return list(map(self._remarked, self._answered(batch, stacked), calls))

    def _remarked(self, answer: Answer, call: _Call) -> Answer | Told:
        kind = ScoreKind.SOFTMAX if call.options else self.scores  # what the options share adds up to 1
        if not call.cut and kind == self.scores:
            return answer
        return Told(answer, {"cut_tokens": call.cut} if call.cut else {}, scores=kind)

    def _check_options(self, options: Sequence[str]) -> None:
        """Raise ModelError where the model cannot score one of the options."""
        raise NotImplementedError

    def _answered(self, batch: Sequence[Prepared], inputs: dict[str, torch.Tensor]) -> list[Answer]:
        raise NotImplementedError

    def _of_pictures(self, path: Path) -> Any:  # noqa: ANN401
        return processor(AutoImageProcessor, path)

    def _tokens(self, question: str) -> tuple[dict[str, torch.Tensor], int]:
        """Return a question's tokens, 1 × n, and how many had to go; the sign of the end stays."""
        ids = self._ids(question, ends=True)
        kept = [*ids[: self._longest - 1], ids[-1]] if len(ids) > self._longest else ids
        tokens = torch.tensor([kept])
        return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}, len(ids) - len(kept)

    def _ids(self, text: str, *, ends: bool) -> list[int]:
        # Tokenizers are not for two threads at a time. Cut is by hand: a limit would stay in the tokenizer for others.
        with self._turn:
            return list(self._tokenizer(text, add_special_tokens=ends, verbose=False)["input_ids"])


class _Head(Asked):
    """A head over a fixed set of answers."""

    schema: type[HeadOptions] = HeadOptions

    def __init__(self, spec: ModelSpec, at: Place, network: Any, path: Path, told: Any) -> None:  # noqa: ANN401
        super().__init__(spec, at, network, path, told)
        self.classes = _answers(spec, network.config, path, told.answers)
        self._index = {_plain(name): index for index, name in reversed(list(enumerate(self.classes)))}
        self._top = told.top

    def _check_options(self, options: Sequence[str]) -> None:
        unknown = [option for option in options if _plain(option) not in self._index]
        if unknown:
            raise ModelError(f"this model's {len(self.classes)} answers do not include {', '.join(map(repr, unknown))}")

    def _logits(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the head's output, B × answers."""
        raise NotImplementedError

    def _answered(self, batch: Sequence[Prepared], inputs: dict[str, torch.Tensor]) -> list[Answer]:
        logits = self._logits(inputs).float().cpu() / self._temperature
        finite(logits)
        scores = torch.sigmoid(logits) if self.scores == ScoreKind.SIGMOID else torch.softmax(logits, dim=-1)
        return [self._told(row, prepared.payload.options) for row, prepared in zip(scores, batch, strict=True)]

    def _told(self, scores: torch.Tensor, options: Sequence[str]) -> Answer:
        if options:
            shares = scores[[self._index[_plain(option)] for option in options]].double()
            shares = shares / shares.sum() if shares.sum() else torch.full_like(shares, 1 / len(shares))
            return _best(options, shares.tolist())
        best, indices = scores.topk(min(self._top, len(self.classes)))
        return _best([self.classes[index] for index in indices.tolist()], best.tolist())


class _Vilt(_Head):
    """ViLT: patches and words in one transformer; a sigmoid for each answer (Kim et al. 2021)."""

    def __init__(self, spec: ModelSpec, at: Place, network: Any, path: Path, told: Any) -> None:  # noqa: ANN401
        super().__init__(spec, at, network, path, told)
        # A bound on the patches, meant for training, drops random ones; here all count.
        network.config.max_image_length = -1

    def _logits(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        with torch.random.fork_rng(devices=()):
            torch.default_generator.manual_seed(0)  # it shuffles the patches, which shows in the last digits
            return self.network(**inputs).logits  # type: ignore[no-any-return]


class _OfRegions(_Head):
    """A head over regions that a detector finds."""

    schema = RegionOptions

    dimension = ""
    """what the configuration calls the size of a region's features"""

    def close(self) -> None:
        """Release the network and the detector."""
        self._regions.close()
        super().close()

    def _of_pictures(self, path: Path) -> Any:  # noqa: ANN401
        """Load the detector, and return what prepares its pictures. Raises ModelUnavailable where it does not suit."""
        told = self._options
        found = folder(self.spec.checkpoints["detector"])
        images, network = processor(AutoImageProcessor, found), pretrained(AutoModelForObjectDetection, found, self.at)
        even = _values(images, np.zeros((64, 64, 3), dtype=np.uint8)).to(self.at.device, self.at.dtype)
        self._regions = Regions(network, told.regions, told.region_count)
        with torch.inference_mode():
            given = self._regions.of(even)[0].shape[-1]
        wanted = int(getattr(self.network.config, self.dimension))
        if given != wanted:
            raise ModelUnavailable(
                f"model {self.spec.name!r}: it takes regions of {wanted} numbers, and its detector gives {given}; name "
                f"the detector that it was trained with"
            )
        return images


class _VisualBert(_OfRegions):
    """VisualBERT: regions after the words of BERT; shares of all answers (Li et al. 2019)."""

    dimension = "visual_embedding_dim"
    scores = ScoreKind.SOFTMAX

    def _logits(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        features, _ = self._regions.of(inputs.pop("pixel_values"))
        return self.network(**inputs, visual_embeds=features).logits  # type: ignore[no-any-return]


class _Lxmert(_OfRegions):
    """LXMERT: words and regions with their boxes, each attending to the other; a sigmoid for each answer.

    Tan and Bansal 2019; fine-tuned on VQA with a binary cross entropy, hence the sigmoids.
    """

    dimension = "visual_feat_dim"

    def _logits(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        features, boxes = self._regions.of(inputs.pop("pixel_values"))
        told = self.network(**inputs, visual_feats=features, visual_pos=boxes)
        return told.question_answering_score  # type: ignore[no-any-return]


class _Blip(Asked):
    """BLIP: a decoder writes the answer (Li et al. 2022, section 5.4); options are ranked by their probability.

    An option's score is its share of the options' probabilities. Longer options are less probable to be written.
    """

    scores = ScoreKind.SEQUENCE
    schema = WritingOptions

    def __init__(self, spec: ModelSpec, at: Place, network: Any, path: Path, told: Any) -> None:  # noqa: ANN401
        super().__init__(spec, at, network, path, told)
        network.text_decoder.generation_config.max_length = None  # two limits would be warned of with every answer
        self._room = min(told.max_new_tokens, self._longest - 1)

    def _check_options(self, options: Sequence[str]) -> None:
        long = [option for option in options if len(self._written(option)) > self._longest]
        if long:
            raise ModelError(f"an option is longer than this model can write: {', '.join(map(repr, long))}")

    def _answered(self, batch: Sequence[Prepared], inputs: dict[str, torch.Tensor]) -> list[Answer]:
        if not batch[0].payload.options:
            return self._generated(batch, inputs)
        states = self._states(inputs)
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
        logs = torch.stack([self._log_probability(states, self._written(option)) for option in options])
        finite(logs)
        return _best(options, torch.softmax(logs.double() / self._temperature, dim=0).tolist())

    def _log_probability(self, states: torch.Tensor, written: Sequence[int]) -> torch.Tensor:
        """Return how probable it is (its logarithm) that the decoder writes these ids after the first."""
        ids = torch.tensor([written], device=states.device)
        seen = torch.ones(states.shape[:2], dtype=torch.long, device=states.device)
        told = self.network.text_decoder(input_ids=ids, encoder_hidden_states=states, encoder_attention_mask=seen)
        logs = log_softmax(told.logits[:, :-1].float(), dim=-1)
        return logs.gather(2, ids[:, 1:, None]).sum()

    def _states(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
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

    def _written(self, option: str) -> list[int]:
        config = self.network.config.text_config
        return [config.bos_token_id, *self._ids(option, ends=False), config.sep_token_id]


def framed(pixels: Pixels) -> Pixels:
    """Give a picture that is much longer than wide black borders on both sides."""
    height, width = pixels.shape[:2]
    more_high, more_wide = max(-(-width // LONGEST) - height, 0), max(-(-height // LONGEST) - width, 0)
    borders = ((more_high // 2, more_high - more_high // 2), (more_wide // 2, more_wide - more_wide // 2), (0, 0))
    return np.pad(pixels, borders)


def _values(images: Any, pixels: Pixels) -> torch.Tensor:  # noqa: ANN401
    """Return a picture's tensor, 1 × 3 × H × W; alone it has no padding, so what masks that is left out."""
    return images(pixels, input_data_format="channels_last", return_tensors="pt")["pixel_values"]  # type: ignore[no-any-return]


def _answers(spec: ModelSpec, config: Any, path: Path, named: str | None) -> tuple[str, ...]:  # noqa: ANN401
    """Return the head's answers. Raises ModelUnavailable where they are not named."""
    count = int(getattr(config, "num_qa_labels", config.num_labels))
    if named is not None:
        if Path(named).name != named or not (path / named).is_file():
            raise ModelUnavailable(f"model {spec.name!r}: {named!r} is no file of the checkpoint's folder")
        told = json.loads((path / named).read_text("utf-8"))
    else:
        told = [config.id2label[index] for index in sorted(config.id2label)]
    if len(told) != count or (named is None and told[0] == "LABEL_0"):
        raise ModelUnavailable(
            f"model {spec.name!r}: its head has {count} answers, of which {len(told)} are named; put a JSON list of "
            f"them into its folder and name the file in the option `answers`"
        )
    return tuple(map(str, told))


def _best(names: Sequence[str], scores: Sequence[float]) -> Answer:
    labels = [Label(name=name, score=min(score, 1.0)) for name, score in zip(names, scores, strict=True)]
    ranked = tuple(sorted(labels, key=lambda label: -label.score))
    return Answer(text=ranked[0].name, score=ranked[0].score, options=ranked)


def _plain(answer: str) -> str:
    return " ".join(answer.split()).casefold()
