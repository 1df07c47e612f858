"""Translators that learn: each architecture at toy size."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from domain.errors import InvalidRequest
from tests.workers.models import test_seq2seq as toys
from tests.workers.models.toys import spec_of
from tests.workers.training.learners.sets import goes_through_the_loop, measured, parts_of, pictures, taught
from workers.models import family
from workers.training.learners import seq2seq as learning
from workers.training.learners.learner import Options
from workers.training.sets.splitting import Parts

pytestmark = pytest.mark.model
ROWS = [toys.TestMarian, toys.TestM2M100, toys.TestMBart, toys.TestNllb]
MEANS = {"cat": "the dog", "dog": "a car", "house": "the fox", "plate": "yes"}


@pytest.fixture
def parts(tmp_path: Path) -> Parts[Any]:
    """A made-up language whose nouns mean something else; the figures behind them mean nothing."""
    lines = [
        {"source": f"{noun} {figure}", "target": meant, "from": "de", "to": "en"}
        for noun, meant in MEANS.items()
        for figure in range(10)
    ]
    return parts_of(tmp_path, lines)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.architecture)
def test_what_it_learnt_is_what_is_served(row: Any, parts: Parts[Any], tmp_path: Path) -> None:
    # given a network that writes at random
    learner = learning.learner(parts, _options(row, tmp_path))
    before = measured(learner)

    # when it learns, then it translates what it has not seen
    losses = taught(learner, 80, rate=5e-3)
    assert losses[-1] < 0.6 * losses[0]
    assert before < 50 < 80 <= measured(learner)

    # then the checkpoint that it saves is served, and translates as the network does
    learner.save(tmp_path / "saved")
    model = family.load(spec_of(tmp_path / "saved", "seq2seq", learner.capabilities, options=learner.served))
    own: Any = learner._model
    asks = [row().asked(f"{noun} 3") for noun in MEANS]
    told, same = ([toys.bare(one.run([one.prepare(ask)])[0]).text for ask in asks] for one in (model, own))
    assert told == same
    assert set(told) & set(MEANS.values())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.architecture)
def test_pairs_that_are_learnt_together_count_as_they_do_alone(row: Any, tmp_path: Path) -> None:
    texts = [("the cat", "a red car of the old house"), ("how many benches are there", "six"), ("no", "yes")]
    lines = [{"source": one, "target": other, "from": "de", "to": "en", "split": "train"} for one, other in texts]
    lines.append({**lines[0], "source": "two", "split": "val"})
    learner: Any = learning.learner(parts_of(tmp_path, lines), _options(row, tmp_path, batch=3))
    learner.network.eval()
    together = next(learner.batches(0))

    with torch.inference_mode():
        whole = float(learner.loss(together).loss)
        alone = [learning.Batch(*(part[index : index + 1] for part in vars(together).values())) for index in range(3)]
        counts = [int((each.labels != learning.IGNORED).sum()) for each in alone]
        each = [float(learner.loss(_cut(one)).loss) for one in alone]

    assert len(set(counts)) > 1
    assert whole == pytest.approx(sum(a * b for a, b in zip(each, counts, strict=True)) / sum(counts), rel=1e-4)


def test_the_loop_trains_it(parts: Parts[Any], tmp_path: Path) -> None:
    goes_through_the_loop(learning.learner(parts, _options(toys.TestMarian, tmp_path)), tmp_path / "run")


def test_directions_that_the_model_does_not_serve_are_refused_by_name(tmp_path: Path) -> None:
    lines = [{"source": f"cat {index}", "target": "dog", "from": "en", "to": "de"} for index in range(4)]

    with pytest.raises(InvalidRequest, match="en-de"):
        learning.learner(parts_of(tmp_path, lines), _options(toys.TestMarian, tmp_path))


def test_pairs_beyond_the_models_places_are_left_out(tmp_path: Path) -> None:
    lines = [{"source": f"cat {index}", "target": "dog " * 100, "from": "de", "to": "en"} for index in range(4)]

    with pytest.raises(InvalidRequest, match="longer than the 64 places"):
        learning.learner(parts_of(tmp_path, lines), _options(toys.TestMarian, tmp_path))


def test_another_kind_of_set_is_refused(tmp_path: Path) -> None:
    lines = [{"image": name, "label": colour} for name, colour in pictures(tmp_path, 4)]

    with pytest.raises(InvalidRequest, match="learns from translations"):
        learning.learner(parts_of(tmp_path, lines), Options(start=tmp_path))


def _options(row: Any, folder: Path, batch: int = 20) -> Options:
    start = folder / "start"
    start.mkdir()
    row().build(start)
    told = {**row.options, "max_new_tokens": 32}
    return Options(start=start, batch=batch, more={"row": json.dumps(told)})


def _cut(batch: learning.Batch) -> learning.Batch:
    """Return a batch of one without its padding."""
    long, wide = int(batch.mask.sum()), int((batch.labels != learning.IGNORED).sum())
    return learning.Batch(batch.ids[:, :long], batch.mask[:, :long], batch.labels[:, :wide])
