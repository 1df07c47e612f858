"""The family `florence`: the architecture at toy size, taught a few answers by heart."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from transformers import AutoProcessor, CLIPImageProcessor

from domain.errors import ModelError, ModelUnavailable
from domain.geometry import Box
from domain.vision import Answer, Capability, Detection, Grounding, Prompt, Segment, TextRegion
from tests.workers.models.architectures import ArchitectureContract
from tests.workers.models.contract import coloured
from tests.workers.models.florence_toys import PLACES, POSITIONS, SIDE, built, places
from tests.workers.models.toys import spec_of
from workers.imaging.masks import decode
from workers.models import family
from workers.models.family import Ask, Model, Pixels, Told
from workers.registry import ModelSpec

pytestmark = pytest.mark.model

CAPTION = "a photo of a cat and a dog in front of the old house"
ANSWERS = {
    "What does the image describe?": CAPTION,
    "Locate the objects with category name in the image.": (
        f"cat{places(100, 200, 600, 700)}red car{places(0, 0, 999, 500)}dog{places(9, 9, 5, 5, 1)}"
    ),
    "What is the text in the image, with regions?": (
        f"A B{places(100, 100, 500, 100, 500, 300, 100, 300)}yes{places(0, 900, 900, 900, 900, 999, 0, 999)}"
        f"no{places(7, 7, 7, 7, 7, 7, 7, 7)}x{places(3, 3)}"
    ),
    "Locate the phrases in the caption: the scratch": f"the scratch{places(10, 20, 30, 400)}",
    "Locate the phrases in the caption: a hole": f"a hole{places(500, 500, 600, 600, 700, 0, 800, 900)}",
    "Locate the plate in the image with mask": places(200, 200, 800, 200, 800, 800, 200, 800),
    "What is the polygon mask of region <loc_0><loc_0><loc_500><loc_500>": places(0, 0, 500, 0, 0, 500),
    "Tell me: how many benches are there?": "two",
}


BY_LIGHT = {"Tell me: is it dark or bright?": ("dark", "bright")}


class FlorenceContract(ArchitectureContract):
    """What every row of the family must hold to."""

    family = "florence"
    capabilities = (
        Capability.CAPTION,
        Capability.ASK,
        Capability.DETECT,
        Capability.GROUND,
        Capability.SEGMENT,
        Capability.READ,
    )
    options: ClassVar = {"ask_prompt": "Tell me: {}", "max_new_tokens": 64}

    def asks(self) -> Sequence[Ask]:
        """See FamilyContract."""
        sizes = ((40, 64), (64, 40), (34, 32), (120, 50), (60, 60), (20, 90), (50, 50), (30, 40))
        pictures = [coloured(*size, seed) for seed, size in enumerate(sizes)]
        told: list[tuple[Capability, dict[str, Any]]] = [
            (Capability.CAPTION, {}),
            (Capability.ASK, {"question": "how many benches are there?", "options": ()}),
            (Capability.DETECT, {}),
            (Capability.GROUND, {"phrases": ("the scratch", "a hole")}),
            (Capability.GROUND, {"phrases": ()}),
            (Capability.SEGMENT, {"prompt": Prompt(phrase="the plate")}),
            (Capability.SEGMENT, {"prompt": Prompt(boxes=(Box(x0=-3, y0=0, x1=25, y1=25),))}),
            (Capability.READ, {}),
        ]
        return [
            Ask(capability, (pixels,), arguments)
            for pixels, (capability, arguments) in zip(pictures, told, strict=True)
        ]

    def ask_of(self, pixels: Pixels) -> Ask:
        """See FamilyContract."""
        return Ask(Capability.DETECT, (pixels,), {"min_score": 0.5})

    def check(self, ask: Ask, answer: Any) -> None:
        """See FamilyContract."""
        value = answer.value if isinstance(answer, Told) else answer
        height, width = ask.pictures[0].shape[:2]
        kinds = {
            Capability.CAPTION: str, Capability.ASK: Answer, Capability.DETECT: Detection,
            Capability.GROUND: Grounding, Capability.SEGMENT: Segment, Capability.READ: TextRegion,
        }  # fmt: skip
        for one in value if isinstance(value, tuple) else (value,):
            assert isinstance(one, kinds[ask.capability])
            if isinstance(one, Segment):
                assert (one.mask.height, one.mask.width) == (height, width)
            elif isinstance(one, Detection | Grounding | TextRegion):
                box = one.quad.box if isinstance(one, TextRegion) else one.box
                assert 0 <= box.x0 < box.x1 <= width
                assert 0 <= box.y0 < box.y1 <= height

    def same(self, one: Any, other: Any) -> bool:
        """See FamilyContract: what is generated is the same, to the letter."""
        return bool(one == other)

    def answered(self, model: Model, capability: Capability, pixels: Pixels, **arguments: Any) -> tuple[Any, Any]:
        """Return an answer and its remarks."""
        (answer,) = model.run([model.prepare(Ask(capability, (pixels,), arguments))])
        return (answer.value, answer.remarks) if isinstance(answer, Told) else (answer, {})


class TestFlorence2(FlorenceContract):
    architecture = "Florence-2"

    def build(self, folder: Path) -> None:
        built(folder, ANSWERS, BY_LIGHT)

    def test_a_question_of_a_batch_is_answered_by_its_own_picture(self, model: Model) -> None:
        # given one question about dark and bright pictures
        pictures = [np.full((40, 60, 3), shade, dtype=np.uint8) for shade in (10, 240, 20, 230)]
        asks = [Ask(Capability.ASK, (each,), {"question": "is it dark or bright?", "options": ()}) for each in pictures]
        # when they are asked together, among others, then each is answered as it looks
        answers = model.run([model.prepare(ask) for ask in (*self.asks(), *asks)])
        assert [answer.text for answer in answers[-len(asks) :]] == ["dark", "bright", "dark", "bright"]

    def test_a_picture_is_captioned(self, model: Model) -> None:
        assert self.answered(model, Capability.CAPTION, coloured(40, 60, 1)) == (CAPTION, {})

    def test_objects_are_detected_and_what_makes_no_box_is_told(self, model: Model) -> None:
        found, remarks = self.answered(model, Capability.DETECT, coloured(40, 60, 1))

        assert [one.label for one in found] == ["cat", "red car"]
        assert found[0].box.xyxy == pytest.approx((6.03, 8.02, 36.03, 28.02))
        assert remarks == {"dropped_boxes": 2}  # one the wrong way round, one unfinished

    def test_boxes_are_those_of_the_architectures_own_forward_pass(self, model: Model, spec: ModelSpec) -> None:
        pixels = coloured(400, 600, 1)
        processor = AutoProcessor.from_pretrained(spec.path)
        seen = processor(text="<OD>", images=pixels, return_tensors="pt")

        found, _ = self.answered(model, Capability.DETECT, pixels)

        with torch.inference_mode():
            ids = model.network.generate(**seen, max_new_tokens=64)  # type: ignore[attr-defined]
        text = processor.batch_decode(ids, skip_special_tokens=False)[0]
        told = processor.post_process_generation(text=text, task="<OD>", image_size=(600, 400))["<OD>"]
        for one, box in zip(found, told["bboxes"], strict=False):
            assert one.box.xyxy == pytest.approx(box, abs=1)

    def test_phrases_are_grounded_each_by_itself(self, model: Model) -> None:
        found, remarks = self.answered(
            model, Capability.GROUND, coloured(100, 200, 1), phrases=("a hole", "the scratch"), min_score=0.2
        )

        assert [one.phrase for one in found] == ["a hole", "a hole", "the scratch"]
        assert found[2].box.xyxy == pytest.approx((2.1, 2.05, 6.1, 40.05))
        assert remarks == {}

    def test_a_phrase_is_segmented_inside_its_polygon(self, model: Model) -> None:
        (segment,), remarks = self.answered(
            model, Capability.SEGMENT, coloured(100, 200, 1), prompt=Prompt(phrase="the plate")
        )

        bits = decode(segment.mask)
        assert bits[25:75, 45:155].all()
        assert not bits[:18].any()
        assert not bits[82:].any()
        assert segment.mask.area == pytest.approx(60 * 120, rel=0.05)
        assert remarks == {}

    def test_a_box_is_segmented_by_the_polygon_of_its_region(self, model: Model) -> None:
        prompt = Prompt(boxes=(Box(x0=0, y0=0, x1=100, y1=50),), phrase="the plate")

        (corner, plate), _ = self.answered(model, Capability.SEGMENT, coloured(100, 200, 1), prompt=prompt)

        assert corner.mask.area == pytest.approx(100 * 50 / 2, rel=0.05)
        assert plate.mask.area > corner.mask.area

    def test_text_is_read_where_it_stands(self, model: Model) -> None:
        lines, remarks = self.answered(model, Capability.READ, coloured(100, 200, 1))

        assert [line.text for line in lines] == ["A B", "yes"]
        assert lines[0].quad.points == pytest.approx(
            np.array([(20.1, 10.05), (100.1, 10.05), (100.1, 30.05), (20.1, 30.05)])
        )
        assert remarks == {"dropped_lines": 2}  # one of no area, one unfinished

    def test_a_question_is_answered_where_the_checkpoint_learned_to(self, model: Model, spec: ModelSpec) -> None:
        asked = Ask(Capability.ASK, (coloured(40, 40, 1),), {"question": "how many benches are there?"})

        (answer,) = model.run([model.prepare(asked)])

        assert answer == Answer(text="two")
        for closed in ({"options": ("yes", "no")}, {"schema": {"type": "boolean"}}):
            with pytest.raises(ModelError, match="cannot weigh options, nor answer by a schema"):
                model.prepare(Ask(Capability.ASK, asked.pictures, {"question": "is it?", **closed}))
        with pytest.raises(ModelError, match="no task to ask"):
            family.load(spec.model_copy(update={"options": {}, "capabilities": (Capability.CAPTION,)})).prepare(asked)

    @pytest.mark.parametrize("sign", ["<image>", "<loc_5>", "</s>", "<OD>"])
    def test_a_phrase_with_a_sign_of_the_models_own_is_refused(self, model: Model, sign: str) -> None:
        with pytest.raises(ModelError, match=sign):
            model.prepare(Ask(Capability.GROUND, (coloured(40, 40, 1),), {"phrases": ("a cat", f"a {sign} dog")}))

    @pytest.mark.parametrize(
        ("prompt", "reason"),
        [
            (Prompt(points=((3, 3),)), "no points"),
            (Prompt(), "no points"),
            (Prompt(phrase=" "), "needs a word"),
            (Prompt(boxes=(Box(x0=50, y0=0, x1=60, y1=9),)), "covers nothing"),
        ],
    )
    def test_prompts_that_show_nothing_are_refused(self, model: Model, prompt: Prompt, reason: str) -> None:
        with pytest.raises(ModelError, match=reason):
            model.prepare(Ask(Capability.SEGMENT, (coloured(40, 40, 1),), {"prompt": prompt}))

    def test_a_phrase_that_is_too_long_is_cut_and_said_to_be(self, model: Model) -> None:
        prepared = model.prepare(Ask(Capability.GROUND, (coloured(40, 40, 1),), {"phrases": ("xyz " * 200, "a hole")}))

        (answer,) = model.run([prepared])

        assert POSITIONS - 8 < len(prepared.payload.rows[0].ids) <= POSITIONS
        assert answer.remarks["cut_phrases"] == 1
        assert [one.phrase for one in answer.value[-2:]] == ["a hole", "a hole"]

    def test_an_answer_that_had_to_end_is_said_to_be_cut(self, spec: ModelSpec) -> None:
        short = family.load(spec.model_copy(update={"options": {**spec.options, "max_new_tokens": 6}}))

        caption, remarks = self.answered(short, Capability.CAPTION, coloured(40, 60, 1))

        assert caption
        assert CAPTION.startswith(caption)
        assert remarks == {"cut_answers": 1}

    def test_a_call_that_nobody_wants_ends_between_two_tokens(self, model: Model) -> None:
        prepared = [model.prepare(Ask(Capability.CAPTION, (coloured(40, 60, seed),))) for seed in (1, 2)]
        steps: list[int] = []

        def step(*_: Any) -> None:
            steps.append(1)
            if len(steps) == 4:
                prepared[0].stopped.set()
            if len(steps) == 8:
                prepared[1].stopped.set()

        decoder = model.network.model.language_model.decoder  # type: ignore[attr-defined]
        handle = decoder.register_forward_hook(step)
        first, second = (answer.value for answer in model.run(prepared))
        handle.remove()

        assert len(steps) == 8
        assert CAPTION.startswith(second)
        assert 0 < len(first) < len(second) < len(CAPTION)

    def test_with_beams_company_makes_no_difference_either(self, spec: ModelSpec) -> None:
        model = family.load(spec.model_copy(update={"options": {**spec.options, "beams": 2}}))
        prepared = [model.prepare(ask) for ask in self.asks()[:4]]

        together = model.run(prepared)

        assert list(together) == [model.run([one])[0] for one in prepared]

    @pytest.mark.parametrize(
        "options",
        [{"caption": "<OD>"}, {"ask_prompt": "<VQA>"}, {"beams": 0}, {"beams": 1.5}, {"max_new_tokens": -1}],
        ids=str,
    )
    def test_options_that_mean_nothing_are_refused(self, spec: ModelSpec, options: dict[str, Any]) -> None:
        with pytest.raises(ModelUnavailable, match=next(iter(options))):
            family.load(spec.model_copy(update={"options": options}))

    def test_a_processor_that_crops_is_refused(self, spec: ModelSpec, tmp_path: Path) -> None:
        shutil.copytree(spec.path, tmp_path, dirs_exist_ok=True)
        own = AutoProcessor.from_pretrained(tmp_path)
        own.image_processor = CLIPImageProcessor(size={"shortest_edge": SIDE}, image_seq_length=PLACES)
        own.save_pretrained(tmp_path)

        with pytest.raises(ModelUnavailable, match="squeeze"):
            family.load(spec_of(tmp_path, "florence", self.capabilities, options=self.options))
