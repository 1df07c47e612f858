"""Visual question answering by a head that scores the answers it knows: ViLT, VisualBERT and LXMERT.

VisualBERT and LXMERT see regions in place of pixels. They were published with features of a Faster R-CNN trained on
Visual Genome (Anderson et al. 2018), which transformers does not have. Here the regions come from a detector that the
profile names: the boxes of its best queries, and for each box either the query's last hidden state (`queries`) or the
mean of the backbone's last feature map inside the box (`pooled`, RoIAlign, He et al. 2017). Published weights know
neither: they are for weights that were trained with the same detector, and nothing is loaded whose features have
another size than the model's configuration says.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from transformers import AutoImageProcessor, AutoModelForObjectDetection

from domain.errors import ModelError, ModelUnavailable
from domain.vision import Answer
from workers.modelling.asking import Asked, best, values
from workers.modelling.checkpoint import Place, finite, folder, pretrained, processor
from workers.modelling.options import Part, Tempered
from workers.modelling.regions import Regions
from workers.models.family import Prepared, ScoreKind
from workers.registry import ModelSpec


class HeadOptions(Tempered):
    """The options of a row of a head over fixed answers; see `load`."""

    top: int = Field(default=5, ge=1)
    answers: str | None = None


class RegionOptions(HeadOptions):
    """The options of a row of VisualBERT or LXMERT."""

    detector: Part
    regions: Literal["queries", "pooled"] = "queries"
    region_count: int = Field(default=36, ge=1)


class Head(Asked):
    """A head over a fixed set of answers."""

    schema: type[HeadOptions] = HeadOptions
    last = ""
    """the layer with an output for each answer"""

    def __init__(self, spec: ModelSpec, at: Place, network: Any, path: Path, told: Any) -> None:  # noqa: ANN401
        super().__init__(spec, at, network, path, told)
        self._name(_answers(spec, network.config, path, told.answers))
        self._top = told.top

    def logits(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the head's output, B × answers."""
        raise NotImplementedError

    def place(self, answer: str) -> int | None:
        """Return which output is an answer's; None where it knows none."""
        return self._index.get(plain(answer))

    def can_say(self, answer: str) -> bool:
        """See Asked."""
        return plain(answer) in self._index

    def relearn(self, answers: Sequence[str]) -> None:
        """Give the head an output for each of these answers: the one it had, or where it had none, a random one."""
        layer = self.network.get_submodule(self.last)
        fresh = torch.nn.Linear(layer.in_features, len(answers), device=layer.weight.device, dtype=layer.weight.dtype)
        torch.nn.init.normal_(fresh.weight, std=self.network.config.initializer_range)
        torch.nn.init.zeros_(fresh.bias)
        known = [(new, old) for new, answer in enumerate(answers) if (old := self.place(answer)) is not None]
        with torch.no_grad():
            for new, old in known:
                fresh.weight[new], fresh.bias[new] = layer.weight[old], layer.bias[old]
        self.network.set_submodule(self.last, fresh)
        config = self.network.config
        config.id2label = dict(enumerate(answers))
        config.label2id = {answer: index for index, answer in enumerate(answers)}
        if hasattr(config, "num_qa_labels"):  # LXMERT's
            config.num_qa_labels = len(answers)
        if hasattr(self.network, "num_labels"):  # VisualBERT's forward pass counts by it
            self.network.num_labels = len(answers)
        self._name(tuple(answers))

    def _name(self, answers: tuple[str, ...]) -> None:
        self.classes = answers
        self._index = {plain(name): index for index, name in reversed(list(enumerate(answers)))}

    def _check_options(self, options: Sequence[str]) -> None:
        unknown = [option for option in options if not self.can_say(option)]
        if unknown:
            raise ModelError(f"this model's {len(self.classes)} answers do not include {', '.join(map(repr, unknown))}")

    def _answered(self, batch: Sequence[Prepared], inputs: dict[str, torch.Tensor]) -> list[Answer]:
        logits = self.logits(inputs).float().cpu() / self._temperature
        finite(logits)
        scores = torch.sigmoid(logits) if self.scores == ScoreKind.SIGMOID else torch.softmax(logits, dim=-1)
        return [self._told(row, prepared.payload.options) for row, prepared in zip(scores, batch, strict=True)]

    def _told(self, scores: torch.Tensor, options: Sequence[str]) -> Answer:
        if options:
            shares = scores[[self._index[plain(option)] for option in options]].double()
            shares = shares / shares.sum() if shares.sum() else torch.full_like(shares, 1 / len(shares))
            return best(options, shares.tolist())
        most, indices = scores.topk(min(self._top, len(self.classes)))
        return best([self.classes[index] for index in indices.tolist()], most.tolist())


class Vilt(Head):
    """ViLT: patches and words in one transformer; a sigmoid for each answer (Kim et al. 2021)."""

    last = "classifier.3"

    def __init__(self, spec: ModelSpec, at: Place, network: Any, path: Path, told: Any) -> None:  # noqa: ANN401
        super().__init__(spec, at, network, path, told)
        # A bound on the patches, meant for training, drops random ones; here all count.
        network.config.max_image_length = -1

    def logits(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """See Head."""
        return self.network(**inputs).logits  # type: ignore[no-any-return]

    def _answered(self, batch: Sequence[Prepared], inputs: dict[str, torch.Tensor]) -> list[Answer]:
        with torch.random.fork_rng(devices=()):
            torch.default_generator.manual_seed(0)  # it shuffles the patches, which shows in the last digits
            return super()._answered(batch, inputs)


class _OfRegions(Head):
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
        even = values(images, np.zeros((64, 64, 3), dtype=np.uint8)).to(self.at.device, self.at.dtype)
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


class VisualBert(_OfRegions):
    """VisualBERT: regions after the words of BERT; shares of all answers (Li et al. 2019)."""

    dimension = "visual_embedding_dim"
    last = "cls"
    scores = ScoreKind.SOFTMAX

    def logits(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """See Head."""
        features, _ = self._regions.of(inputs.pop("pixel_values"))
        return self.network(**inputs, visual_embeds=features).logits  # type: ignore[no-any-return]


class Lxmert(_OfRegions):
    """LXMERT: words and regions with their boxes, each attending to the other; a sigmoid for each answer.

    Tan and Bansal 2019; fine-tuned on VQA with a binary cross entropy, hence the sigmoids.
    """

    dimension = "visual_feat_dim"
    last = "answer_head.logit_fc.3"

    def logits(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """See Head."""
        features, boxes = self._regions.of(inputs.pop("pixel_values"))
        told = self.network(**inputs, visual_feats=features, visual_pos=boxes)
        return told.question_answering_score  # type: ignore[no-any-return]


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


def plain(answer: str) -> str:
    """Return an answer as it is told from others: without case, blanks made one."""
    return " ".join(answer.split()).casefold()
