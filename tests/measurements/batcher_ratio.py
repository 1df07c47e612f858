"""What the batcher costs: `python -m tests.measurements.batcher_ratio [FOLDER]`.

Two models with random weights, for time does not depend on what they learned: an encoder of about 7 ms for a picture on
one thread (CLIP's architecture, 3 layers of 192 at 224 px), and a small generative one (LLaVA's, 9 million parameters,
16 tokens an answer). `sightline bench models` measures both, the encoder with several limits of the batch and compiled.
"""

import subprocess
import sys
from pathlib import Path

from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from tests.workers.models.chat_toys import chat_template, chat_tokenizer, saved_chat, text_of
from tests.workers.models.toys import byte_level, saved
from workers.hub import digest

SIDE, PATCH = 224, 16
ROW = """
[[models]]
name = "{name}"
family = "{family}"
capabilities = ["{capability}"]
source = "{source}"
revision = "{revision}"
licence = "none"
max_batch = {max_batch}
options = {options}
"""


def encoder(folder: Path) -> None:
    """Save the encoder."""
    ends = ("<|startoftext|>", "<|endoftext|>")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=byte_level(*ends, ends=ends), bos_token=ends[0], eos_token=ends[1], pad_token=ends[1]
    )
    tower = {"hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 3, "num_attention_heads": 3}
    text = {**tower, "num_hidden_layers": 2, "vocab_size": len(tokenizer), "eos_token_id": 1, "bos_token_id": 0}
    config = CLIPConfig(text_config=text, vision_config={**tower, "image_size": SIDE, "patch_size": PATCH})
    images = CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    saved(folder, lambda: CLIPModel(config), tokenizer, images)


def generative(folder: Path) -> None:
    """Save the generative model."""
    tokenizer = chat_tokenizer("<image>")
    tower = {"hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 4, "num_attention_heads": 3}
    text = text_of(tokenizer, hidden_size=256, intermediate_size=1024, num_hidden_layers=6, num_attention_heads=4)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**tower, image_size=SIDE // 2, patch_size=PATCH),
        text_config=LlamaConfig(**{**text, "num_key_value_heads": 4, "eos_token_id": None}),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_select_strategy="default",
    )
    sizes = {"size": {"shortest_edge": SIDE // 2}, "crop_size": {"height": SIDE // 2, "width": SIDE // 2}}
    prompts = LlavaProcessor(
        CLIPImageProcessor(**sizes),
        tokenizer,
        patch_size=PATCH,
        num_additional_image_tokens=1,
        vision_feature_select_strategy="default",
        chat_template=chat_template("<image>"),
    )
    saved_chat(folder, LlavaForConditionalGeneration, config, prompts)


def main() -> int:
    """Build both, measure both."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "bench-output")
    rows = []
    one_thread, short = "{ threads = 1 }", "{ threads = 1, max_new_tokens = 16 }"
    compiled = '{ threads = 1, compile = "default" }'
    for name, build, family, capability, most, options in (
        ("encoder-1", encoder, "dual_encoder", "embed", 1, one_thread),
        ("encoder-4", encoder, "dual_encoder", "embed", 4, one_thread),
        ("encoder-16", encoder, "dual_encoder", "embed", 16, one_thread),
        ("encoder-compiled", encoder, "dual_encoder", "embed", 4, compiled),
        ("generative", generative, "chat_vlm", "ask", 8, short),
    ):
        source = folder / build.__name__
        if not source.exists():
            build(source)
        told = {"source": source.resolve(), "revision": digest(source), "max_batch": most, "options": options}
        rows.append(ROW.format(name=name, family=family, capability=capability, **told))
    profile = folder / "models.toml"
    profile.write_text("".join(rows))
    command = [sys.executable, "-m", "sightline", "bench", "models", "--profile", str(profile), "--out", str(folder)]
    return subprocess.run([*command, "--rounds", "5", "--seconds", "3"], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
