"""The family `chat_vlm`: Mistral 3 and LLaVA-NeXT at toy size, BLIP-2, and what is refused while it is loaded."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import (
    BertTokenizer,
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    BlipImageProcessor,
    CLIPImageProcessor,
    FastVlmConfig,
    FastVlmForConditionalGeneration,
    GitConfig,
    GitForCausalLM,
    GitProcessor,
    JanusConfig,
    JanusForConditionalGeneration,
    JanusImageProcessor,
    JanusProcessor,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextImageProcessor,
    LlavaNextProcessor,
    LlavaProcessor,
    Mistral3Config,
    Mistral3ForConditionalGeneration,
    PixtralImageProcessor,
    PixtralProcessor,
    TimmWrapperConfig,
)

from domain.errors import ModelError, ModelUnavailable
from domain.vision import Capability
from tests.workers.models.chat_contract import ChatVlmContract, ask, bare
from tests.workers.models.chat_toys import (
    PATCH,
    SIDE,
    TINY,
    chat_template,
    chat_tokenizer,
    saved_chat,
    text_of,
    vision_of,
)
from tests.workers.models.contract import coloured
from tests.workers.models.toys import spec_of, word_piece
from workers.models import family

pytestmark = pytest.mark.model

SQUARE = {"height": SIDE, "width": SIDE}
CROPPED = {"size": {"shortest_edge": SIDE}, "crop_size": SQUARE}


class TestMistral3(ChatVlmContract):
    """Mistral Small 3.1, whose pictures keep their shape."""

    architecture = "Mistral 3"

    def build(self, folder: Path) -> None:
        signs = ("[IMG]", "[IMG_BREAK]", "[IMG_END]")
        tokenizer = chat_tokenizer(*signs)
        prompts = PixtralProcessor(
            PixtralImageProcessor(size={"longest_edge": 2 * SIDE}, patch_size={"height": PATCH, "width": PATCH}),
            tokenizer,
            patch_size=PATCH,
            spatial_merge_size=2,
            chat_template=chat_template("[IMG]"),
        )
        config = Mistral3Config(
            text_config={"model_type": "mistral", **text_of(tokenizer, head_dim=16)},
            vision_config={"model_type": "pixtral", **vision_of(image_size=2 * SIDE, head_dim=16)},
            image_token_index=tokenizer.convert_tokens_to_ids("[IMG]"),
            spatial_merge_size=2,
        )
        saved_chat(folder, Mistral3ForConditionalGeneration, config, prompts)


class TestFastVlm(ChatVlmContract):
    """FastVLM (Vasu et al. 2025), whose eye is a convolutional network of timm's."""

    architecture = "FastVLM"

    def build(self, folder: Path) -> None:
        tokenizer = chat_tokenizer("<image>")
        prompts = LlavaProcessor(
            CLIPImageProcessor(**CROPPED),
            tokenizer,
            patch_size=PATCH,
            vision_feature_select_strategy="full",
            chat_template=chat_template("<image>\n"),
        )
        eye = {"channels": [8, 8, 16, 32], "output_stride": PATCH}
        config = FastVlmConfig(
            text_config={"model_type": "llama", **text_of(tokenizer)},
            vision_config=TimmWrapperConfig(architecture="resnet18", model_args=eye, hidden_size=32),
            image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        )
        saved_chat(folder, FastVlmForConditionalGeneration, config, prompts)


