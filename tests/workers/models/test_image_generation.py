"""The family `image_generation`: pipelines at toy size, with random weights."""

import json
import shutil
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3Model,
    T5Config,
    T5EncoderModel,
)

from domain.errors import ModelError, ModelUnavailable
from domain.vision import Capability
from tests.workers.models.architectures import ArchitectureContract
from tests.workers.models.contract import grey
from tests.workers.models.text_toys import lively
from tests.workers.models.toys import byte_level, spec_of, unigram
from workers.memory import give_back, resident_bytes
from workers.models import family
from workers.models.family import Ask, Model, Pixels, Prepared, ScoreKind, Told
from workers.registry import ModelSpec

diffusers = pytest.importorskip("diffusers", reason="pictures from texts need the extra `imagine`")
pytestmark = pytest.mark.model

SIDE = 32
ENDS = ("<|startoftext|>", "<|endoftext|>")
TINY = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


class ImageGenerationContract(ArchitectureContract):
    """What every row of the family must hold to."""

    family = "image_generation"
    capabilities = (Capability.IMAGINE,)
    options: ClassVar[dict[str, Any]] = {"steps": 3, "height": SIDE, "width": SIDE}
    draws: ClassVar[str]
    """the class of the network that draws"""

    # It is given no pictures.
    test_a_picture_of_an_odd_size_is_answered = None
    test_preparing_leaves_the_picture_as_it_was = None
    test_pictures_of_every_mode_are_answered_alike = None
    test_a_picture_of_black_and_white_alone_is_answered = None

    def pipeline(self) -> Any:
        """Return the pipeline with random weights."""
        raise NotImplementedError

    def build(self, folder: Path) -> None:
        """See ArchitectureContract."""
        torch.manual_seed(0)
        self.pipeline().save_pretrained(folder, safe_serialization=True)

    def weights(self, model: Any) -> Iterable[torch.Tensor]:
        """See ArchitectureContract: a pipeline's networks are among its parts."""
        parts = [part for part in model.network.components.values() if isinstance(part, torch.nn.Module)]
        return chain.from_iterable(part.parameters() for part in parts)

    def asks(self) -> Sequence[Ask]:
        """See FamilyContract."""
        return [self._asked(prompt, seed) for prompt, seed in (("a cat", 0), ("a car", 0), ("a cat", 7), ("a car", 9))]

    def ask_of(self, pixels: Pixels) -> Ask:
        """See FamilyContract."""
        return self._asked("a cat", 0)

    def unknown_ask(self) -> Ask:
        """See FamilyContract."""
        return Ask(Capability.CAPTION, (grey(9, 9),))

    def _asked(self, prompt: str, seed: int) -> Ask:
        return Ask(Capability.IMAGINE, (), {"prompt": prompt, "seed": seed})

    def check(self, ask: Ask, answer: Any) -> None:
        """See FamilyContract."""
        assert isinstance(answer, np.ndarray)
        assert answer.dtype == np.uint8
        assert answer.shape == (SIDE, SIDE, 3)
        assert answer.std() > 1

    def same(self, one: Any, other: Any) -> bool:
        """See FamilyContract."""
        return int(np.abs(one.astype(int) - other.astype(int)).max()) <= 1

    def drawn(self, model: Model, prompt: str, seed: int) -> Pixels:
        """Draw one picture."""
        (pixels,) = model.run([model.prepare(self._asked(prompt, seed))])
        return np.asarray(pixels)

    def test_it_is_loaded_as_what_it_is(self, model: Model, spec: ModelSpec, record_property: Any) -> None:
        told = json.loads((spec.path / "model_index.json").read_text())
        record_property("architecture", json.dumps([self.architecture, self.family, ["imagine"], told["_class_name"]]))

        assert self.draws in json.dumps(told)
        assert model.scores == ScoreKind.NONE
        assert model.dtype == "float32"

    def test_the_seed_and_the_prompt_decide_the_picture(self, model: Model) -> None:
        picture = self.drawn(model, "a cat", 1)

        assert np.array_equal(picture, self.drawn(model, "a cat", 1))
        assert not self.same(picture, self.drawn(model, "a cat", 2))
        assert not np.array_equal(picture, self.drawn(model, "the quick brown fox jumps over the lazy dog", 1))

    def test_prompts_of_different_lengths_do_not_share_a_batch(self, model: Model) -> None:
        groups = {model.prepare(self._asked(prompt, 0)).group for prompt in ("a cat", "a dog and a red car")}

        assert len(groups) == 2

    def test_a_prompt_that_is_too_long_is_cut_and_remarked_on(self, model: Model) -> None:
        (told,) = model.run([model.prepare(self._asked("a cat and a dog " * 200, 0))])

        assert isinstance(told, Told)
        assert told.remarks["cut_tokens"] > 100
        self.check(self._asked("", 0), told.value)

    @pytest.mark.parametrize(("prompt", "seed"), [(" ", 0), ("a cat", -1), ("a cat", 2**63), ("a cat", 0.5)])
    def test_what_cannot_be_drawn_is_refused(self, model: Model, prompt: str, seed: Any) -> None:
        with pytest.raises(ModelError):
            model.prepare(self._asked(prompt, seed))

    def test_drawing_ends_between_two_steps_once_nobody_wants_any_picture(self, model: Model) -> None:
        batch = [model.prepare(self._asked("a cat", seed)) for seed in (1, 2)]

        assert _steps(model, batch, after=2, stop=batch[:1]) == 3  # the other picture is wanted
        assert _steps(model, batch, after=1, stop=batch) == 1
        assert _steps(model, [model.prepare(self._asked("a cat", 3))]) == 3

    @pytest.mark.parametrize(
        "options", [{"steps": 0}, {"steps": "many"}, {"guidance": -1}, {"height": SIDE + 1}, {"turbo": True}]
    )
    def test_options_that_make_no_sense_are_refused(self, spec: ModelSpec, options: dict[str, Any]) -> None:
        with pytest.raises(ModelUnavailable):
            family.load(spec.model_copy(update={"options": {**spec.options, **options}}))


