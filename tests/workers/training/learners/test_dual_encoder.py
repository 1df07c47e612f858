"""Dual encoders that learn: each architecture at toy size."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

from domain.errors import InvalidRequest, ModelError
from domain.vision import Capability
from tests.workers.models import test_dual_encoder as toys
from tests.workers.models.contract import coloured
from tests.workers.models.toys import spec_of
from tests.workers.training.learners.sets import COLOURS, goes_through_the_loop, measured, parts_of, pictures, taught
from workers.models import family
from workers.models.family import Ask
from workers.training.learners import dual_encoder as learning
from workers.training.learners.dual_encoder import sigmoid_loss, softmax_loss
from workers.training.learners.learner import Options
from workers.training.sets.splitting import Parts

pytestmark = pytest.mark.model
ROWS = [each for name, each in vars(toys).items() if name.startswith("Test")]
TEXTS = ["a photo of a cat", "the quick brown fox jumps over it", "no"]


@pytest.fixture
def labelled(tmp_path: Path) -> Parts[Any]:
    """A set of pictures with a colour each."""
    return parts_of(tmp_path, [{"image": name, "label": colour} for name, colour in pictures(tmp_path, 64)])


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A checkpoint to begin with."""
    return _built(toys.TestClip, tmp_path)


@pytest.mark.parametrize("row", [toys.TestClip, toys.TestSiglip, toys.TestAlign], ids=lambda row: row.architecture)
def test_what_it_learnt_of_labels_is_what_is_served(row: Any, labelled: Parts[Any], tmp_path: Path) -> None:
    # given a network that knows nothing of colours
    learner = learning.learner(labelled, Options(start=_built(row, tmp_path), batch=16))
    before = measured(learner)

    # when it learns from labelled pictures, then it tells those of others
    losses = taught(learner, 60)
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    assert before < 0.7 < 0.9 <= measured(learner)

    # then the checkpoint that it saves is served, and answers as the network does
    learner.save(tmp_path / "saved")
    model = family.load(spec_of(tmp_path / "saved", "dual_encoder", learner.capabilities, options=learner.served))
    asks = [Ask(Capability.CLASSIFY, (coloured(40, 40, seed),), {"labels": tuple(COLOURS)}) for seed in range(3)]
    for answer, own in zip(_answers(model, asks), _answers(learner._model, asks), strict=True):  # type: ignore[attr-defined]
        assert {one.name: one.score for one in answer} == pytest.approx({one.name: one.score for one in own}, abs=0.02)


def test_it_learns_captions_as_they_are(clip: Path, tmp_path: Path) -> None:
    lines = [{"image": name, "text": f"the plate is {colour}"} for name, colour in pictures(tmp_path, 64)]
    learner = learning.learner(parts_of(tmp_path, lines), Options(start=clip, batch=16))

    taught(learner, 40)

    assert learner.served == {"templates": ["{}"]}
    assert measured(learner) >= 0.9


def test_the_loop_trains_it(clip: Path, labelled: Parts[Any], tmp_path: Path) -> None:
    goes_through_the_loop(learning.learner(labelled, Options(start=clip, batch=8)), tmp_path / "run")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.architecture)
def test_texts_that_are_read_together_say_what_each_says_alone(row: Any, tmp_path: Path) -> None:
    model: Any = family.load(
        spec_of(_built(row, tmp_path), "dual_encoder", row.capabilities, options={"threads": 1, **row.options})
    )

    with torch.inference_mode():
        together = model.network.get_text_features(**model.tokens(TEXTS)).pooler_output
        alone = [model.network.get_text_features(**model.tokens([text])).pooler_output[0] for text in TEXTS]

    assert torch.allclose(normalize(together), normalize(torch.stack(alone)), atol=1e-5)


def test_without_equal_labels_the_losses_are_the_papers() -> None:
    logits, alone = torch.randn(6, 6, generator=torch.Generator().manual_seed(0)), torch.eye(6).bool()

    own = torch.arange(6)
    assert softmax_loss(logits, alone) == pytest.approx((cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2)
    signs = 2 * torch.eye(6) - 1
    assert sigmoid_loss(logits, alone) == pytest.approx(float((1 + (-signs * logits).exp()).log().sum() / 6), rel=1e-5)


@pytest.mark.parametrize("loss", [softmax_loss, sigmoid_loss])
def test_a_label_is_never_held_against_a_picture_that_it_is_about(loss: Any) -> None:
    # given two pictures of one label, which stands in two texts, and one of another
    about = torch.tensor([[True, True, False], [True, True, False], [False, False, True]])
    logits = torch.zeros(3, 3, requires_grad=True)

    loss(logits, about).backward()

    assert logits.grad is not None
    assert bool((logits.grad[about] < 0).all()), "it is pushed away"
    assert bool((logits.grad[~about] > 0).all()), "it is drawn near"


def test_the_same_seed_gives_the_same_batches_and_another_gives_others(clip: Path, labelled: Parts[Any]) -> None:
    learner = learning.learner(labelled, Options(start=clip, batch=4))

    first, again, other = (next(learner.batches(seed)).pictures["pixel_values"] for seed in (1, 1, 2))

    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_it_is_saved_in_half_precision_without_a_trace_of_this_machine(
    clip: Path, labelled: Parts[Any], tmp_path: Path
) -> None:
    learner = learning.learner(labelled, Options(start=clip))

    learner.save(tmp_path / "saved")

    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (tmp_path / "saved", clip)]
    assert config["dtype"] == "float16"
    assert sizes[0] < 0.55 * sizes[1]
    assert not any(str(tmp_path) in file.read_text() for file in (tmp_path / "saved").glob("*.json"))


def test_weights_beyond_half_precision_are_not_saved(clip: Path, labelled: Parts[Any], tmp_path: Path) -> None:
    learner = learning.learner(labelled, Options(start=clip))
    next(learner.network.parameters()).data.fill_(1e9)

    with pytest.raises(ModelError, match=r"out of the range of torch\.float16"):
        learner.save(tmp_path / "saved")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (Options(), "name the folder of a checkpoint"),
        (Options(start=Path("nowhere")), "is no folder"),
        (Options(start=Path(), architecture="clip"), "does not learn from random weights"),
        (Options(start=Path(), side=64), "at the size that its checkpoint says"),
        (Options(start=Path(), more={"colour": "red"}), "colour: Extra inputs are not permitted"),
    ],
)
def test_what_it_cannot_heed_is_refused(labelled: Parts[Any], options: Options, why: str) -> None:
    with pytest.raises(InvalidRequest, match=why):
        learning.learner(labelled, options)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ({"label": "the only one"}, "nothing to tell apart"),
        ({"question": "is it?", "answer": "yes"}, "learns from labels or captions"),
    ],
)
def test_sets_that_teach_it_nothing_are_refused(line: dict[str, str], why: str, tmp_path: Path) -> None:
    lines = [{"image": name, **line} for name, _ in pictures(tmp_path, 8)]

    with pytest.raises(InvalidRequest, match=why):
        learning.learner(parts_of(tmp_path, lines), Options(start=tmp_path))


def _built(row: Any, folder: Path) -> Path:
    start = folder / "start"
    start.mkdir()
    row().build(start)
    return start


def _answers(model: Any, asks: list[Ask]) -> list[Any]:
    model.forget()
    return list(model.run([model.prepare(ask) for ask in asks]))
