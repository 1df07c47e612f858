"""What `transformers serve` cannot be made to do: servers that hang, refuse, break off, or answer with anything."""

import base64
import gc
import io
import json
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from domain.errors import ModelError, ModelUnavailable
from domain.vision import Answer, Capability
from tests.workers.models.contract import coloured, grey
from tests.workers.models.scripted import Reply, Scripted, completion, position, scripted
from workers.models import family
from workers.models.family import Ask, Model, Prepared, ScoreKind, Told
from workers.registry import ModelSpec

pytestmark = [pytest.mark.model, pytest.mark.fault]

KEY = "sk-of-the-server"


@pytest.fixture
def server() -> Iterator[Scripted]:
    with scripted() as server:
        yield server


@pytest.fixture
def load() -> Iterator[Callable[..., Model]]:
    loaded: list[Model] = []

    def loading(url: str, call_limit_s: float = 60, **options: Any) -> Model:
        loaded.append(family.load(_spec(url, call_limit_s=call_limit_s, options={"timeout_s": 5, **options})))
        return loaded[-1]

    yield loading
    for model in loaded:
        model.close()


def _spec(url: str, **fields: Any) -> ModelSpec:
    told = {
        "name": "toy",
        "family": "remote_vlm",
        "capabilities": (Capability.ASK,),
        "source": url,
        "revision": "served:org/model",
        "licence": "none",
    }
    return ModelSpec.model_validate({**told, **fields})


def _prepared(model: Model, question: str = "is it?", options: Sequence[str] = (), side: int = 40) -> Prepared:
    return model.prepare(
        Ask(Capability.ASK, (coloured(side, side, 1),), {"question": question, "options": tuple(options)})
    )


def _asked(model: Model, *options: str) -> Any:
    return model.run([_prepared(model, options=options)])[0]


AT_ONCE = {"retry-after-ms": "1"}


class TestAServerInTrouble:
    def test_one_that_is_not_there_can_be_tried_again_later(self, load: Callable[..., Model], server: Scripted) -> None:
        model = load("http://127.0.0.1:9/v1", retries=0)

        with pytest.raises(ModelUnavailable, match="cannot be reached") as refused:
            _asked(model)

        assert refused.value.retryable

    @pytest.mark.parametrize("status", [408, 429, 500, 503])
    def test_one_that_is_busy_is_asked_again(self, load: Callable[..., Model], server: Scripted, status: int) -> None:
        server.says = lambda number, _: (
            Reply(status, "busy", headers=AT_ONCE) if number < 2 else Reply(body=completion("yes"))
        )

        assert _asked(load(server.url, retries=2)).value.text == "yes"
        assert len(server.requests) == 3

    @pytest.mark.parametrize("status", [408, 429, 500, 503])
    def test_one_that_stays_busy_is_unavailable(
        self, load: Callable[..., Model], server: Scripted, status: int
    ) -> None:
        server.says = lambda _, __: Reply(status, '{"error": {"message": "too many cats"}}', headers=AT_ONCE)

        with pytest.raises(ModelUnavailable, match="too many cats"):
            _asked(load(server.url, retries=1))

        assert len(server.requests) == 2

    @pytest.mark.parametrize("status", [400, 413, 422])
    def test_a_refusal_is_final_and_in_the_servers_words(
        self, load: Callable[..., Model], server: Scripted, status: int
    ) -> None:
        server.says = lambda _, __: Reply(status, '{"error": {"message": "no cats here"}}')

        with pytest.raises(ModelError, match="no cats here"):
            _asked(load(server.url))

        assert len(server.requests) == 1

    @pytest.mark.parametrize("status", [301, 401, 403, 404])
    def test_a_wrong_key_address_or_model_is_no_fault_of_the_jobs_input(
        self, load: Callable[..., Model], server: Scripted, status: int
    ) -> None:
        server.says = lambda _, __: Reply(status, '{"error": {"message": "who are you?"}}')

        with pytest.raises(ModelUnavailable, match="who are you"):
            _asked(load(server.url))

        assert len(server.requests) == 1

    def test_one_that_hangs_is_left(self, load: Callable[..., Model], server: Scripted) -> None:
        server.says = lambda _, __: Reply(wait=30)
        began = time.monotonic()

        with pytest.raises(ModelUnavailable, match="timed out"):
            _asked(load(server.url, timeout_s=0.2, retries=1))

        assert len(server.requests) == 2
        assert time.monotonic() - began < 10

    def test_a_call_ends_before_the_watchdog_would_end_the_process(
        self, load: Callable[..., Model], server: Scripted
    ) -> None:
        server.says = lambda _, __: Reply(wait=30)

        with pytest.raises(ModelUnavailable, match=r"no answer within 0.45 s"):
            _asked(load(server.url, call_limit_s=0.5))

    def test_an_answer_that_breaks_off_can_be_asked_for_again(
        self, load: Callable[..., Model], server: Scripted
    ) -> None:
        server.says = lambda _, __: Reply(body=completion("yes")[:30], of=500)

        with pytest.raises(ModelUnavailable, match="cannot be reached"):
            _asked(load(server.url, retries=0))

    @pytest.mark.parametrize(
        "body",
        [
            "",
            "<html>",
            "[]",
            "{}",
            '{"choices": []}',
            '{"choices": [{}]}',
            '{"choices": [{"message": {"content": 7}}]}',
            completion("yes")[:-3],
            completion("yes", [{"token": "yes"}]),
            completion("yes", [{"token": "yes", "logprob": math.nan}]),
            completion(None, message={"refusal": "not that"}),
            completion(None, finish_reason="length"),
            "\x00" * 99,
        ],
    )
    def test_an_answer_that_is_no_completion_is_refused(
        self, load: Callable[..., Model], server: Scripted, body: str
    ) -> None:
        server.says = lambda _, __: Reply(body=body)

        with pytest.raises(ModelError, match=r"no completion|no text"):
            _asked(load(server.url))

    def test_pictures_do_not_follow_a_redirect(self, load: Callable[..., Model], server: Scripted) -> None:
        server.says = lambda _, __: Reply(307, headers={"Location": f"{server.url}/elsewhere"})

        with pytest.raises(ModelUnavailable, match="307"):
            _asked(load(server.url))

        assert len(server.requests) == 1


