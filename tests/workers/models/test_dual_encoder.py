"""The family `dual_encoder`: each architecture at toy size, with random weights."""

import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
import sentencepiece
import torch
from transformers import (
    AlignConfig,
    AlignModel,
    AltCLIPConfig,
    AltCLIPModel,
    AutoImageProcessor,
    AutoTokenizer,
    BertTokenizer,
    ChineseCLIPConfig,
    ChineseCLIPImageProcessor,
    ChineseCLIPModel,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPTextConfig,
    EfficientNetImageProcessor,
    GemmaTokenizer,
    MetaClip2Config,
    MetaClip2Model,
    Siglip2Config,
    Siglip2ImageProcessor,
    Siglip2Model,
    Siglip2Tokenizer,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
    SiglipTokenizer,
    TimmWrapperConfig,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
    XLMRobertaTokenizer,
)

from domain.errors import ModelError, ModelUnavailable
from domain.vision import Capability, Label
from tests.workers.models.architectures import ArchitectureContract
from tests.workers.models.contract import coloured
from tests.workers.models.toys import TEXTS, clip_tokenizer, saved, spec_of, unigram, word_piece
from workers.models import dual_encoder, family
from workers.models.dual_encoder import MOST_TEXTS
from workers.models.family import Ask, Model, Pixels, ScoreKind, Told
from workers.registry import ModelSpec

pytestmark = pytest.mark.model

TOLERANCE = 1e-4
SIDE = 32
LONGEST_TEXT = 32
TINY = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


