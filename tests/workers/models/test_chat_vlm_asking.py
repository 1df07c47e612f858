"""The family `chat_vlm`: what its options do, how boxes are read, and what it refuses."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from domain.errors import ModelError, ModelUnavailable
from domain.vision import Capability
from tests.workers.models import test_chat_vlm as rows
from tests.workers.models import test_chat_vlm_idefics as idefics_rows
from tests.workers.models.chat_contract import TOLERANCE, ask, bare
from tests.workers.models.contract import coloured, grey
from tests.workers.models.toys import spec_of
from workers.imaging.boxes_in_text import BoxFormat
from workers.modelling.decoding import beginnings
from workers.modelling.prompts import shown
from workers.modelling.wording import GROUND_PROMPTS
from workers.models import family
from workers.models.family import Ask, Model, Told

pytestmark = pytest.mark.model

Build = Callable[[Path], None]
LONG, WIDE = coloured(40, 80, 1), coloured(40, 64, 2)


def loaded(path: Path, *capabilities: Capability, **options: Any) -> Model:
    """Load what was built in a folder."""
    return family.load(spec_of(path, "chat_vlm", capabilities or (Capability.ASK,), options={"threads": 1, **options}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of Qwen2-VL."""
    path = tmp_path_factory.mktemp("qwen")
    rows.TestQwen2Vl().build(path)
    return path