class TestManyCalls:
    def test_a_batch_goes_out_at_once_up_to_the_limit(self, load: Callable[..., Model], server: Scripted) -> None:
        server.says = lambda _, body: Reply(body=completion(body["messages"][0]["content"][-1]["text"]), wait=0.3)
        model = load(server.url, concurrency=3)
        prepared = [_prepared(model, f"question {number}") for number in range(9)]

        answers = model.run(prepared)

        assert [answer.value.text for answer in answers] == [f"question {number}" for number in range(9)]
        assert server.most_in_flight == 3

    def test_what_was_answered_is_not_asked_again_when_another_of_its_batch_fails(
        self, load: Callable[..., Model], server: Scripted
    ) -> None:
        server.says = lambda _, body: Reply(400, "bad") if "bad" in json.dumps(body) else Reply(body=completion("yes"))
        model = load(server.url)
        bad, *good = [_prepared(model, question) for question in ("bad", "good", "good")]

        with pytest.raises(ModelError):
            model.run([bad, *good])
        with pytest.raises(ModelError):
            model.run([bad])
        answers = model.run(good)

        assert [answer.value.text for answer in answers] == ["yes", "yes"]
        assert len(server.requests) == 3

    def test_a_call_that_nobody_wants_any_more_is_dropped_and_the_server_hears_of_it(
        self, load: Callable[..., Model], server: Scripted, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.says = lambda number, _: Reply(body=completion("yes"), wait=30 if number == 0 else 0)
        model = load(server.url, concurrency=1, timeout_s=30)
        stopped, wanted = _prepared(model), _prepared(model)
        threading.Timer(0.3, stopped.stopped.set).start()
        began = time.monotonic()

        answers = model.run([stopped, wanted])

        assert answers[0] is None
        assert answers[1].value.text == "yes"
        assert server.left.wait(5)
        assert time.monotonic() - began < 10
        gc.collect()
        assert not [record for record in caplog.records if record.name == "asyncio"]

    def test_closing_leaves_no_thread_and_drops_what_is_under_way(
        self, load: Callable[..., Model], server: Scripted
    ) -> None:
        server.says = lambda _, __: Reply(wait=30)
        model = load(server.url)
        prepared = _prepared(model)
        with ThreadPoolExecutor() as caller:
            answer = caller.submit(model.run, [prepared])
            while not server.requests:
                time.sleep(0.01)

            model.close()

            assert isinstance(answer.exception(timeout=5), CancelledError)
        assert not [thread for thread in threading.enumerate() if thread.name == "server-org/model"]
        with pytest.raises(ModelUnavailable, match="was closed"):
            _asked(model)


class TestWhatIsSent:
    def test_the_key_comes_from_its_file_and_is_told_to_nobody_else(
        self, load: Callable[..., Model], server: Scripted, tmp_path: Path
    ) -> None:
        (tmp_path / "key").write_text(f"{KEY}\n")
        server.says = lambda _, __: Reply(401, f'{{"error": "{KEY} is unknown"}}')

        with pytest.raises(ModelUnavailable, match="unknown") as refused:
            _asked(load(server.url, key_file=str(tmp_path / "key")))

        assert server.headers[0]["authorization"] == f"Bearer {KEY}"
        assert KEY not in str(refused.value)

    def test_a_request_asks_for_the_likeliest_answer_of_that_model(
        self, load: Callable[..., Model], server: Scripted
    ) -> None:
        _asked(load(server.url, max_new_tokens=7))
        (sent,) = server.requests

        assert (sent["model"], sent["temperature"], sent["max_tokens"]) == ("org/model", 0, 7)
        assert sent["logprobs"] is True
        assert "top_logprobs" not in sent

    def test_a_server_that_refuses_to_tell_probabilities_is_not_asked_for_them(
        self, load: Callable[..., Model], server: Scripted
    ) -> None:
        model = load(server.url, logprobs=False)

        assert model.scores == ScoreKind.NONE
        assert _asked(model) == Answer(text="yes")
        assert _asked(model, "yes", "no") == Answer(text="yes")
        assert all("logprobs" not in sent and "top_logprobs" not in sent for sent in server.requests)

    @pytest.mark.parametrize(
        ("size", "sent"), [((50, 40), (50, 40)), ((1, 1), (32, 32)), ((300, 600), (50, 100)), ((3, 2000), (32, 100))]
    )
    def test_a_picture_is_sent_as_it_is_unless_it_is_too_large_or_too_small(
        self, load: Callable[..., Model], server: Scripted, size: tuple[int, int], sent: tuple[int, int]
    ) -> None:
        pixels = coloured(*size, 1)
        model = load(server.url, longest_side=100)

        model.run([model.prepare(Ask(Capability.CAPTION, (pixels,)))])

        url = server.requests[0]["messages"][0]["content"][0]["image_url"]["url"]
        received = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/png;base64,")))))
        assert received.shape == (*sent, 3)
        assert size != sent or np.array_equal(received, pixels)

    def test_examples_are_turns_before_the_question_and_answered_as_it_should_be(
        self, load: Callable[..., Model], server: Scripted
    ) -> None:
        server.says = lambda _, __: Reply(body=completion("B"))
        model = load(server.url)
        examples = ((0, "is it a cat?", "yes"), (1, "is it a car?", "perhaps"))
        arguments = {"question": "is it a dog?", "options": ("yes", "no"), "examples": examples}
        pictures = tuple(coloured(40, 40, seed) for seed in range(4))

        told = model.run([model.prepare(Ask(Capability.ASK, pictures, arguments))])[0]

        messages = server.requests[0]["messages"]
        assert told.value.text == "no"
        assert [message["role"] for message in messages] == ["user", "assistant", "user", "assistant", "user"]
        assert [message["content"] for message in messages[1::2]] == ["A", "perhaps"]
        assert [len(message["content"]) for message in messages[::2]] == [2, 2, 3]
        assert len({json.dumps(part) for message in messages[::2] for part in message["content"][:-1]}) == 4

    @pytest.mark.parametrize(
        ("capability", "arguments", "pictures"),
        [
            (Capability.ASK, {"question": " "}, 1),
            (Capability.ASK, {"question": "x"}, 0),
            (Capability.ASK, {"question": "x", "options": ("a", "A ")}, 1),
            (Capability.ASK, {"question": "x", "options": ("a", "")}, 1),
            (Capability.ASK, {"question": "x", "examples": ((0, "x", "y"),)}, 1),
            (Capability.ASK, {"question": "x", "examples": ((2, "x", "y"),)}, 2),
            (Capability.CAPTION, {}, 2),
            (Capability.GROUND, {"phrases": ("x",)}, 1),
        ],
    )
    def test_what_cannot_be_asked_is_refused_before_it_is_sent(
        self, load: Callable[..., Model], capability: Capability, arguments: dict[str, Any], pictures: int
    ) -> None:
        model = load("http://127.0.0.1:9/v1")

        with pytest.raises(ModelError):
            model.prepare(Ask(capability, (grey(9, 9),) * pictures, arguments))


class TestScores:
    def test_a_texts_score_is_the_geometric_mean_of_its_tokens(
        self, load: Callable[..., Model], server: Scripted
    ) -> None:
        server.says = lambda _, __: Reply(body=completion("a cat", [position("a", a=0.5), position("cat", cat=0.125)]))

        answer = _asked(load(server.url))

        assert answer.score == pytest.approx(0.25)

    @pytest.mark.parametrize(("temperature", "shares"), [(1, (0.75, 0.25, 0)), (0.5, (0.9, 0.1, 0))])
    def test_an_options_score_is_its_letters_share(
        self, load: Callable[..., Model], server: Scripted, temperature: float, shares: tuple[float, ...]
    ) -> None:
        spread = position("B", B=0.4, A=0.2, **{" b": 0.2, "The": 0.1})
        server.says = lambda _, __: Reply(body=completion("B.", [spread, position(".", **{".": 1.0})]))

        told = _asked(load(server.url, temperature=temperature), "cat", "dog", "car")

        assert isinstance(told, Told)
        assert [(label.name, label.score) for label in told.value.options] == [
            (name, pytest.approx(share)) for name, share in zip(("dog", "cat", "car"), shares, strict=True)
        ]
        assert (told.value.text, told.value.score) == ("dog", told.value.options[0].score)
        assert (told.remarks, told.scores) == ({}, ScoreKind.SOFTMAX)
        assert server.requests[0]["top_logprobs"] == 20

    def test_a_letter_that_is_an_option_stands_for_no_other(self, load: Callable[..., Model], server: Scripted) -> None:
        server.says = lambda _, __: Reply(body=completion("A"))

        assert _asked(load(server.url), "B", "A").value.text == "A"
        assert "C. B\nD. A" in server.requests[0]["messages"][0]["content"][-1]["text"]

    def test_more_options_than_letters_are_numbered_and_have_no_scores(
        self, load: Callable[..., Model], server: Scripted
    ) -> None:
        server.says = lambda _, __: Reply(body=completion("14", [position("1", **{"1": 1.0})]))

        told = _asked(load(server.url), *(f"kind {number}" for number in range(40)))

        assert told.value == Answer(text="kind 39")
        assert "top_logprobs" not in server.requests[0]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"source": "hub:org/model"}, "no base URL"),
        ({"source": "http://"}, "no base URL"),
        ({"source": "http://me:secret@127.0.0.1:9/v1"}, "key_file"),
        ({"revision": "0123456789abcdef"}, "cannot be pinned"),
        ({"options": {"model": "another"}}, "cannot be pinned"),
        ({"options": {"retries": -1}}, "retries"),
        ({"options": {"api_key": KEY}}, "api_key"),
        ({"options": {"key_file": "/nowhere/at/all"}}, "cannot be read"),
        ({"options": {"boxes": "internvl"}}, "`boxes` is one of"),
        ({"capabilities": (Capability.GROUND,)}, "`boxes` is one of"),
        ({"capabilities": (Capability.ASK, Capability.DETECT)}, "cannot detect"),
    ],
)
def test_a_row_that_cannot_be_served_says_why(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(ModelUnavailable, match=why) as refused:
        family.load(_spec(fields.get("source", "http://127.0.0.1:9/v1"), **fields))

    assert KEY not in str(refused.value)


def test_an_empty_key_file_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(" \n")

    with pytest.raises(ModelUnavailable, match="holds no key"):
        family.load(_spec("http://127.0.0.1:9/v1", options={"key_file": str(tmp_path / "key")}))