class DualEncoderContract(ArchitectureContract):
    """What every row of the family must hold to."""

    family = "dual_encoder"
    capabilities = (Capability.CLASSIFY, Capability.EMBED)

    def asks(self) -> Sequence[Ask]:
        """See FamilyContract."""
        labels = (("a cat", "a dog", "a red car"), ("yes", "no"), (), ("a cat or " * 60, "é漢字", "."))
        sizes = ((40, 64), (64, 40), (33, 33), (120, 50))
        return [
            self._asked(coloured(*size, seed), told)
            for seed, (size, told) in enumerate(zip(sizes, labels, strict=True))
        ]

    def ask_of(self, pixels: Pixels) -> Ask:
        """See FamilyContract."""
        return self._asked(pixels, ("a cat", "a dog"))

    def _asked(self, pixels: Pixels, labels: tuple[str, ...]) -> Ask:
        return Ask(Capability.CLASSIFY, (pixels,), {"labels": labels})

    def check(self, ask: Ask, answer: Any) -> None:
        """See FamilyContract."""
        if isinstance(answer, Told):
            assert answer.remarks == {"cut_labels": sum(len(label) > 100 for label in ask.arguments["labels"])}
            answer = answer.value
        else:
            assert all(len(label) <= 100 for label in ask.arguments["labels"])
        assert isinstance(answer, tuple)
        assert all(isinstance(label, Label) for label in answer)
        assert sorted(label.name for label in answer) == sorted(ask.arguments["labels"])
        assert [label.score for label in answer] == sorted((label.score for label in answer), reverse=True)

    def same(self, one: Any, other: Any) -> bool:
        """See FamilyContract."""
        bare = (answer.value if isinstance(answer, Told) else answer for answer in (one, other))
        first, second = ({label.name: label.score for label in answer} for answer in bare)
        return first.keys() == second.keys() and all(abs(first[k] - second[k]) < TOLERANCE for k in first)

    def test_a_vector_has_length_one_and_does_not_depend_on_its_company(self, model: Model) -> None:
        asks = [Ask(Capability.EMBED, (coloured(40, 40 + seed, seed),)) for seed in range(3)]
        prepared = [model.prepare(ask) for ask in asks]

        together = model.run(prepared)

        for one, vector in zip(prepared, together, strict=True):
            (alone,) = model.run([one])
            assert math.isclose(math.fsum(x * x for x in vector), 1, abs_tol=1e-5)
            assert max(abs(x - y) for x, y in zip(vector, alone, strict=True)) < TOLERANCE
        assert together[0] != together[1]

    def test_a_label_without_a_word_is_refused(self, model: Model) -> None:
        with pytest.raises(ModelError, match="needs a word"):
            model.prepare(self._asked(coloured(9, 9, 0), ("a cat", " ")))

    def test_texts_of_one_length_are_encoded_together_and_kept(self, model: Model, monkeypatch: Any) -> None:
        network, rows = model.network, []  # type: ignore[attr-defined]
        encode = network.get_text_features
        monkeypatch.setattr(network, "get_text_features", lambda **x: rows.append(len(x["input_ids"])) or encode(**x))
        ask = self._asked(coloured(40, 40, 1), tuple(f"the {letter} or a {letter}" for letter in "QJXK"))

        first, again = (model.run([model.prepare(ask)])[0] for _ in range(2))

        assert sum(rows) == 4 * len(model.templates)  # type: ignore[attr-defined]
        assert max(rows) >= 4
        assert self.same(first, again)

    def test_labels_of_a_call_that_was_stopped_are_not_gone_on_with(self, model: Model, monkeypatch: Any) -> None:
        network, rows = model.network, []  # type: ignore[attr-defined]
        encode = network.get_text_features
        monkeypatch.setattr(dual_encoder, "TEXTS_AT_ONCE", 1)
        prepared = model.prepare(self._asked(coloured(40, 40, 1), ("a plate", "a hole", "a fox")))

        def stopping(**told: Any) -> Any:
            rows.append(len(told["input_ids"]))
            prepared.stopped.set()
            return encode(**told)

        monkeypatch.setattr(network, "get_text_features", stopping)
        model.run([prepared])

        assert rows == [1]

    def test_more_labels_than_a_call_may_compare_are_refused(self, model: Model) -> None:
        most = MOST_TEXTS // len(model.templates)  # type: ignore[attr-defined]
        labels = tuple(f"label {number}" for number in range(most + 1))

        model.prepare(self._asked(coloured(9, 9, 0), labels[:-1]))

        with pytest.raises(ModelError, match=f"{most + 1} labels, more than {most}"):
            model.prepare(self._asked(coloured(9, 9, 0), labels))

    def test_vectors_and_labels_share_a_batch(self, model: Model) -> None:
        pixels = coloured(40, 40, 1)
        mixed = [model.prepare(ask) for ask in (Ask(Capability.EMBED, (pixels,)), self.ask_of(pixels))]

        vector, labels = model.run(mixed)

        assert len({one.group for one in mixed}) == 1
        assert isinstance(vector[0], float)
        self.check(self.ask_of(pixels), labels)

    def test_scores_are_those_of_the_architectures_own_forward_pass(self, spec: ModelSpec) -> None:
        model = family.load(spec.model_copy(update={"options": {**spec.options, "templates": ["{}"]}}))
        pixels, labels = coloured(48, 40, 5), ("the cat", "a red car of the old house", "no")
        images = AutoImageProcessor.from_pretrained(spec.path)
        tokenizer = AutoTokenizer.from_pretrained(spec.path)

        (answer,) = model.run([model.prepare(self._asked(pixels, labels))])

        seen = images(pixels, input_data_format="channels_last", return_tensors="pt")
        with torch.inference_mode():
            network: Any = model.network  # type: ignore[attr-defined]
            passes = [network(**seen, **self.tokens(tokenizer, label)).logits_per_image[0, 0] for label in labels]
        expected = self.scores_of(torch.stack(passes)).tolist()
        assert {label.name: label.score for label in answer} == pytest.approx(
            dict(zip(labels, expected, strict=True)), abs=TOLERANCE
        )
        assert max(expected) - min(expected) > TOLERANCE  # otherwise nothing was told apart
        model.close()

    def tokens(self, tokenizer: Any, text: str) -> dict[str, torch.Tensor]:
        """Return a text as the architecture's authors feed it."""
        return dict(tokenizer(text, return_tensors="pt"))

    def scores_of(self, logits: torch.Tensor) -> torch.Tensor:
        """Return what the architecture's authors make of logits."""
        return torch.softmax(logits, dim=0)


