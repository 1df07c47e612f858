"""The family `text_masks`: each architecture at toy size, with random weights."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoImageProcessor,
    AutoTokenizer,
    CLIPSegConfig,
    CLIPSegForImageSegmentation,
    ViTImageProcessor,
)

from domain.errors import ModelError, ModelUnavailable
from domain.geometry import Box
from domain.vision import Capability, Prompt, Segment
from tests.workers.models.architectures import ArchitectureContract
from tests.workers.models.contract import coloured
from tests.workers.models.toys import clip_tokenizer, saved, spec_of
from workers.imaging.masks import decode
from workers.models import family, text_masks
from workers.models.family import Ask, Model, Pixels, Told
from workers.registry import ModelSpec

pytestmark = pytest.mark.model

TOLERANCE = 1e-4
OVERLAP = 0.999
SIDE = 48
LONGEST_TEXT = 24
TINY = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}


class TextMasksContract(ArchitectureContract):
    """What every row of the family must hold to."""

    family = "text_masks"
    capabilities = (Capability.SEGMENT,)

    def asks(self) -> Sequence[Ask]:
        """See FamilyContract."""
        phrases = ("a cat", "the scratch on the left side of the plate", "é漢字", ".")
        sizes = ((40, 64), (64, 40), (33, 33), (120, 50))
        return [
            self._asked(coloured(*size, seed), phrase)
            for seed, (size, phrase) in enumerate(zip(sizes, phrases, strict=True))
        ]

    def ask_of(self, pixels: Pixels) -> Ask:
        """See FamilyContract."""
        return self._asked(pixels, "a cat")

    def _asked(self, pixels: Pixels, phrase: str) -> Ask:
        return Ask(Capability.SEGMENT, (pixels,), {"prompt": Prompt(phrase=phrase)})

    def check(self, ask: Ask, answer: Any) -> None:
        """See FamilyContract."""
        assert isinstance(answer, tuple)
        assert len(answer) < 2
        for segment in answer:
            assert isinstance(segment, Segment)
            assert (segment.mask.height, segment.mask.width) == ask.pictures[0].shape[:2]
            assert segment.mask.area > 0
            assert segment.score > text_masks.THRESHOLD

    def same(self, one: Any, other: Any) -> bool:
        """See FamilyContract."""
        return len(one) == len(other) and all(
            abs(a.score - b.score) < TOLERANCE and np.mean(decode(a.mask) == decode(b.mask)) > OVERLAP
            for a, b in zip(one, other, strict=True)
        )

    def test_masks_are_neither_empty_nor_all_and_differ_by_phrase(self, model: Model) -> None:
        pixels = coloured(60, 80, 1)
        asks = [self._asked(pixels, phrase) for phrase in ("a cat", "where is the hole")]

        (first,), (second,) = model.run([model.prepare(ask) for ask in asks])

        assert all(0 < segment.mask.area < 60 * 80 for segment in (first, second))
        assert first.mask != second.mask

    @pytest.mark.parametrize("prompt", [Prompt(boxes=(Box(x0=0, y0=0, x1=9, y1=9),)), Prompt(points=((3, 3),))])
    def test_boxes_and_points_are_refused(self, model: Model, prompt: Prompt) -> None:
        with pytest.raises(ModelError, match="no boxes and no points"):
            model.prepare(Ask(Capability.SEGMENT, (coloured(40, 40, 0),), {"prompt": prompt}))

    @pytest.mark.parametrize("phrase", [None, "", " \n"])
    def test_a_phrase_without_a_word_is_refused(self, model: Model, phrase: str | None) -> None:
        with pytest.raises(ModelError, match="needs a word"):
            model.prepare(Ask(Capability.SEGMENT, (coloured(40, 40, 0),), {"prompt": Prompt(phrase=phrase)}))

    def test_a_phrase_that_is_too_long_is_cut_and_said_to_be(self, model: Model) -> None:
        long, short = (self._asked(coloured(40, 40, 0), "x" * count) for count in (500, 5))

        cut, whole = model.run([model.prepare(ask) for ask in (long, short)])

        assert isinstance(cut, Told)
        assert cut.remarks == {"cut_pieces": 502 - LONGEST_TEXT}
        self.check(long, cut.value)
        self.check(short, whole)

    def test_a_threshold_of_its_own_makes_the_mask_smaller(self, model: Model, spec: ModelSpec) -> None:
        ask = self.ask_of(coloured(60, 80, 1))
        strict = family.load(spec.model_copy(update={"options": {**spec.options, "threshold": 0.7}}))
        none = family.load(spec.model_copy(update={"options": {**spec.options, "threshold": 1 - 1e-9}}))

        (wide,), (narrow,), empty = (each.run([each.prepare(ask)])[0] for each in (model, strict, none))

        assert 0 < narrow.mask.area < wide.mask.area
        assert narrow.score > wide.score
        assert narrow.score > 0.7
        assert empty == ()

    def test_what_comes_in_bands_is_what_comes_at_once(self, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
        prepared = model.prepare(self.ask_of(coloured(60, 80, 1)))
        (whole,) = model.run([prepared])

        monkeypatch.setattr(text_masks, "BAND", 300)

        assert model.run([prepared])[0][0].mask == whole[0].mask

    @pytest.mark.parametrize(
        "options", [{"threshold": 1}, {"threshold": 0}, {"threshold": "high"}, {"temperature": math.nan}]
    )
    def test_options_that_mean_nothing_are_refused(self, spec: ModelSpec, options: dict[str, Any]) -> None:
        with pytest.raises(ModelUnavailable, match=next(iter(options))):
            family.load(spec.model_copy(update={"options": options}))


class TestClipSeg(TextMasksContract):
    architecture = "CLIPSeg"

    def build(self, folder: Path) -> None:
        tokenizer = clip_tokenizer()
        config = CLIPSegConfig(
            text_config={**TINY, "num_hidden_layers": 2, "vocab_size": len(tokenizer), "eos_token_id": 1,
                         "bos_token_id": 0, "max_position_embeddings": LONGEST_TEXT},
            vision_config={**TINY, "num_hidden_layers": 3, "image_size": 32, "patch_size": 8},
            projection_dim=24, extract_layers=[0, 1, 2], reduce_dim=16, decoder_num_attention_heads=2,
            decoder_intermediate_size=32,
        )  # fmt: skip
        saved(folder, lambda: _lively(config), tokenizer, ViTImageProcessor(size={"height": SIDE, "width": SIDE}))

    def test_a_mask_is_what_the_architectures_own_forward_pass_draws(self, model: Model, spec: ModelSpec) -> None:
        pixels = coloured(60, 80, 1)
        tokens = AutoTokenizer.from_pretrained(spec.path)("a cat", return_tensors="pt")
        seen = AutoImageProcessor.from_pretrained(spec.path)(pixels, return_tensors="pt")

        (answer,) = model.run([model.prepare(self._asked(pixels, "a cat"))])

        with torch.inference_mode():
            logits = model.network(**tokens, **seen).logits  # type: ignore[attr-defined]
            chances = torch.nn.functional.interpolate(logits[None], (60, 80), mode="bilinear")[0, 0].sigmoid().numpy()
        assert np.mean((chances > 0.5) == decode(answer[0].mask)) > OVERLAP
        assert answer[0].score == pytest.approx(chances[chances > 0.5].mean(), abs=1e-2)

    def test_a_processor_that_crops_is_refused(self, tmp_path: Path) -> None:
        self.build(tmp_path)
        ViTImageProcessor(size={"shortest_edge": SIDE}).save_pretrained(tmp_path)

        with pytest.raises(ModelUnavailable, match="squeeze"):
            family.load(spec_of(tmp_path, "text_masks", self.capabilities))


def _lively(config: CLIPSegConfig) -> Any:
    """Make a network whose logits have both signs, and depend on the phrase and the place."""
    network = CLIPSegForImageSegmentation(config)
    with torch.no_grad():
        for name, weights in network.named_parameters():
            if "embed" in name or "film" in name or "transposed_convolution.weight" in name:
                weights.normal_(std=0.5)
    return network