def _steps(model: Any, batch: Sequence[Prepared], after: int = 0, stop: Sequence[Prepared] = ()) -> int:
    """Run a batch, stop some calls after so many steps, and return how many steps were taken."""
    scheduler, taken = model.network.scheduler, []
    usual = scheduler.step

    def step(*args: Any, **kwargs: Any) -> Any:
        taken.append(1)
        if len(taken) == after:
            for prepared in stop:
                prepared.stopped.set()
        return usual(*args, **kwargs)

    scheduler.step = step
    try:
        assert len(model.run(batch)) == len(batch)
    finally:
        scheduler.step = usual
    return len(taken)


def _clip() -> tuple[PreTrainedTokenizerFast, CLIPTextModel]:
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=byte_level(*ENDS, ends=ENDS),
        bos_token=ENDS[0],
        eos_token=ENDS[1],
        pad_token=ENDS[1],
        model_max_length=32,
    )
    config = CLIPTextConfig(
        **TINY,
        vocab_size=len(tokenizer),
        max_position_embeddings=32,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
        projection_dim=32,
    )
    return tokenizer, CLIPTextModel(config)


def _autoencoder(channels: int) -> Any:
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=channels,
        norm_num_groups=4,
        sample_size=SIDE,
        scaling_factor=0.5,
        shift_factor=0.1,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )


def _stable_diffusion(checker: Any = None, images: Any = None) -> Any:
    tokenizer, encoder = _clip()
    return diffusers.StableDiffusionPipeline(
        vae=_autoencoder(4),
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=diffusers.UNet2DConditionModel(
            block_out_channels=(8, 16),
            layers_per_block=1,
            sample_size=SIDE // 2,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=32,
            attention_head_dim=4,
            norm_num_groups=4,
        ),
        # It adds noise at each step, which must come from each call's own generator.
        scheduler=diffusers.DDPMScheduler(beta_schedule="scaled_linear", steps_offset=1, clip_sample=False),
        safety_checker=checker,
        feature_extractor=images,
        requires_safety_checker=checker is not None,
    )