class SharesAddUp:
    """For architectures whose scores are shares."""

    def test_scores_add_up_to_one(self, model: Model) -> None:
        (answer,) = model.run([model.prepare(self.ask_of(coloured(40, 40, 1)))])  # type: ignore[attr-defined]

        assert model.scores == ScoreKind.SOFTMAX
        assert math.isclose(math.fsum(label.score for label in answer), 1, abs_tol=1e-5)


class EachLabelAlone:
    """For SigLIP and its kin: sigmoids, and texts in lower case, padded on the right, with no mask."""

    def tokens(self, tokenizer: Any, text: str) -> dict[str, torch.Tensor]:
        """See DualEncoderContract."""
        ids = tokenizer(text.lower())["input_ids"]
        padded = ids + [tokenizer.pad_token_id] * (LONGEST_TEXT - len(ids))
        return {"input_ids": torch.tensor([padded])}

    def scores_of(self, logits: torch.Tensor) -> torch.Tensor:
        """See DualEncoderContract."""
        return torch.sigmoid(logits)

    def test_a_labels_score_does_not_depend_on_the_other_labels(self, model: Model) -> None:
        pixels = coloured(40, 40, 1)
        labels = (("a cat",), ("a cat", "a dog", "a red car"))
        asks = [Ask(Capability.CLASSIFY, (pixels,), {"labels": told}) for told in labels]

        alone, together = model.run([model.prepare(ask) for ask in asks])

        assert model.scores == ScoreKind.SIGMOID
        assert {label.name: label.score for label in together}["a cat"] == pytest.approx(alone[0].score, abs=TOLERANCE)

    def test_capital_letters_make_no_difference(self, model: Model) -> None:
        asks = [Ask(Capability.CLASSIFY, (coloured(40, 40, 1),), {"labels": (told,)}) for told in ("A Cat", "a cat")]

        (capital,), (small,) = model.run([model.prepare(ask) for ask in asks])

        assert capital.score == pytest.approx(small.score, abs=TOLERANCE)


def clip_like(vocabulary: int, **text: Any) -> dict[str, Any]:
    """Return a configuration of two small transformers."""
    return {
        "text_config": {**TINY, "vocab_size": vocabulary, "max_position_embeddings": LONGEST_TEXT, **text},
        "vision_config": {**TINY, "image_size": SIDE, "patch_size": 8},
        "projection_dim": 24,
    }


def told_apart(make: Any) -> Any:
    """Make a network whose scores differ visibly: random features alone are nearly the same for all texts."""

    def scaled() -> Any:
        network = make()
        with torch.no_grad():
            for name, weights in network.named_parameters():
                if "embed" in name:
                    weights.normal_(std=1.0)
        return network

    return scaled


class TestClip(SharesAddUp, DualEncoderContract):
    architecture = "CLIP"

    def build(self, folder: Path) -> None:
        tokenizer = clip_tokenizer()
        config = CLIPConfig(**clip_like(len(tokenizer), eos_token_id=1, bos_token_id=0))
        images = CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
        saved(folder, told_apart(lambda: CLIPModel(config)), tokenizer, images)

    @pytest.mark.parametrize("temperature", [0, -1.0, math.nan, math.inf, "warm"])
    def test_a_temperature_that_divides_nothing_is_refused(self, spec: ModelSpec, temperature: Any) -> None:
        with pytest.raises(ModelUnavailable, match="temperature"):
            family.load(spec.model_copy(update={"options": {"temperature": temperature}}))

    def test_a_template_without_a_place_for_the_label_is_refused(self, spec: ModelSpec) -> None:
        with pytest.raises(ModelUnavailable, match=r"needs a \{\}"):
            family.load(spec.model_copy(update={"options": {"templates": ["a photo"]}}))


class TestSiglip(EachLabelAlone, DualEncoderContract):
    architecture = "SigLIP"

    def build(self, folder: Path) -> None:
        model = folder / "spiece.model"
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(TEXTS), model_prefix=str(model.with_suffix("")), vocab_size=90, bos_id=-1, pad_id=-1,
            minloglevel=2,
        )  # fmt: skip
        tokenizer = SiglipTokenizer(str(model), model_input_names=["input_ids"])
        config = SiglipConfig(**siglip_like(len(tokenizer)))
        images = SiglipImageProcessor(size={"height": SIDE, "width": SIDE})
        saved(folder, told_apart(lambda: SiglipModel(config)), tokenizer, images)