class TestLlavaNext(ChatVlmContract):
    """LLaVA-NeXT (LLaVA 1.6)."""

    architecture = "LLaVA-NeXT"

    def build(self, folder: Path) -> None:
        tokenizer = chat_tokenizer("<image>")
        pinpoints = [[SIDE, SIDE], [SIDE, 2 * SIDE], [2 * SIDE, SIDE], [2 * SIDE, 2 * SIDE]]
        prompts = LlavaNextProcessor(
            LlavaNextImageProcessor(**CROPPED, image_grid_pinpoints=pinpoints),
            tokenizer,
            patch_size=PATCH,
            vision_feature_select_strategy="default",
            num_additional_image_tokens=1,
            chat_template=chat_template("<image>\n"),
        )
        config = LlavaNextConfig(
            text_config={"model_type": "llama", **text_of(tokenizer)},
            vision_config={"model_type": "clip_vision_model", **vision_of()},
            image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
            image_grid_pinpoints=pinpoints,
            image_seq_length=(SIDE // PATCH) ** 2,
        )
        saved_chat(folder, LlavaNextForConditionalGeneration, config, prompts)


def save_blip2(folder: Path) -> None:
    tokenizer = chat_tokenizer("<image>")
    prompts = Blip2Processor(BlipImageProcessor(size=SQUARE), tokenizer, num_query_tokens=4)
    config = Blip2Config(
        vision_config=vision_of(),
        qformer_config={**TINY, "encoder_hidden_size": 32, "cross_attention_frequency": 1},
        text_config={"model_type": "opt", **text_of(tokenizer), "ffn_dim": 64, "word_embed_proj_dim": 32},
        num_query_tokens=4,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    saved_chat(folder, Blip2ForConditionalGeneration, config, prompts)


def save_janus(folder: Path) -> None:
    signs = {"image_token": "<image>", "boi_token": "<begin>", "eoi_token": "<end>"}
    tokenizer = chat_tokenizer(named=signs)
    images = JanusImageProcessor(size=SQUARE, min_size=PATCH)
    prompts = JanusProcessor(images, tokenizer, chat_template=chat_template("<image>"))
    prompts.num_image_tokens = (SIDE // PATCH) ** 2
    drawing = {
        "embed_dim": 8, "num_embeddings": 16, "latent_channels": 32, "base_channels": 32, "channel_multiplier": [1, 1],
        "num_res_blocks": 1, "num_patches": 4, "image_token_embed_dim": 32, "projection_dim": 32,
        "num_hidden_layers": 2, "double_latent": False,
    }  # fmt: skip
    config = JanusConfig(
        text_config={"model_type": "llama", **text_of(tokenizer)},
        vision_config=vision_of(projection_dim=32, num_image_tokens=(SIDE // PATCH) ** 2, depth=2, mlp_ratio=2),
        vq_config=drawing,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )
    saved_chat(folder, JanusForConditionalGeneration, config, prompts)


def save_git(folder: Path) -> None:
    torch.manual_seed(0)
    tokenizer = BertTokenizer(vocab=word_piece().get_vocab())
    GitForCausalLM(GitConfig(vision_config=vision_of(), **TINY, vocab_size=len(tokenizer))).save_pretrained(folder)
    GitProcessor(CLIPImageProcessor(**CROPPED), tokenizer).save_pretrained(folder)


def test_a_model_that_puts_the_picture_first_by_itself_is_asked_about_one(tmp_path: Path) -> None:
    # given BLIP-2, whose processor writes the picture's signs
    save_blip2(tmp_path)
    model = family.load(spec_of(tmp_path, "chat_vlm", (Capability.ASK,), options={"threads": 1, "max_new_tokens": 5}))

    # when it is asked about pictures, freely and with options
    calls = [ask(coloured(40, 64, seed)) for seed in range(3)]
    free = [bare(answer) for answer in model.run([model.prepare(call) for call in calls])]
    (closed,) = model.run([model.prepare(ask(coloured(40, 64, 0), options=("yes", "no")))])

    # then the picture decides, and a second one in a question is refused
    assert len({answer.score for answer in free}) == len(calls)
    assert sorted(label.name for label in bare(closed).options) == ["no", "yes"]
    with pytest.raises(ModelError, match="one picture at a time, not at 2"):
        model.prepare(ask(coloured(40, 64, 0), coloured(40, 64, 1)))
    model.close()


@pytest.mark.parametrize(
    ("build", "reason"),
    [(save_git, "GitForCausalLM cannot be asked about a picture"), (save_janus, "JanusForConditionalGeneration lets")],
    ids=["no place for a picture", "probabilities kept to itself"],
)
def test_an_architecture_that_cannot_be_asked_is_refused_while_loading_with_what_to_use(
    tmp_path: Path, build: Callable[[Path], None], reason: str
) -> None:
    build(tmp_path)

    with pytest.raises(ModelUnavailable, match=f"'toy': a {reason}.*`remote_vlm`"):
        family.load(spec_of(tmp_path, "chat_vlm", (Capability.ASK,)))
