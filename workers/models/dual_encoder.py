"""The family `dual_encoder`: pictures and words in one space, for `Capability.CLASSIFY` and `Capability.EMBED`.

CLIP, SigLIP and SigLIP 2, ALIGN, MetaCLIP 2, Chinese-CLIP, two towers of any kinds (`VisionTextDualEncoder`), and
whatever else transformers loads for zero-shot image classification and that has features of its own for pictures and
for texts. Each label is put into every template of the prompt ensemble, and the mean of the texts' directions stands
for it (Radford et al. 2021, section 3.1.4). Texts are encoded once and kept.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch.nn.functional import normalize
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForZeroShotImageClassification,
    AutoTokenizer,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
)

from domain.errors import ModelError, ModelUnavailable
from domain.vision import Capability, Label
from workers.modelling.checkpoint import Checkpoint, Place, finite, folder, one_picture, place, pretrained, processor
from workers.modelling.options import Tempered, Template, options
from workers.models.family import Ask, Pixels, Prepared, ScoreKind, Told
from workers.registry import ModelSpec

CAPABILITIES = frozenset({Capability.CLASSIFY, Capability.EMBED})
TEMPLATES = ("a photo of {}.", "a picture of {}.", "{}")
LONGEST = 8
"""How many times longer than wide a picture may be before its ends are cut."""
TEXTS_AT_ONCE = 64
"""So many texts are encoded at a time; between them it is looked whether the answer is still wanted."""
MOST_TEXTS = 3_000
"""So many texts a call may compare a picture with, a text for each label in each template."""
KEPT_TEXTS = 10_000
"""So many texts' features are kept; the least recently used go first."""


class Options(Tempered):
    """The options of a row; see `load`."""

    templates: tuple[Template, ...] = Field(default=TEMPLATES, min_length=1)


def load(spec: ModelSpec) -> "DualEncoder":
    """Load a checkpoint.

    Options: `templates` (texts with {} for the label), `temperature` (of the scores, from a calibration), `threads`.
    Raises ModelUnavailable.
    """
    told = options(spec, Options, CAPABILITIES)
    path, at = folder(spec), place(spec)
    network = pretrained(_kind(processor(AutoConfig, path)), path, at)
    if not hasattr(network, "get_image_features") or not hasattr(network, "get_text_features"):
        raise ModelUnavailable(f"model {spec.name!r}: a {type(network).__name__} has no features to compare")
    return DualEncoder(spec, at, network, processor(AutoImageProcessor, path), processor(AutoTokenizer, path), told)


def _kind(config: Any) -> Any:  # noqa: ANN401  (transformers has no types)
    """Return the class that loads a checkpoint: transformers names none for a pair of towers."""
    if config.model_type == VisionTextDualEncoderConfig.model_type:
        return VisionTextDualEncoderModel
    return AutoModelForZeroShotImageClassification


@dataclass(frozen=True, eq=False)
class _Call:
    """A picture's tensors, and the labels that it is compared with (none for its vector)."""

    inputs: dict[str, torch.Tensor]
    labels: tuple[str, ...] | None


@dataclass(frozen=True, eq=False)
class _Text:
    """A text's features, of length 1, and whether it was too long for the network and cut."""

    feature: torch.Tensor
    cut: bool