class TestSiglip2(EachLabelAlone, DualEncoderContract):
    """The checkpoints for one size are SigLIP's network with Gemma's tokenizer."""

    architecture = "SigLIP 2"

    def build(self, folder: Path) -> None:
        tokenizer = gemma(GemmaTokenizer, do_lower_case=True)
        config = SiglipConfig(**siglip_like(len(tokenizer)))
        images = SiglipImageProcessor(size={"height": SIDE, "width": SIDE})
        saved(folder, told_apart(lambda: SiglipModel(config)), tokenizer, images)


class TestSiglip2Naflex(EachLabelAlone, DualEncoderContract):
    """Any shape of picture, as so many patches; the rest is padding."""

    architecture = "SigLIP 2 NaFlex"

    def build(self, folder: Path) -> None:
        tokenizer = gemma(Siglip2Tokenizer)
        told = siglip_like(len(tokenizer))
        told["vision_config"] = {**TINY, "patch_size": 8, "num_patches": 16}
        images = Siglip2ImageProcessor(patch_size=8, max_num_patches=16)
        saved(folder, told_apart(lambda: Siglip2Model(Siglip2Config(**told))), tokenizer, images)

    def test_pictures_of_every_shape_are_patched_as_they_are(self, model: Model) -> None:
        asks = [self.ask_of(coloured(*size, 3)) for size in ((64, 64), (16, 128), (128, 16))]

        prepared = [model.prepare(ask) for ask in asks]

        assert [one.payload.inputs["spatial_shapes"].tolist() for one in prepared] == [[[4, 4]], [[1, 8]], [[8, 1]]]
        assert len({one.group for one in prepared}) == 1


class TestAlign(SharesAddUp, DualEncoderContract):
    architecture = "ALIGN"

    def build(self, folder: Path) -> None:
        tokenizer = BertTokenizer(vocab=word_piece().get_vocab())
        vision = {
            "image_size": SIDE, "width_coefficient": 1.0, "depth_coefficient": 1.0, "hidden_dim": 64,
            "kernel_sizes": [3, 3, 5], "in_channels": [32, 8, 16], "out_channels": [8, 16, 24], "strides": [1, 2, 2],
            "num_block_repeats": [1, 1, 1], "expand_ratios": [1, 2, 2],
        }  # fmt: skip
        text = {**TINY, "vocab_size": len(tokenizer), "max_position_embeddings": LONGEST_TEXT}
        config = AlignConfig(text_config=text, vision_config=vision, projection_dim=24, temperature_init_value=0.1)
        images = EfficientNetImageProcessor(
            size={"height": 40, "width": 40}, do_center_crop=True, crop_size={"height": SIDE, "width": SIDE}
        )
        saved(folder, told_apart(lambda: AlignModel(config)), tokenizer, images)

    def test_the_ends_of_a_long_picture_count(self, model: Model) -> None:
        long = coloured(20, 900, 1)
        other = long.copy()
        other[:, 100:360] = 255 - other[:, 100:360]

        first, second = model.run([model.prepare(Ask(Capability.EMBED, (pixels,))) for pixels in (long, other)])

        assert max(abs(x - y) for x, y in zip(first, second, strict=True)) > TOLERANCE


