"""The family `grounding`: each architecture at toy size, with random weights."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import (
    BertConfig,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessor,
    GroundingDinoProcessor,
    MMGroundingDinoConfig,
    MMGroundingDinoForObjectDetection,
    Owlv2Config,
    Owlv2ForObjectDetection,
    Owlv2ImageProcessor,
    Owlv2Processor,
    OwlViTConfig,
    OwlViTForObjectDetection,
    OwlViTImageProcessor,
    OwlViTProcessor,
    SwinConfig,
)

from domain.errors import ModelError, ModelUnavailable
from tests.workers.models.contract import coloured
from tests.workers.models.grounding_contract import GroundingContract, groundings, remarks
from tests.workers.models.grounding_toys import BERT_WORDS, bert_tokenizer, clip_tokenizer
from tests.workers.models.toys import saved
from workers.models import family
from workers.models.family import Model
from workers.registry import ModelSpec

pytestmark = pytest.mark.model

SIDE = 64


class SpanContract(GroundingContract):
    """Architectures that read all phrases as one text."""

    processor = GroundingDinoProcessor
    # Their processor keeps the aspect: what shares a batch has the same.
    sizes = ((40, 64), (80, 128), (20, 32), (60, 96))

    def hide(self, outputs: Any, inputs: Any) -> None:
        separators = torch.isin(inputs["input_ids"][0], torch.tensor([101, 102, 1012, 1029]))
        outputs.logits[..., : len(separators)][..., separators] = float("-inf")

    def test_a_box_goes_to_the_phrase_that_its_best_token_is_of(
        self, model: Model, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # given a network that finds a box for the last token of each phrase, and more for separators, in their order
        phrases = ("a cat", "hole", "e.g. The red car in front of the house?", "no")
        network = model.network  # type: ignore[attr-defined]

        def found(input_ids: torch.Tensor, **_: Any) -> SimpleNamespace:
            (stops,) = torch.where(input_ids[0] == 1012)
            logits = torch.full((1, len(stops), 64), -9.0)
            for query, stop in enumerate(stops.tolist()):
                logits[0, query, stop - 1] = 3.0 - query
                logits[0, query, [0, stop]] = 8.0
            return SimpleNamespace(logits=logits, pred_boxes=torch.full((1, len(stops), 4), 0.5))

        monkeypatch.setattr(model, "network", found)

        # when phrases of one and of many tokens are looked for, then each has its own box
        answer = self.answer(model, *phrases)
        monkeypatch.setattr(model, "network", network)
        assert [one.phrase for one in answer] == list(phrases)
        assert answer[0].score == pytest.approx(torch.sigmoid(torch.tensor(3.0)).item())

    def test_a_long_list_is_looked_for_in_passes_until_nobody_wants_it(self, model: Model) -> None:
        # given more phrases than a text may hold
        ask = self._asked(coloured(*self.sizes[0], 0), *(f"the {count} benches" for count in range(30)))
        prepared, stopped = model.prepare(ask), model.prepare(ask)

        # when one call is answered, and one that was stopped
        (answer,) = model.run([prepared])
        stopped.stopped.set()
        (nothing,) = model.run([stopped])

        # then it took several passes, and none
        assert remarks(answer)["passes"] > 1
        assert nothing == ()

    def test_a_text_may_fill_the_networks_to_the_last_token(self, model: Model) -> None:
        for length in range(57, 63):
            answer = self.answer(model, " ".join("0" * length), min_score=0.0)

            assert ("cut_phrases" in remarks(answer)) == (length > 61)

    def test_a_phrase_of_separators_is_refused(self, model: Model) -> None:
        with pytest.raises(ModelError, match="needs a word"):
            self.answer(model, "a cat", "...?")

    def test_pictures_of_other_shapes_do_not_share_a_batch(self, model: Model) -> None:
        shapes = [(40, 64), (64, 40), (40, 41)]

        groups = {model.prepare(self.ask_of(coloured(*shape, 0))).group for shape in shapes}

        assert len(groups) == len(shapes)

    def test_a_line_of_a_hundred_thousand_pixels_is_answered(self, model: Model) -> None:
        ask = self.ask_of(coloured(100_000, 1, 0))

        (answer,) = model.run([model.prepare(ask)])

        self.check(ask, answer)

    def parts(self, *stages: str) -> dict[str, Any]:
        """Return what the architectures have in common, at toy size."""
        return {
            "backbone_config": SwinConfig(
                image_size=SIDE,
                embed_dim=16,
                depths=[1, 1, 1, 1],
                num_heads=[1, 1, 2, 2],
                window_size=4,
                out_features=list(stages),
            ),
            "text_config": BertConfig(
                vocab_size=BERT_WORDS,
                hidden_size=32,
                num_hidden_layers=1,
                num_attention_heads=2,
                intermediate_size=32,
                max_position_embeddings=64,
                initializer_range=0.3,
            ),
            "d_model": 64,
            "encoder_layers": 1,
            "encoder_ffn_dim": 32,
            "encoder_attention_heads": 4,
            "decoder_layers": 2,
            "decoder_ffn_dim": 32,
            "decoder_attention_heads": 4,
            "num_queries": 12,
            "max_text_len": 64,
            "init_std": 0.3,
        }

    def save(self, folder: Path, network: Any) -> None:
        """Save it with its image processor and its tokenizer."""
        images = GroundingDinoImageProcessor(size={"shortest_edge": SIDE, "longest_edge": 2 * SIDE})
        saved(folder, network, bert_tokenizer(), images)


class TestGroundingDino(SpanContract):
    architecture = "Grounding DINO"

    def build(self, folder: Path) -> None:
        config = GroundingDinoConfig(**self.parts("stage2", "stage3", "stage4"))
        self.save(folder, lambda: GroundingDinoForObjectDetection(config))


class TestMmGroundingDino(SpanContract):
    architecture = "MM-Grounding-DINO"

    def build(self, folder: Path) -> None:
        config = MMGroundingDinoConfig(**self.parts("stage2", "stage3", "stage4"))
        self.save(folder, lambda: MMGroundingDinoForObjectDetection(config))


class TestLlmDet(SpanContract):
    architecture = "LLMDet"

    def build(self, folder: Path) -> None:
        # As its large checkpoint: MM-Grounding-DINO over all stages of the backbone. The language model that gives
        # LLMDet its name takes part in training only, and is in no checkpoint for detection.
        stages = ("stage1", "stage2", "stage3", "stage4")
        config = MMGroundingDinoConfig(**self.parts(*stages), num_feature_levels=5)
        self.save(folder, lambda: MMGroundingDinoForObjectDetection(config))


class VectorContract(GroundingContract):
    """Architectures that compare a vector of each phrase."""

    def test_phrases_go_into_the_template(self, model: Model, spec: ModelSpec) -> None:
        templated = family.load(spec.model_copy(update={"options": {**spec.options, "template": "my {}!"}}))

        one, other = self.answer(templated, "cat"), self.answer(model, "my cat!")

        assert [told.score for told in groundings(one)] == [told.score for told in groundings(other)]
        assert groundings(one)[0].phrase == "cat"

    def test_a_phrase_that_is_cut_still_ends(self, model: Model) -> None:
        # given that 16 tokens are read, two of which are the text's ends
        cut, whole = (self.answer(model, " ".join("b" * words)) for words in (100, 14))

        assert remarks(cut).pop("cut_phrases") == 1
        assert groundings(cut)[0].score == pytest.approx(groundings(whole)[0].score, abs=1e-6)

    def test_a_template_without_a_place_is_refused(self, spec: ModelSpec) -> None:
        with pytest.raises(ModelUnavailable, match="template"):
            family.load(spec.model_copy(update={"options": {"template": "a photo"}}))

    def parts(self) -> dict[str, Any]:
        """Return what both architectures have in common, at toy size."""
        # With the usual initializer_factor of 1 the boxes of random weights lie at the picture's edges.
        tiny = {"intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "initializer_factor": 0.3}
        size = len(clip_tokenizer())
        return {
            "text_config": {
                **tiny,
                "hidden_size": 32,
                "vocab_size": size,
                "bos_token_id": size - 2,
                "eos_token_id": size - 1,
            },
            "vision_config": {**tiny, "hidden_size": 32, "image_size": SIDE, "patch_size": 16},
            "projection_dim": 32,
            "initializer_factor": 0.3,
        }


class TestOwlVit(VectorContract):
    architecture = "OWL-ViT"
    processor = OwlViTProcessor

    def build(self, folder: Path) -> None:
        config = OwlViTConfig(**self.parts())
        images = OwlViTImageProcessor(size={"height": SIDE, "width": SIDE})
        saved(folder, lambda: OwlViTForObjectDetection(config), clip_tokenizer(), images)


class TestOwlV2(VectorContract):
    architecture = "OWLv2"
    processor = Owlv2Processor

    def build(self, folder: Path) -> None:
        config = Owlv2Config(**self.parts())
        images = Owlv2ImageProcessor(size={"height": SIDE, "width": SIDE})
        saved(folder, lambda: Owlv2ForObjectDetection(config), clip_tokenizer(), images)

    def test_a_line_of_a_hundred_thousand_pixels_is_not_made_a_square_of_them(self, model: Model) -> None:
        ask = self.ask_of(coloured(1, 100_000, 0))

        (answer,) = model.run([model.prepare(ask)])

        self.check(ask, answer)
