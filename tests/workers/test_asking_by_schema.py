"""`Vision.ask` with a schema: what comes back is JSON of it, whichever model answers, or an error that says why not."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from domain.errors import InvalidRequest, ModelError
from domain.vision import Answer, Capability
from storage.claims import ClaimedJob
from tests.workers.models import test_chat_vlm as rows
from tests.workers.models.contract import coloured
from tests.workers.models.scripted import Reply, Scripted, completion, scripted
from tests.workers.models.toys import spec_of
from workers.device import Device
from workers.models import family
from workers.models.family import Model
from workers.registry import ModelSpec, Profile, Registry
from workers.residency import Residency
from workers.vision import JobVision

pytestmark = pytest.mark.model

SCHEMA = {
    "type": "object",
    "properties": {
        "benches": {"type": "integer", "minimum": 0, "maximum": 50},
        "colours": {"type": "array", "items": {"enum": ["red", "green"]}, "maxItems": 2},
    },
    "required": ["benches"],
}


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("qwen")
    rows.TestQwen2Vl().build(path)
    return path


@pytest.fixture
def residency() -> Iterator[Residency]:
    device = Device("test", guard=lambda _jobs, _limit: nullcontext(), died=lambda reason: None)
    models: list[Model] = []

    def loader(spec: ModelSpec) -> Callable[[ModelSpec], Model]:
        load = family.loader(spec)
        return lambda told: models.append(load(told)) or models[-1]

    yield Residency(lambda name: device, loader)
    device.close()
    for model in models:
        model.close()


@pytest.fixture
def server() -> Iterator[Scripted]:
    with scripted() as server:
        yield server


def near(path: Path, **options: Any) -> ModelSpec:
    return spec_of(path, "chat_vlm", (Capability.ASK,), options={"threads": 1, **options})


def far(server: Scripted) -> ModelSpec:
    told = {"source": server.url, "revision": "served:org/model", "licence": "none", "options": {"timeout_s": 5}}
    return ModelSpec(name="far", family="remote_vlm", capabilities=(Capability.ASK,), **told)


def ask(residency: Residency, spec: ModelSpec, schema: Any = SCHEMA, options: Sequence[str] = ()) -> Answer:
    job = ClaimedJob(uuid4(), 1, "acme", "vision", "standard", {}, (), 0, suspect=False, deadline_in_s=None)
    vision = JobVision(job, 1, math.inf, Registry(Profile(models=(spec,))), residency, lambda: None)
    picture = vision.picture("0", coloured(40, 64, 1))
    return vision.ask([picture], "how many?", options=options, schema=schema, model=spec.name)


def test_an_application_reads_the_answer_as_json(residency: Residency, qwen: Path) -> None:
    answer = ask(residency, near(qwen))

    assert 0 <= json.loads(answer.text)["benches"] <= 50


def test_an_answer_that_was_cut_is_a_models_error_that_says_so(residency: Residency, qwen: Path) -> None:
    with pytest.raises(ModelError, match=r"it is no JSON: .*; cut_off_at_tokens: 4; a cut answer needs more"):
        ask(residency, near(qwen, max_new_tokens=4))


def test_what_no_model_is_held_to_is_refused_before_a_model_is_asked(residency: Residency, server: Scripted) -> None:
    for schema, options, told in (
        ({"type": "anything"}, (), "schema.type is one of"),
        (SCHEMA, ("yes", "no"), "options or a schema of its answer, not both"),
    ):
        with pytest.raises(InvalidRequest, match=told):
            ask(residency, far(server), schema, options)
    assert not server.requests


def test_a_far_model_is_told_the_schema_in_words_and_as_the_servers_format(
    residency: Residency, server: Scripted
) -> None:
    server.says = lambda _, __: Reply(body=completion('{"colours": ["red"], "benches": 3}'))

    answer = ask(residency, far(server))

    assert json.loads(answer.text) == {"colours": ["red"], "benches": 3}
    (request,) = server.requests
    wanted = request["response_format"]["json_schema"]
    assert request["response_format"]["type"] == "json_schema"
    assert wanted["schema"] == {**SCHEMA, "additionalProperties": False}
    assert request["messages"][-1]["content"][-1]["text"].endswith(json.dumps(wanted["schema"]))


@pytest.mark.parametrize(
    ("text", "told"),
    [("There are three.", "it is no JSON"), ('{"benches": 300}', r"it\.benches is not within maximum 50")],
)
def test_a_far_model_that_heeds_no_schema_is_a_models_error(
    residency: Residency, server: Scripted, text: str, told: str
) -> None:
    server.says = lambda _, __: Reply(body=completion(text))

    with pytest.raises(ModelError, match=told):
        ask(residency, far(server))


def test_a_far_answer_that_was_cut_is_told_so(residency: Residency, server: Scripted) -> None:
    server.says = lambda _, __: Reply(body=completion('{"benches": 3', finish_reason="length"))

    with pytest.raises(ModelError, match="cut_after_tokens: 128"):
        ask(residency, far(server))


def test_a_question_without_a_schema_asks_the_server_for_no_format(residency: Residency, server: Scripted) -> None:
    assert ask(residency, far(server), schema=None).text == "yes"

    assert "response_format" not in server.requests[0]
