"""Toy vision-language models behind a real server of chat completions, `transformers serve`, in its own process."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transformers import (
    GenerationConfig,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessor,
    Idefics3Processor,
    PreTrainedTokenizerFast,
)

from tests.workers.models.toys import byte_level, saved

SIDE = 32
ENDS = ("<|begin|>", "<|end|>")
MARKS = ("<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>")
TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}<end_of_utterance>\n"
    "{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"
)


def toy(folder: Path, says: str = "") -> str:
    """Save an Idefics3 with random weights, as a hub would hold it, and return its name for the server.

    With `says` its generation is biased so that it says that text and ends, whatever it is asked.
    """
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=byte_level(*ENDS, *MARKS), bos_token=ENDS[0], eos_token=ENDS[1], pad_token=ENDS[1]
    )
    images = Idefics3ImageProcessor(
        size={"longest_edge": SIDE}, max_image_size={"longest_edge": SIDE}, do_image_splitting=False
    )
    processor = Idefics3Processor(images, tokenizer, image_seq_len=(SIDE // 8) ** 2 // 4, chat_template=TEMPLATE)
    image, end = (tokenizer.convert_tokens_to_ids(token) for token in ("<image>", ENDS[1]))
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = Idefics3Config(
        text_config={
            **sizes,
            "model_type": "llama",
            "vocab_size": len(tokenizer),
            "num_key_value_heads": 2,
            "max_position_embeddings": 4096,
            "pad_token_id": end,
            "bos_token_id": 0,
            "eos_token_id": end,
        },
        vision_config={**sizes, "image_size": SIDE, "patch_size": 8},
        image_token_id=image,
        scale_factor=2,
        pad_token_id=end,
    )
    saved(folder, lambda: Idefics3ForConditionalGeneration(config), processor)
    ids = [*tokenizer(says, add_special_tokens=False).input_ids, end] if says else []
    # What continues the text outweighs what begins it.
    bias = [[ids[: last + 1], 100.0 * (last + 1)] for last in range(len(ids))]
    GenerationConfig(eos_token_id=end, pad_token_id=end, do_sample=False, sequence_bias=bias or None).save_pretrained(
        folder
    )
    return str(folder)


@contextmanager
def serving(log: Path) -> Iterator[str]:
    """Run the server, and give its base URL. Nothing is fetched from anywhere."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("transformers")), "serve", "--device", "cpu"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    with log.open("wb") as out:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)], env=environment, stdout=out, stderr=out
        )
    try:
        _until_ready(f"http://127.0.0.1:{port}/health", server, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.kill()
        server.wait()


def _until_ready(url: str, server: subprocess.Popen[bytes], log: Path, limit_s: float = 90) -> None:
    until = time.monotonic() + limit_s
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"`transformers serve` does not come up: {log.read_text()[-2000:]}")