class TestTwoTowers(SharesAddUp, DualEncoderContract):
    """Any two towers: here a ResNet of timm's beside CLIP's texts."""

    architecture = "VisionTextDualEncoder"

    def build(self, folder: Path) -> None:
        tokenizer = clip_tokenizer()
        towers = clip_like(len(tokenizer), eos_token_id=1, bos_token_id=0)
        eye = TimmWrapperConfig(architecture="resnet18", model_args={"channels": [8, 8, 16, 32]}, hidden_size=32)
        config = VisionTextDualEncoderConfig.from_vision_text_configs(
            eye, CLIPTextConfig(**towers["text_config"]), projection_dim=towers["projection_dim"]
        )
        images = CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
        saved(folder, told_apart(lambda: VisionTextDualEncoderModel(config)), tokenizer, images)

    @pytest.mark.parametrize(
        "eye",
        [{"architecture": "hf-hub:somebody/eye"}, {"model_args": {"checkpoint_path": "/elsewhere/eye.safetensors"}}],
    )
    def test_an_eye_that_lies_outside_the_checkpoint_is_refused(
        self, spec: ModelSpec, tmp_path: Path, eye: dict[str, Any]
    ) -> None:
        copied = shutil.copytree(spec.path, tmp_path / "toy")
        told = json.loads((copied / "config.json").read_text())
        told["vision_config"] |= eye
        (copied / "config.json").write_text(json.dumps(told))

        with pytest.raises(ModelUnavailable, match="names a network outside the checkpoint"):
            family.load(spec_of(copied, "dual_encoder", (Capability.CLASSIFY,)))


class TestMetaClip2(SharesAddUp, DualEncoderContract):
    architecture = "MetaCLIP 2"

    def build(self, folder: Path) -> None:
        learnt = unigram()
        pieces = sorted(learnt.get_vocab(), key=learnt.get_vocab().__getitem__)
        special = ["<s>", "<pad>", "</s>", "<unk>"]
        pieces = [*special, *(piece for piece in pieces if piece not in special), "<mask>"]
        tokenizer = XLMRobertaTokenizer(vocab=[(piece, -float(len(piece) < 2)) for piece in pieces])
        config = MetaClip2Config(**clip_like(len(tokenizer), eos_token_id=2, bos_token_id=0))
        images = CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
        saved(folder, told_apart(lambda: MetaClip2Model(config)), tokenizer, images)


class TestAltClip(SharesAddUp, DualEncoderContract):
    """AltCLIP (Chen et al. 2022), whose XLM-RoBERTa counts positions from behind the padding's number."""

    architecture = "AltCLIP"

    def build(self, folder: Path) -> None:
        pieces = dict.fromkeys("▁" + "".join(TEXTS).replace(" ", ""))
        tokenizer = XLMRobertaTokenizer(vocab=[(piece, -1.0) for piece in ("<s>", "<pad>", "</s>", "<unk>", *pieces)])
        text = {"max_position_embeddings": 64, "project_dim": 24, "pad_token_id": 1}
        config = AltCLIPConfig(**clip_like(len(tokenizer), **text))
        images = CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
        saved(folder, told_apart(lambda: AltCLIPModel(config)), tokenizer, images)


class TestChineseClip(SharesAddUp, DualEncoderContract):
    architecture = "Chinese-CLIP"
    options: ClassVar = {"templates": ["一张{}的照片", "{}"]}

    def build(self, folder: Path) -> None:
        vocabulary = word_piece().get_vocab()
        vocabulary |= {sign: len(vocabulary) + index for index, sign in enumerate("一张的照片猫狗")}
        tokenizer = BertTokenizer(vocab=vocabulary)
        config = ChineseCLIPConfig(**clip_like(len(tokenizer)))
        images = ChineseCLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
        saved(folder, told_apart(lambda: ChineseCLIPModel(config)), tokenizer, images)

    def test_chinese_labels_are_told_apart(self, model: Model) -> None:
        (answer,) = model.run([model.prepare(self._asked(coloured(40, 40, 1), ("猫", "狗")))])

        assert answer[0].score - answer[1].score > TOLERANCE


def siglip_like(vocabulary: int) -> dict[str, Any]:
    """Return a configuration of SigLIP's kind."""
    return {name: told for name, told in clip_like(vocabulary).items() if name != "projection_dim"}


def gemma(kind: Any, **more: Any) -> Any:
    """Return a tokenizer of Gemma's kind, set up as SigLIP 2's checkpoints have it."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    signs = sorted({sign for text in TEXTS for sign in text.replace(" ", "▁")})
    pieces = [*special, *(f"<0x{byte:02X}>" for byte in range(256)), *signs]
    names = {"padding_side": "right", "model_input_names": ["input_ids"], "add_bos_token": False, "add_eos_token": True}
    return kind(vocab={piece: index for index, piece in enumerate(pieces)}, merges=[], **names, **more)