class TestStableDiffusion(ImageGenerationContract):
    architecture = "Stable Diffusion"
    draws = "UNet2DConditionModel"

    def pipeline(self) -> Any:
        return _stable_diffusion()

    def test_the_guidance_changes_the_picture(self, spec: ModelSpec) -> None:
        weak, strong = (
            family.load(spec.model_copy(update={"options": {**spec.options, "guidance": guidance}}))
            for guidance in (0, 20)
        )

        assert not self.same(self.drawn(weak, "a cat", 1), self.drawn(strong, "a cat", 1))

    def test_a_checkpoint_that_carries_code_is_refused(self, spec: ModelSpec, tmp_path: Path) -> None:
        shutil.copytree(spec.path, tmp_path / "copy")
        (tmp_path / "copy" / "unet" / "own.py").write_text("raise SystemExit")

        with pytest.raises(ModelUnavailable, match=r"carries code, which is never run: own\.py"):
            family.load(spec.model_copy(update={"source": str(tmp_path / "copy")}))

    def test_a_loaded_pipeline_holds_its_weights_before_it_first_draws(self, tmp_path: Path) -> None:
        pipeline = _stable_diffusion()
        pipeline.text_encoder = CLIPTextModel(CLIPTextConfig(**{**TINY, "hidden_size": 512}, vocab_size=100_000))
        weighs = sum(weights.nbytes for weights in pipeline.text_encoder.parameters())
        pipeline.save_pretrained(tmp_path, safe_serialization=True)
        del pipeline
        give_back()
        before = resident_bytes()

        model = family.load(spec_of(tmp_path, self.family, self.capabilities, options=self.options))

        assert resident_bytes() - before > 0.8 * weighs > 160_000_000
        model.close()

    def test_an_output_that_is_not_finite_is_no_picture(self) -> None:
        model: Any = self.fresh()
        model.network.vae.decoder.conv_out.bias.data.fill_(torch.nan)

        with pytest.raises(ModelError, match="not finite"):
            self.drawn(model, "a cat", 1)

    def test_a_picture_that_the_safety_checker_withholds_is_no_picture(self, tmp_path: Path) -> None:
        from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker

        vision = {**TINY, "image_size": SIDE, "patch_size": 8}
        checker = StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision, projection_dim=32))
        checker.concept_embeds_weights.data.fill_(-9)  # the least similarity that counts: anything does
        images = CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
        _stable_diffusion(checker, images).save_pretrained(tmp_path, safe_serialization=True)
        model = family.load(spec_of(tmp_path, self.family, self.capabilities, options=self.options))

        with pytest.raises(ModelError, match="safety checker withholds"):
            self.drawn(model, "a cat", 1)


class TestFlux(ImageGenerationContract):
    architecture = "FLUX.1"
    draws = "FluxTransformer2DModel"

    def pipeline(self) -> Any:
        tokenizer, encoder = _clip()
        second = PreTrainedTokenizerFast(
            tokenizer_object=unigram(), eos_token="</s>", pad_token="<pad>", unk_token="<unk>", model_max_length=48
        )
        t5 = T5Config(vocab_size=len(second), d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=4)
        return diffusers.FluxPipeline(
            vae=_autoencoder(4),
            text_encoder=encoder,
            tokenizer=tokenizer,
            text_encoder_2=T5EncoderModel(t5),
            tokenizer_2=second,
            # Its usual random weights hardly let the words reach the picture.
            transformer=lively(
                diffusers.FluxTransformer2DModel(
                    patch_size=1,
                    in_channels=16,
                    num_layers=1,
                    num_single_layers=1,
                    attention_head_dim=16,
                    num_attention_heads=2,
                    joint_attention_dim=32,
                    pooled_projection_dim=32,
                    axes_dims_rope=(4, 4, 8),
                )
            ),
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        )


class TestZImage(ImageGenerationContract):
    architecture = "Z-Image"
    draws = "ZImageTransformer2DModel"

    def pipeline(self) -> Any:
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=byte_level(*ENDS), eos_token=ENDS[1], pad_token=ENDS[1], model_max_length=10**6
        )
        tokenizer.chat_template = "{% for message in messages %}user: {{ message['content'] }}\n{% endfor %}assistant:"
        qwen = Qwen3Config(**TINY, vocab_size=len(tokenizer), num_key_value_heads=2, head_dim=16)
        return diffusers.ZImagePipeline(
            vae=_autoencoder(16),
            text_encoder=Qwen3Model(qwen),
            tokenizer=tokenizer,
            transformer=diffusers.ZImageTransformer2DModel(
                in_channels=16,
                dim=32,
                n_layers=1,
                n_refiner_layers=1,
                n_heads=2,
                n_kv_heads=2,
                cap_feat_dim=32,
                axes_dims=[4, 4, 8],
                axes_lens=[1024, 64, 64],
            ),
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        )