@pytest.fixture(scope="module")
def flamingo(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model of Idefics."""
    path = tmp_path_factory.mktemp("idefics")
    idefics_rows.TestIdefics().build(path)
    return loaded(path, max_new_tokens=4)


def say(path: Path, text: str) -> None:
    """Let a checkpoint write a text whatever it is asked: each beginning of it calls for the next token."""
    tokenizer = AutoTokenizer.from_pretrained(path)
    ids = [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    config = json.loads((path / "generation_config.json").read_text())
    config["sequence_bias"] = [[ids[: end + 1], 100 * 1.6**end] for end in range(len(ids))]
    (path / "generation_config.json").write_text(json.dumps(config))


def qwen_boxes(key: str, scale_x: float, scale_y: float) -> str:
    """Return JSON of a good box, one of another label and one out of order."""
    told = [("a cat", (0.25, 0.5, 0.5, 1)), ("a dog", (0, 0, 1, 1)), ("a cat", (0.5, 0, 0.25, 1))]
    return json.dumps(
        [
            {key: [round(x0 * scale_x), round(y0 * scale_y), round(x1 * scale_x), round(y1 * scale_y)], "label": label}
            for label, (x0, y0, x1, y1) in told
        ]
    )


SAID: list[tuple[Build, str, str]] = [
    # 40 × 80 pixels are shown to the toy as 32 × 64
    (rows.TestQwen25Vl().build, "qwen-pixels", qwen_boxes("bbox_2d", 64, 32)),
    (rows.TestQwen3Vl().build, "qwen", qwen_boxes("bbox_2d", 1000, 1000)),
    (
        rows.TestPaliGemma().build,
        "paligemma",
        "<loc0512><loc0256><loc1023><loc0512> a cat ; <loc0000><loc0000><loc1023><loc1023> a dog ; <loc0100> a cat",
    ),
    (
        rows.TestInternVl().build,
        "internvl",
        "<ref>a cat</ref><box>[[250, 500, 500, 1000], [500, 0, 250, 1000]]</box>"
        "<ref>a dog</ref><box>[[0, 0, 9, 9]]</box>",
    ),
]


@pytest.mark.parametrize(("build", "boxes", "text"), SAID, ids=[boxes for _, boxes, _ in SAID])
def test_boxes_that_a_model_writes_are_found_in_the_pictures_own_pixels(
    build: Build, boxes: str, text: str, tmp_path: Path
) -> None:
    build(tmp_path)
    say(tmp_path, text)
    model = loaded(tmp_path, Capability.GROUND, boxes=boxes, max_new_tokens=200)
    prepared = model.prepare(Ask(Capability.GROUND, (LONG,), {"phrases": ("A cat", "a car"), "min_score": 0.5}))

    (answer,) = model.run([prepared])

    assert isinstance(answer, Told)
    ((found),) = answer.value
    assert found.phrase == "A cat"
    assert found.box.xyxy == pytest.approx((20, 20, 40, 40), abs=0.1)
    assert found.score == pytest.approx(1)
    assert answer.remarks == {"dropped_boxes": 1, "boxes_of_other_labels": 1}


def test_a_least_score_that_is_none_is_refused_before_anything_is_written(folder: Path) -> None:
    model = loaded(folder, Capability.GROUND, boxes="qwen")

    with pytest.raises(ModelError, match="min_score"):
        model.prepare(Ask(Capability.GROUND, (LONG,), {"phrases": ("a cat",), "min_score": 2}))


def test_an_only_phrase_gets_the_boxes_of_every_label(tmp_path: Path) -> None:
    rows.TestQwen3Vl().build(tmp_path)
    say(tmp_path, qwen_boxes("bbox_2d", 1000, 1000))
    model = loaded(tmp_path, Capability.GROUND, boxes="qwen", max_new_tokens=200)

    (answer,) = model.run([model.prepare(Ask(Capability.GROUND, (LONG,), {"phrases": ("the animal",)}))])

    assert [found.phrase for found in answer.value] == ["the animal", "the animal"]
    assert answer.remarks == {"dropped_boxes": 1}


def test_an_answer_that_ended_by_itself_bears_no_remark(tmp_path: Path) -> None:
    rows.TestQwen2Vl().build(tmp_path)
    say(tmp_path, "two of them.")
    model = loaded(tmp_path)

    (answer,) = model.run([model.prepare(ask(LONG))])

    assert answer.text == "two of them."
    assert answer.score == pytest.approx(1)


def test_an_option_that_begins_another_is_told_from_it_by_the_end(folder: Path) -> None:
    model: Any = loaded(folder)
    prepared = model.prepare(ask(WIDE, options=("a red", "a red car", "no")))

    (answer,) = model.run([prepared])

    (_, longer, _), ends = prepared.payload.choices, {way[-1] for (way,) in prepared.payload.choices}
    assert ends == {2}
    alone = {label.name: label.score for label in bare(answer).options}
    sums = [
        rows.TestQwen2Vl().log_probabilities(model, prepared, torch.tensor(way)).sum()
        for (way,) in prepared.payload.choices
    ]
    assert len(longer[0]) > 3
    assert [alone[name] for name in ("a red", "a red car", "no")] == pytest.approx(
        torch.softmax(torch.stack(sums), dim=0).tolist(), abs=TOLERANCE
    )


def test_only_prompts_of_one_length_share_a_batch(folder: Path) -> None:
    model = loaded(folder)
    one, alike, longer = (model.prepare(ask(WIDE, question=text)) for text in ("is it 1?", "is it 2?", "is it 1 QJX?"))

    lengths = [len(call.payload.inputs["input_ids"][0]) for call in (one, alike, longer)]
    assert lengths[0] == lengths[1] != lengths[2]
    assert one.group == alike.group != longer.group


def test_a_question_of_many_options_is_answered_a_few_rows_at_a_time_as_at_once(folder: Path) -> None:
    options = tuple(f"{color} car {number}" for color in ("red", "blue", "old") for number in range(22))
    few, many = (
        family.load(spec_of(folder, "chat_vlm", (Capability.ASK,), options={"threads": 1}, max_batch=most))
        for most in (8, 1000)
    )
    calls = [few.prepare(ask(coloured(40, 64, seed), options=options)) for seed in range(2)]

    with _rows_seen(few) as some, _rows_seen(many) as all_at_once:
        answers, told = ([bare(answer) for answer in model.run(calls)] for model in (few, many))

    assert max(some) == 8
    assert len(beginnings(calls[0].payload.ways)) * 2 == max(all_at_once) > 8
    for answer, other in zip(answers, told, strict=True):
        shares = {label.name: label.score for label in other.options}
        assert {label.name: label.score for label in answer.options} == pytest.approx(shares, abs=TOLERANCE)
        assert answer.text == other.text


@contextmanager
def _rows_seen(model: Any) -> Iterator[list[int]]:
    """Yield what gets the number of rows of each pass through the network."""
    rows: list[int] = []
    hook = model.network.register_forward_hook(lambda *told: rows.append(told[-1].logits.shape[0]))
    try:
        yield rows
    finally:
        hook.remove()


def test_an_option_follows_the_prompt_as_a_tokenizer_would_have_it(folder: Path, flamingo: Model) -> None:
    for model, text in ((loaded(folder), "yes"), (flamingo, " yes")):  # after a line's end, and after "Answer:"
        ((way,), _) = model.prepare(ask(WIDE, options=("yes", "no"))).payload.choices

        assert model._tokenizer.decode(way) == text  # type: ignore[attr-defined]


def test_a_temperature_flattens_the_shares(folder: Path) -> None:
    question = ask(WIDE, options=("yes", "no"))

    sharp, flat = (
        bare(model.run([model.prepare(question)])[0]) for model in (loaded(folder), loaded(folder, temperature=50.0))
    )

    assert sharp.text == flat.text
    assert 0.5 <= flat.score < min(sharp.score, 0.6)


def test_sampling_depends_on_the_seed_and_not_on_the_company(folder: Path) -> None:
    hot: Any = {"temperature_sampling": 2.0, "max_new_tokens": 6}
    model, other = loaded(folder, **hot, seed=1), loaded(folder, **hot, seed=2)
    calls = [model.prepare(ask(coloured(40, 64, seed))) for seed in range(3)]

    together = [bare(answer).text for answer in model.run(calls)]

    assert together == [bare(model.run([call])[0]).text for call in calls]
    assert together != [bare(answer).text for answer in other.run(calls)]
    assert together != [bare(answer).text for answer in loaded(folder, max_new_tokens=6).run(calls)]


def test_prompts_are_worded_by_the_profile(folder: Path) -> None:
    model = loaded(
        folder,
        system="You read plates.",
        ask_prompt="Q: {}",
        choose_prompt="{} ({options})",
        caption_prompt="caption en",
        boxes="gemma",
        ground_prompt="find {}!",
    )
    prompts = [
        model.prepare(one).prompt or ""
        for one in (
            ask(WIDE, question="is it {options}?"),
            ask(WIDE, question="is it?", options=("yes", "no")),
            Ask(Capability.CAPTION, (WIDE,)),
            Ask(Capability.GROUND, (WIDE,), {"phrases": ("a cat", "a dog")}),
        )
    ]

    for prompt, text in zip(
        prompts, ("Q: is it {options}?", "is it? (yes, no)", "caption en", "find a cat, a dog!"), strict=True
    ):
        assert f"{rows.QWEN_PICTURE}{text}<|im_end|>" in prompt
        assert "You read plates." in prompt


def test_a_table_of_arguments_reaches_the_template(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    template = tmp_path / "chat_template.jinja"
    template.write_text(template.read_text() + "{% if not enable_thinking %}Answer: {% endif %}")

    model = loaded(tmp_path, template={"enable_thinking": False})

    assert str(model.prepare(ask(WIDE)).prompt).endswith("Answer: ")


def test_every_format_of_boxes_has_a_prompt_with_room_for_the_phrases() -> None:
    assert set(GROUND_PROMPTS) == set(BoxFormat)
    assert all(prompt.count("{}") == 1 for prompt in GROUND_PROMPTS.values())


def test_idefics_is_shown_pictures_and_texts_in_turn(flamingo: Model) -> None:
    prepared = flamingo.prepare(ask(WIDE, LONG, question="is it?", examples=((0, "where?", "here"),)))

    assert prepared.prompt == "<image>Question: where? Answer: here\n<image>Question: is it? Answer:"


def test_an_address_in_a_question_to_idefics_is_no_picture_to_fetch(flamingo: Model) -> None:
    for text in ("http://127.0.0.1:9/cat.png", "file:///etc/hostname", "//127.0.0.1:9/"):
        prepared = flamingo.prepare(ask(WIDE, question=text))

        assert prepared.prompt is not None
        assert text in prepared.prompt
        assert prepared.payload.inputs["pixel_values"].shape[1] == 1


def test_jobs_prepare_side_by_side(flamingo: Model) -> None:
    asks = [
        ask(coloured(40, 64, seed), question=f"is it {seed}?", options=("yes", "no") if seed % 2 else ())
        for seed in range(60)
    ]

    with ThreadPoolExecutor(8) as pool:
        beside = list(pool.map(flamingo.prepare, asks))

    for one, other in zip(beside, map(flamingo.prepare, asks), strict=True):
        assert one.group == other.group
        assert all(torch.equal(tensor, other.payload.inputs[name]) for name, tensor in one.payload.inputs.items())


WRONG: list[tuple[Ask, str]] = [
    (ask(question="is it?"), "a picture of its own"),
    (ask(WIDE, question=" "), "need a word"),
    (ask(WIDE, options=("yes", "")), "need a word"),
    (ask(WIDE, options=("yes", "yes")), "given twice"),
    (ask(WIDE, examples=((0, "is it?", "yes"),)), "a picture of its own"),
    (ask(WIDE, WIDE, examples=((2, "is it?", "yes"),)), "not among the 2 given"),
    (ask(WIDE, WIDE, examples=((-1, "is it?", "yes"),)), "not among the 2 given"),
    (ask(np.zeros((4, 4), dtype=np.uint8)), "HxWx3"),
    (Ask(Capability.CAPTION, (WIDE, WIDE)), "one picture, not 2"),
    (Ask(Capability.GROUND, (WIDE,), {"phrases": ("a cat",)}), "cannot ground"),
    (Ask(Capability.DRAFT, (WIDE,), {"instruction": ""}), "need a word"),
]


@pytest.mark.parametrize(("asked", "told"), WRONG, ids=[told for _, told in WRONG])
def test_what_cannot_be_answered_is_refused_while_preparing(folder: Path, asked: Ask, told: str) -> None:
    model = loaded(folder)

    with pytest.raises(ModelError, match=told):
        model.prepare(asked)


def test_a_blank_phrase_is_refused(folder: Path) -> None:
    model = loaded(folder, boxes="qwen")

    with pytest.raises(ModelError, match="a phrase needs a word"):
        model.prepare(Ask(Capability.GROUND, (WIDE,), {"phrases": ("a cat", " ")}))


def test_a_prompt_must_leave_room_for_the_answer_in_the_models_positions(folder: Path) -> None:
    model = loaded(folder, max_prompt=100_000, max_new_tokens=96)

    with pytest.raises(ModelError, match=r"more than 4000;"):
        model.prepare(ask(WIDE, question="is it? " * 4000))


def test_what_a_template_refuses_is_a_models_error(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    template = tmp_path / "chat_template.jinja"
    strict = "{% if messages | length > 1 %}{{ raise_exception('One turn alone') }}{% endif %}"
    template.write_text(strict + template.read_text())
    model = loaded(tmp_path)

    with pytest.raises(ModelError, match="One turn alone"):
        model.prepare(ask(WIDE, LONG, examples=((0, "is it?", "yes"),)))


def test_a_template_that_refuses_everything_is_told_while_loading(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "chat_template.jinja").write_text("{{ raise_exception('System role not supported') }}")

    with pytest.raises(ModelUnavailable, match="System role not supported"):
        loaded(tmp_path)


@pytest.mark.parametrize(
    ("capability", "options", "told"),
    [
        (Capability.ASK, {"max_new_tokens": 0}, "max_new_tokens"),
        (Capability.ASK, {"boxes": "round"}, "boxes"),
        (Capability.ASK, {"temperature": -1}, "temperature"),
        (Capability.ASK, {"max_promt": 9}, "max_promt"),
        (Capability.GROUND, {}, "needs the option `boxes`"),
    ],
)
def test_options_that_make_no_sense_are_told_while_loading(
    folder: Path, capability: Capability, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(ModelUnavailable, match=told):
        loaded(folder, capability, **options)


def test_a_picture_is_shown_no_larger_than_said_no_narrower_than_one_to_fifty_and_no_tiny_one_as_it_is() -> None:
    assert shown(grey(480, 640), 1_000_000).size == (640, 480)
    assert shown(grey(480, 640), 76_800).size == (320, 240)
    assert shown(grey(1, 700), 1_000_000).size == (2100, 42)
    assert shown(grey(700, 1), 1_000_000).size == (42, 2100)
    assert shown(grey(3, 5), 1_000_000).size == (55, 33)