class DualEncoder(Checkpoint):
    """A loaded checkpoint. Calls share a batch whatever their labels are; the features of texts are kept."""

    preprocessing = "dual-encoder/1"

    def __init__(
        self,
        spec: ModelSpec,
        at: Place,
        network: Any,  # noqa: ANN401
        images: Any,  # noqa: ANN401
        tokenizer: Any,  # noqa: ANN401
        told: Options,
    ) -> None:
        super().__init__(spec, at, network)
        self._images, self._tokenizer = images, tokenizer
        self.templates, self._temperature = told.templates, told.temperature
        self._texts: OrderedDict[str, _Text] = OrderedDict()
        self.alone = hasattr(network, "logit_bias")
        """SigLIP learned a bias and judges each text by itself."""
        self.scores = ScoreKind.SIGMOID if self.alone else ScoreKind.SOFTMAX

    def prepare(self, ask: Ask) -> Prepared:
        """Preprocess one picture. Raises ModelError on another capability, or other than one picture."""
        if ask.capability not in CAPABILITIES:
            raise ModelError(f"this model classifies and embeds; it cannot {ask.capability}")
        pixels = self._cropped(one_picture(ask))
        inputs = dict(self._images(pixels, input_data_format="channels_last", return_tensors="pt"))
        labels = tuple(ask.arguments.get("labels", ())) if ask.capability == Capability.CLASSIFY else None
        if labels and not all(label.strip() for label in labels):
            raise ModelError(f"a label needs a word: {labels}")
        if labels and len(labels) * len(self.templates) > MOST_TEXTS:
            most = MOST_TEXTS // len(self.templates)
            raise ModelError(f"there are {len(labels)} labels, more than {most} in {len(self.templates)} templates")
        group = tuple((name, tuple(tensor.shape[1:])) for name, tensor in sorted(inputs.items()))
        weight = int(inputs["pixel_values"].numel()) // 3
        prompt = None if labels is None else " | ".join(self.templates)
        return Prepared(_Call(inputs, labels), group=group, pixels=max(weight, 1), prompt=prompt)

    def answers(self, batch: Sequence[Prepared]) -> list[tuple[Label, ...] | tuple[float, ...] | Told]:
        """Return labels with their scores, best first, or a vector of length 1, for each picture.

        How many labels were too long for the network is told as `cut_labels`.
        """
        calls: list[_Call] = [prepared.payload for prepared in batch]
        stacked = {
            name: torch.cat([call.inputs[name] for call in calls]).to(self.at.device) for name in calls[0].inputs
        }
        stacked["pixel_values"] = stacked["pixel_values"].to(self.at.dtype)
        features = normalize(self.network.get_image_features(**stacked).pooler_output.float(), dim=-1)
        finite(features)
        return [
            tuple(feature.tolist()) if call.labels is None else self._compared(feature, call.labels, prepared.stopped)
            for feature, call, prepared in zip(features, calls, batch, strict=True)
        ]

    def forget(self) -> None:
        """Drop the kept features of texts: the network has learned since."""
        self._texts.clear()

    def close(self) -> None:
        """Release the network and the kept features."""
        self.forget()
        super().close()

    def _compared(
        self, feature: torch.Tensor, labels: Sequence[str], stopped: threading.Event
    ) -> tuple[Label, ...] | Told:
        """Return the labels by their scores; none where nobody wants them any more."""
        texts = [[template.replace("{}", label) for template in self.templates] for label in labels]
        self._encode([text for of_one in texts for text in of_one], stopped)
        if not labels or stopped.is_set():
            return ()
        directions, cut = self._directions(texts)
        logits = (directions @ feature * self.scale() + self.bias()) / self._temperature
        scores = torch.sigmoid(logits) if self.alone else torch.softmax(logits, dim=0)
        told = [Label(name=name, score=score) for name, score in zip(labels, scores.tolist(), strict=True)]
        answer = tuple(sorted(told, key=lambda label: -label.score))
        return Told(answer, {"cut_labels": cut}) if cut else answer

    def _directions(self, texts: Sequence[Sequence[str]]) -> tuple[torch.Tensor, int]:
        """Return a direction for each label, the mean of those of its texts, and how many labels were cut."""
        means, cut = [], 0
        for of_one in texts:
            for text in of_one:
                self._texts.move_to_end(text)
            kept = [self._texts[text] for text in of_one]
            means.append(torch.stack([text.feature for text in kept]).mean(dim=0))
            cut += any(text.cut for text in kept)
        while len(self._texts) > max(KEPT_TEXTS, sum(map(len, texts))):
            self._texts.popitem(last=False)
        return normalize(torch.stack(means), dim=-1), cut

    def _encode(self, texts: Sequence[str], stopped: threading.Event) -> None:
        """Keep the features of texts; of some only, where it was stopped meanwhile.

        Texts of equal token counts are encoded together: none is padded for another's sake, so that its features do
        not depend on its company.
        """
        missing = {text: self.tokens([text]) for text in texts if text not in self._texts}
        alike: dict[int, list[str]] = {}
        for text, tokens in missing.items():
            alike.setdefault(tokens["input_ids"].shape[1], []).append(text)
        chunks = (some[at : at + TEXTS_AT_ONCE] for some in alike.values() for at in range(0, len(some), TEXTS_AT_ONCE))
        for chunk in chunks:
            if stopped.is_set():
                return
            names = missing[chunk[0]]
            stacked = {name: torch.cat([missing[text][name] for text in chunk]).to(self.at.device) for name in names}
            features = normalize(self.network.get_text_features(**stacked).pooler_output.float(), dim=-1)
            finite(features)
            for text, feature in zip(chunk, features, strict=True):
                whole = len(self._tokenizer(text, verbose=False)["input_ids"])
                # A copy: a view would keep the features of its whole chunk.
                self._texts[text] = _Text(feature.clone(), whole > missing[text]["input_ids"].shape[1])

    def tokens(self, texts: Sequence[str]) -> dict[str, torch.Tensor]:
        """Tokenise texts as the network saw texts in training; what is longer than its positions is cut.

        Several are padded to the longest of them.
        """
        words = self.network.config.text_config
        # AltCLIP's XLM-RoBERTa counts positions from behind the padding's number.
        before = words.pad_token_id + 1 if words.model_type == "altclip_text_model" else 0
        told = {"truncation": True, "max_length": int(words.max_position_embeddings) - before, "return_tensors": "pt"}
        if not self.alone:
            return dict(self._tokenizer(list(texts), padding=len(texts) > 1, padding_side="right", **told))
        # SigLIP learned from lower-case texts that were padded on the right and looked at with the padding: it reads
        # its answer from the last place, and no mask goes with them. The tokenizers' classes do not all heed this.
        if self._tokenizer.init_kwargs.get("do_lower_case"):
            texts = [text.lower() for text in texts]
        padded = self._tokenizer(list(texts), padding="max_length", padding_side="right", **told)
        return {"input_ids": padded["input_ids"]}

    def scale(self) -> torch.Tensor:
        """Return what cosines are multiplied by, the inverse of the temperature that the network learned."""
        if hasattr(self.network, "logit_scale"):
            return self.network.logit_scale.exp().float()  # type: ignore[no-any-return]
        return 1 / self.network.temperature.float()  # type: ignore[no-any-return]  # ALIGN's

    def bias(self) -> torch.Tensor | float:
        """Return what is added to scaled cosines."""
        return self.network.logit_bias.float() if self.alone else 0.0

    def _cropped(self, pixels: Pixels) -> Pixels:
        """Cut the ends off a very long picture where the processor would keep no more than its middle anyway.

        One that enlarges the shorter side first would turn a line of 20,000 pixels into a gigabyte. One that squeezes
        the whole picture into a square before it crops (ALIGN's) needs all of it.
        """
        if not getattr(self._images, "do_center_crop", False) or not getattr(self._images.size, "shortest_edge", None):
            return pixels
        height, width = pixels.shape[:2]
        most = LONGEST * min(height, width)
        top, left = max(height - most, 0) // 2, max(width - most, 0) // 2
        return np.ascontiguousarray(pixels[top : top + most, left : left + most])
