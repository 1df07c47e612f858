"""Models of visual question answering that learn: each architecture at toy size."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from domain.errors import InvalidRequest
from tests.workers.models import test_vqa_head as toys
from tests.workers.models import test_vqa_regions as regions
from tests.workers.models.contract import coloured
from tests.workers.models.toys import spec_of
from tests.workers.models.vqa_contract import ANSWERS, bare, revision
from tests.workers.training.learners.sets import goes_through_the_loop, measured, parts_of, pictures, taught
from workers.models import family
from workers.training.learners import vqa_head as learning
from workers.training.learners.learner import Options
from workers.training.sets.splitting import Parts

pytestmark = pytest.mark.model
HEADS = [toys.TestVilt, regions.TestVisualBert, regions.TestLxmert]
ROWS = [*HEADS, toys.TestBlip]
MEANT = {"red": "a red car", "green": "left", "blue": "two", "white": "yes"}
"""The colours as answers that the toys' heads know."""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.architecture)
def test_what_it_learnt_is_what_is_served(row: Any, tmp_path: Path) -> None:
    # given a network that answers at random
    learner: Any = learning.learner(_parts(tmp_path, MEANT), _options(row, tmp_path))
    before = measured(learner)

    # when it learns, then it answers about pictures that it has not seen
    losses = taught(learner, 60)
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    assert before < 0.7 < 0.9 <= measured(learner)

    # then the checkpoint that it saves is served, and answers as the network does
    _serves_the_same(learner, row, tmp_path / "saved")


@pytest.mark.parametrize("row", HEADS, ids=lambda row: row.architecture)
def test_a_head_gets_the_answers_of_the_set_and_keeps_what_it_knew(row: Any, tmp_path: Path) -> None:
    # given a head, of whose answers the set has one, and three others
    start = _options(row, tmp_path)
    knew = _last(family.load(_spec(start, row)))

    learner: Any = learning.learner(_parts(tmp_path, {**MEANT, "green": "green", "blue": "Blue ", "white": "w"}), start)

    model = learner._model
    weights = _last(model)
    assert model.classes == ("Blue ", "a red car", "green", "w")
    assert torch.equal(weights[1], knew[ANSWERS.index("a red car")])
    assert len(weights) == 4
    _serves_the_same(learner, row, tmp_path / "saved")


def test_a_head_that_knows_all_answers_stays(tmp_path: Path) -> None:
    learner: Any = learning.learner(_parts(tmp_path, MEANT), _options(toys.TestVilt, tmp_path))

    assert learner._model.classes == ANSWERS


def test_answers_that_a_file_named_are_named_in_the_configuration_once_there_are_others(tmp_path: Path) -> None:
    options = _options(toys.TestVilt, tmp_path)
    assert options.start is not None
    (options.start / "answers.json").write_text(json.dumps([f"answer {index}" for index in range(7)]))
    named = replace(options, more={"row": json.dumps({"answers": "answers.json"})})

    learner: Any = learning.learner(_parts(tmp_path, {**MEANT, "green": "A RED  CAR"}), named)

    assert learner.served == {}
    assert len(learner._model.classes) == 3
    _serves_the_same(learner, toys.TestVilt, tmp_path / "saved")


def test_options_are_chosen_among_where_all_of_them_can_be_said(tmp_path: Path) -> None:
    lines = [
        {"image": name, "question": "which ?", "answer": "yes", "options": options, "split": share}
        for (name, _), options, share in zip(
            pictures(tmp_path, 3),
            (["yes", "no"], ["yes", "no"], ["yes", "purple"]),
            ("train", "val", "val"),
            strict=True,
        )
    ]

    learner: Any = learning.learner(parts_of(tmp_path, lines), _options(toys.TestVilt, tmp_path))

    assert [question.arguments.get("options") for question in learner._measured] == [("yes", "no"), None]
    assert "options" not in learner._train[0].arguments


@pytest.mark.parametrize("row", [toys.TestVilt, toys.TestBlip], ids=lambda row: row.architecture)
def test_the_loop_trains_it(row: Any, tmp_path: Path) -> None:
    goes_through_the_loop(learning.learner(_parts(tmp_path, MEANT), _options(row, tmp_path)), tmp_path / "run")


def test_answers_that_are_longer_than_can_be_written_are_refused(tmp_path: Path) -> None:
    parts = _parts(tmp_path, dict.fromkeys(MEANT, "the cat " * 30))

    with pytest.raises(InvalidRequest, match="longer than this model can write"):
        learning.learner(parts, _options(toys.TestBlip, tmp_path))


def test_a_set_of_labels_is_refused(tmp_path: Path) -> None:
    lines = [{"image": name, "label": colour} for name, colour in pictures(tmp_path, 4)]

    with pytest.raises(InvalidRequest, match="vqa_head does not learn from"):
        learning.learner(parts_of(tmp_path, lines), Options(start=tmp_path))


def _parts(folder: Path, meant: dict[str, str]) -> Parts[Any]:
    lines = [
        {"image": name, "question": "where is it ?", "answer": meant[colour]} for name, colour in pictures(folder, 48)
    ]
    return parts_of(folder, lines)


def _options(row: Any, folder: Path) -> Options:
    start = folder / "start"
    start.mkdir()
    row().build(start)
    told = dict(row.options)
    if row in HEADS[1:]:
        detector = folder / "detector"
        detector.mkdir()
        row.detector(detector)
        told |= {"detector": {"source": str(detector), "revision": revision(detector)}, "region_count": 6}
    return Options(start=start, batch=12, more={"row": json.dumps(told)})


def _spec(options: Options, row: Any, saved: Path | None = None) -> Any:
    assert options.start is not None
    return spec_of(saved or options.start, "vqa_head", row.capabilities, options=json.loads(options.more["row"]))


def _last(model: Any) -> torch.Tensor:
    weights: torch.Tensor = model.network.get_submodule(model.last).weight
    return weights.detach().clone()


def _serves_the_same(learner: Any, row: Any, saved: Path) -> None:
    learner.network.eval()
    learner.save(saved)
    model = family.load(spec_of(saved, "vqa_head", learner.capabilities, options=learner.served))
    asks = [row().asked(coloured(*row.sizes[0], seed), "where is it ?") for seed in range(3)]
    for ask in asks:
        told, own = (bare(one.run([one.prepare(ask)])[0]) for one in (model, learner._model))
        assert told.text == own.text
        assert told.score == pytest.approx(own.score, abs=0.02)
