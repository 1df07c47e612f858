"""The family `vqa_head`: ViLT and BLIP at toy size, with random weights."""

import json
import math
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from transformers import (
    BlipConfig,
    BlipForQuestionAnswering,
    BlipImageProcessor,
    ViltConfig,
    ViltForQuestionAnswering,
    ViltImageProcessor,
)

from domain.errors import ModelError, ModelUnavailable
from domain.vision import Answer, Capability
from tests.workers.models.contract import coloured, grey
from tests.workers.models.toys import saved, spec_of
from tests.workers.models.vqa_contract import (
    NAMES,
    SIDE,
    TINY,
    HeadContract,
    VqaContract,
    bare,
    revision,
    words,
)
from workers.modelling.asking import LONGEST, framed
from workers.models import family
from workers.models.family import Model, ScoreKind
from workers.registry import ModelSpec

pytestmark = pytest.mark.model


class TestVilt(HeadContract):
    architecture = "ViLT"
    # Its processor keeps the aspect: what shares a batch has nearly the same.
    sizes = ((40, 64), (80, 128), (20, 32), (41, 64))

    def build(self, folder: Path) -> None:
        config = ViltConfig(**TINY, **NAMES, vocab_size=300, image_size=SIDE, patch_size=8)
        images = ViltImageProcessor(size={"shortest_edge": SIDE}, size_divisor=8)
        saved(folder, lambda: ViltForQuestionAnswering(config), words(), images)

    def test_a_bound_on_its_patches_does_not_make_answers_a_matter_of_luck(
        self, spec: ModelSpec, tmp_path: Path
    ) -> None:
        for file in spec.path.iterdir():
            (tmp_path / file.name).write_bytes(file.read_bytes())
        told = json.loads((tmp_path / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps({**told, "max_image_length": 3}))
        model = family.load(spec.model_copy(update={"source": str(tmp_path), "revision": revision(tmp_path)}))

        first, second = (self.answer(model, self.asks()[0]) for _ in range(2))

        assert first == second
        model.close()

    def test_it_leaves_the_random_numbers_of_others_alone(self, model: Model) -> None:
        torch.manual_seed(7)
        before = torch.random.get_rng_state()

        self.answer(model, self.asks()[0])

        assert torch.equal(torch.random.get_rng_state(), before)


class TestBlip(VqaContract):
    architecture = "BLIP"
    options: ClassVar[dict[str, Any]] = {"max_new_tokens": 12}

    def build(self, folder: Path) -> None:
        tokenizer = words("[DEC]")
        ids = {"bos_token_id": 5, "sep_token_id": 3, "eos_token_id": 2, "pad_token_id": 0}
        text = {**TINY, **ids, "vocab_size": len(tokenizer)}
        vision = {**TINY, "image_size": SIDE, "patch_size": 16}
        del vision["max_position_embeddings"]
        config = BlipConfig(text_config=text, vision_config=vision)
        images = BlipImageProcessor(size={"height": SIDE, "width": SIDE})
        saved(folder, lambda: BlipForQuestionAnswering(config), tokenizer, images)

    def test_an_answer_is_written_with_its_probability(self, model: Model) -> None:
        # given an answer of its own
        ask = self.asks()[0]
        prepared = model.prepare(ask)
        told = bare(model.run([prepared])[0])

        # when the decoder is asked how probable it is to write that
        network = model.network  # type: ignore[attr-defined]
        with torch.inference_mode():
            written = network.generate(**prepared.payload.inputs, max_new_tokens=12)
            states = model.states(prepared.payload.inputs)  # type: ignore[attr-defined]
            logits = network.text_decoder(input_ids=written, encoder_hidden_states=states).logits

        # then it is as probable as was said
        logs = torch.log_softmax(logits[0, :-1], dim=-1).gather(1, written[0, 1:, None]).sum()
        assert told.text == model._tokenizer.decode(written[0], skip_special_tokens=True)  # type: ignore[attr-defined]
        assert told.text
        assert model.scores == ScoreKind.SEQUENCE
        assert told.score == pytest.approx(math.exp(float(logs)), rel=1e-3, abs=0)

    def test_options_are_ranked_by_how_probable_the_decoder_finds_them(self, model: Model) -> None:
        pixels = coloured(40, 40, 2)
        own = self.answer(model, self.asked(pixels, "where is the cat ?")).text

        told = self.answer(model, self.asked(pixels, "where is the cat ?", ("zebra of the sea", own)))

        assert told.text == own

    def test_an_option_that_is_too_long_is_refused(self, model: Model) -> None:
        with pytest.raises(ModelError, match="longer than this model can write"):
            model.prepare(self.asked(coloured(9, 9, 0), "is it?", ("the cat " * 30,)))

    def test_generation_ends_where_nobody_wants_the_answer(self, model: Model) -> None:
        steps: list[int] = []
        prepared = [model.prepare(ask) for ask in self.asks()]

        def stop_after_three(*_: Any) -> None:
            steps.append(1)
            if len(steps) == 3:
                for one in prepared:
                    one.stopped.set()

        hook = model.network.text_decoder.register_forward_hook(stop_after_three)  # type: ignore[attr-defined]
        model.run(prepared)
        hook.remove()

        assert len(steps) == 3

    def test_a_call_that_nobody_wants_is_not_ranked(self, model: Model) -> None:
        prepared = model.prepare(self.ask_of(coloured(40, 40, 1)))
        prepared.stopped.set()

        assert bare(model.run([prepared])[0]) == Answer(text="")


def test_only_pictures_much_longer_than_wide_get_borders() -> None:
    for height, width in ((1, 1), (40, 64), (10, 80)):
        assert framed(grey(height, width)).shape == (height, width, 3)
    for height, width in ((1, 700), (700, 1), (3, 2000)):
        pixels = grey(height, width)
        tall, wide = framed(pixels).shape[:2]
        assert max(tall, wide) == max(height, width)
        assert max(tall, wide) <= LONGEST * min(tall, wide)
        assert int(framed(pixels).astype(np.int64).sum()) == int(pixels.astype(np.int64).sum())


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    (tmp_path / "model.safetensors").write_bytes(b"")

    with pytest.raises(ModelUnavailable, match="'clip' is none of vilt, visual_bert, lxmert, blip"):
        family.load(spec_of(tmp_path, "vqa_head", (Capability.ASK,)))
