"""Chat models that learn: each architecture at toy size."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from domain.errors import InvalidRequest, ModelUnavailable
from domain.vision import Capability
from tests.workers.models import test_chat_vlm, test_chat_vlm_gemma, test_chat_vlm_idefics, test_chat_vlm_others
from tests.workers.models.chat_contract import bare
from tests.workers.models.contract import coloured
from tests.workers.models.toys import spec_of
from tests.workers.training.learners.sets import goes_through_the_loop, measured, parts_of, pictures, taught
from workers.models import family
from workers.models.family import Ask
from workers.training import starting
from workers.training.learners import chat_vlm as learning
from workers.training.learners.learner import Options
from workers.training.sets.splitting import Parts

pytestmark = pytest.mark.model


def _rows(*modules: ModuleType) -> list[Any]:
    return [row for module in modules for name, row in vars(module).items() if name.startswith("Test")]


ROWS = _rows(test_chat_vlm, test_chat_vlm_gemma, test_chat_vlm_idefics, test_chat_vlm_others)
SMOL, QWEN = test_chat_vlm_idefics.TestSmolVlm, test_chat_vlm.TestQwen2Vl
QUESTIONS = ("which ?", "which colour is it ?")


@pytest.fixture
def parts(tmp_path: Path) -> Parts[Any]:
    """Questions of two lengths about colours."""
    return parts_of(
        tmp_path,
        [
            {"image": name, "question": QUESTIONS[index % 3 // 2], "answer": colour}
            for index, (name, colour) in enumerate(pictures(tmp_path, 48))
        ],
    )


@pytest.mark.parametrize("lora", ["no", "yes"])
@pytest.mark.parametrize("row", [SMOL, QWEN], ids=lambda row: row.architecture)
def test_what_it_learnt_is_what_is_served(row: Any, lora: str, parts: Parts[Any], tmp_path: Path) -> None:
    # given a network that writes at random
    learner: Any = learning.learner(parts, _options(row, tmp_path, lora=lora))
    before = measured(learner)

    # when it learns, then it answers about pictures that it has not seen
    losses = taught(learner, 60, rate=3e-3 if lora == "no" else 1e-2)
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
    assert before < 0.5 < 0.75 <= measured(learner)

    # then the checkpoint that it saves is served, and answers as the network did
    asks = [Ask(Capability.ASK, (coloured(40, 64, seed),), {"question": "which ?"}) for seed in range(3)]
    own = [bare(learner._model.run([learner._model.prepare(ask)])[0]) for ask in asks]
    learner.save(tmp_path / "saved")
    model = family.load(spec_of(tmp_path / "saved", "chat_vlm", learner.capabilities, options=learner.served))
    for ask, same in zip(asks, own, strict=True):
        told = bare(model.run([model.prepare(ask)])[0])
        assert told.text == same.text
        assert told.score == pytest.approx(same.score, abs=0.03)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.architecture)
def test_every_architecture_reads_an_answer_as_it_writes_it_alone_and_in_company(
    row: Any, parts: Parts[Any], tmp_path: Path
) -> None:
    # given a learner: that it is one says that what it reads is what it writes
    learner: Any = learning.learner(parts, _options(row, tmp_path))
    batch = [learner._learnt(question.ask(), question.answer) for question in learner._train[:3]]
    assert len({one.length for one in batch}) > 1

    # when rows of several lengths go through the network together, then each is as it is alone
    with torch.inference_mode():
        together = learner._losses(batch)
        alone = [learner._losses([one])[0] for one in batch]
    for one, other in zip(together, alone, strict=True):
        assert torch.allclose(one, other, atol=1e-3)


def test_a_network_that_reads_otherwise_than_it_writes_is_refused(
    parts: Parts[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = learning.ChatVlmLearner._losses
    monkeypatch.setattr(
        learning.ChatVlmLearner, "_losses", lambda self, batch: [loss * batch[0].start for loss in read(self, batch)]
    )
    monkeypatch.setattr(learning, "SAME", 1e-6)

    with pytest.raises(ModelUnavailable, match="does not read an answer as it writes it"):
        learning.learner(parts, _options(SMOL, tmp_path))


def test_nothing_but_the_answer_and_its_end_is_learnt(parts: Parts[Any], tmp_path: Path) -> None:
    learner: Any = learning.learner(parts, _options(SMOL, tmp_path))
    question = learner._train[0]

    (losses,) = learner._losses([learner._learnt(question.ask(), question.answer)])

    tokenizer = learner._model._tokenizer
    learnt = learner._learnt(question.ask(), question.answer)
    ids = learnt.inputs["input_ids"][0, learnt.start :].tolist()
    assert len(losses) == len(ids)
    assert tokenizer.decode(ids) == f"{question.answer}<|im_end|>"


def test_the_loop_trains_adapters_and_keeps_no_more_than_them(parts: Parts[Any], tmp_path: Path) -> None:
    learner: Any = learning.learner(parts, _options(SMOL, tmp_path, lora="yes"))

    goes_through_the_loop(learner, tmp_path / "run")

    whole = sum(each.numel() for each in learner._model.network.parameters())
    kept = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["best"]
    assert sum(each.numel() for each in kept.values()) < whole / 2


@pytest.mark.parametrize(
    "line",
    [
        {"question": "Write a report.", "answer": "It is red.", "findings": [{"finding": "red"}]},
        {"text": "It is red."},
    ],
    ids=["drafts", "captions"],
)
def test_drafts_and_captions_are_learnt_too(line: dict[str, Any], tmp_path: Path) -> None:
    lines = [{"image": name, **line} for name, _ in pictures(tmp_path, 8)]
    learner = learning.learner(parts_of(tmp_path, lines), _options(SMOL, tmp_path))

    taught(learner, 30, rate=3e-3)

    assert measured(learner) >= 0.9


def test_large_networks_learn_by_adapters_and_small_ones_whole(
    parts: Parts[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = _options(SMOL, tmp_path)

    tiny: Any = learning.learner(parts, options)
    monkeypatch.setattr(starting, "FEW_WEIGHTS", 1000)
    small: Any = learning.learner(parts, options)
    monkeypatch.setattr(learning, "SMALL", 1000)
    large: Any = learning.learner(parts, options)

    assert small.network is small._model.network
    assert isinstance(large.network, learning.Adapters)
    assert large.rate > small.rate  # adapters want a higher one
    assert tiny.rate > small.rate


@pytest.mark.parametrize(
    ("more", "why"), [({"lora": "perhaps"}, "lora: Input should be"), ({"rank": "0"}, "rank: Input should be")]
)
def test_options_without_sense_are_refused(more: dict[str, str], why: str, parts: Parts[Any], tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=why):
        learning.learner(parts, Options(start=tmp_path, more=more))


def _options(row: Any, folder: Path, **more: str) -> Options:
    start = folder / "start"
    start.mkdir()
    row().build(start)
    return Options(start=start, batch=8, more={"row": '{"max_new_tokens": 8}', **more})
