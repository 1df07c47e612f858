"""The family `chat_vlm`: answers by a schema, from random weights that would write anything else."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from domain.errors import ModelError
from domain.schemas import closed, parsed
from tests.workers.models import test_chat_vlm as rows
from tests.workers.models import test_chat_vlm_idefics as idefics_rows
from tests.workers.models.chat_contract import ask, bare
from tests.workers.models.contract import coloured
from tests.workers.models.test_chat_vlm_asking import WIDE, loaded, say

pytestmark = pytest.mark.model

FLAW = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["dent", "scratch, deep", "été", 7, None]},
        "sides": {"type": "array", "items": {"enum": ["left", "right"]}, "minItems": 1, "maxItems": 2},
        "count": {"type": "integer", "minimum": -3, "maximum": 120},
    },
    "required": ["kind", "sides"],
}
SCHEMAS: dict[str, dict[str, Any]] = {
    "boolean": {"type": "boolean"},
    "number": {"type": "integer", "exclusiveMinimum": 0, "maximum": 4000},
    "text": {"type": "string", "minLength": 2, "maxLength": 6},
    "flaw": FLAW,
    "plate": {
        "type": "object",
        "properties": {
            "flaws": {"type": "array", "items": {"$ref": "#/$defs/flaw"}, "maxItems": 2},
            "sound": {"type": "boolean"},
            "label": {"anyOf": [{"type": "string", "maxLength": 4}, {"type": "null"}]},
        },
        "required": ["flaws", "sound", "label"],
        "$defs": {"flaw": FLAW},
    },
}
ROOM: Any = {"max_new_tokens": 300, "schema_prompt": "{}"}
"""All fit, and prompts that do not tell the schema have one length."""


@pytest.fixture(scope="module", params=[rows.TestQwen2Vl, rows.TestPaliGemma, idefics_rows.TestIdefics])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint: of each way in which prompts are made."""
    path = tmp_path_factory.mktemp("chat")
    request.param().build(path)
    return path


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("qwen")
    rows.TestQwen2Vl().build(path)
    return path


@pytest.mark.parametrize("name", SCHEMAS)
def test_what_random_weights_write_by_a_schema_is_json_of_it(folder: Path, name: str) -> None:
    schema = closed(SCHEMAS[name])
    model = loaded(folder, **ROOM)

    for seed in range(3):
        (answer,) = model.run([model.prepare(ask(coloured(40, 64, seed), schema=schema))])

        parsed(bare(answer).text, schema)
        assert 0 < bare(answer).score <= 1


def test_calls_of_all_schemas_and_of_none_share_a_batch_and_are_answered_as_alone(folder: Path) -> None:
    model = loaded(folder, **ROOM)
    wanted = [None, *map(closed, SCHEMAS.values()), None, closed(SCHEMAS["flaw"])]
    prepared = [model.prepare(ask(coloured(40, 64, seed), schema=schema)) for seed, schema in enumerate(wanted)]

    together = [bare(answer) for answer in model.run(prepared)]

    assert len({one.group for one in prepared}) == 1
    alone = [bare(model.run([one])[0]) for one in prepared]
    assert [answer.text for answer in together] == [answer.text for answer in alone]
    assert [answer.score for answer in together] == pytest.approx([answer.score for answer in alone], abs=1e-4)
    for schema, answer in zip(wanted, together, strict=True):
        if schema is not None:
            parsed(answer.text, schema)


def test_answers_drawn_by_chance_keep_to_the_schema_too(qwen: Path) -> None:
    schema = closed(SCHEMAS["plate"])
    texts = set()

    for seed in range(4):
        model = loaded(qwen, **ROOM, temperature_sampling=3.0, seed=seed)
        texts.add(bare(model.run([model.prepare(ask(WIDE, schema=schema))])[0]).text)

    assert len(texts) == 4
    assert all(parsed(text, schema) for text in texts)


def test_the_score_is_of_what_the_schema_left_to_choose_from(qwen: Path) -> None:
    model: Any = loaded(qwen, **ROOM)
    free, held = (model.prepare(ask(WIDE, schema=schema)) for schema in (None, closed({"enum": ["a", "b"]})))

    answer = bare(model.run([held])[0])

    letters = model._tokenizer('"ab', add_special_tokens=False)["input_ids"]
    with torch.inference_mode():
        ids = torch.cat([free.payload.inputs["input_ids"][0], torch.tensor(letters[:1])])[None]
        inputs = {**free.payload.inputs, "input_ids": ids, "attention_mask": torch.ones_like(ids)}
        inputs["mm_token_type_ids"] = torch.cat([inputs["mm_token_type_ids"], torch.zeros(1, 1, dtype=torch.long)], 1)
        logits = model.network(**inputs).logits[0, -1]
    choice = torch.softmax(logits[letters[1:]], dim=0).max().item()
    # the quotes and the sign of the end are certain; of four tokens one was chosen
    assert answer.score == pytest.approx(choice ** (1 / 4), abs=1e-4)


def test_the_schema_is_told_and_its_braces_are_no_places(qwen: Path) -> None:
    schema = closed({"type": "object", "properties": {"{}": {"type": "null"}, "{options}": {"type": "null"}}})

    told, own = (
        model.prepare(ask(WIDE, question="is it {schema}?", schema=schema)).prompt
        for model in (loaded(qwen), loaded(qwen, schema_prompt="{schema} {}"))
    )

    said = json.dumps(schema, ensure_ascii=False)
    assert f"is it {{schema}}?\nAnswer with JSON alone, by this schema: {said}<|im_end|>" in told
    assert f"{said} is it {{schema}}?<|im_end|>" in own


def test_a_text_of_the_schema_cannot_speak_as_the_template_does(qwen: Path) -> None:
    with pytest.raises(ModelError, match="a sign of its own"):
        loaded(qwen).prepare(ask(WIDE, schema=closed({"enum": ["<|im_end|>"]})))


def test_a_model_without_a_sign_for_the_end_says_that_it_cannot_keep_to_a_schema(tmp_path: Path) -> None:
    rows.TestQwen2Vl().build(tmp_path)
    for name in ("generation_config.json", "tokenizer_config.json"):
        config = json.loads((tmp_path / name).read_text())
        config.pop("eos_token_id", None)
        config["eos_token"] = None
        (tmp_path / name).write_text(json.dumps(config))

    with pytest.raises(ModelError, match="no sign for the end"):
        loaded(tmp_path).prepare(ask(WIDE, schema=closed({"type": "null"})))


def test_a_model_that_would_rather_talk_gives_json_all_the_same(tmp_path: Path) -> None:
    rows.TestQwen2Vl().build(tmp_path)
    say(tmp_path, "two of them.")
    model = loaded(tmp_path, **ROOM)
    schema = closed(SCHEMAS["flaw"])

    free, held = model.run([model.prepare(ask(WIDE)), model.prepare(ask(WIDE, schema=schema))])

    assert bare(free).text == "two of them."
    parsed(bare(held).text, schema)
