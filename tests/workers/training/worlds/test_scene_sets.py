"""Drawn scenes on disk: sets that a training reads, the same for the same seed."""

import json
from collections import Counter

import cv2
import pytest
from typer.testing import CliRunner

from workers.labelled import LabelledPhrase, LabelledPicture, LabelledQuestion, LabelledText, read_lines
from workers.training.draw_cli import app
from workers.training.worlds.objects import UNSEEN
from workers.training.worlds.scene_words import names
from workers.training.worlds.scenes import UNSEEN_WORLD
from workers.training.worlds.symbols import SYMBOLS


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_unseen_scenes_are_drawn_with_their_labels_in_turn_and_the_same_again(tmp_path):
    # when
    for folder in ("a", "b"):
        done = run("scenes", tmp_path / folder, len(UNSEEN), "--world", "unseen", "--seed", 0, "--json")
        assert done.exit_code == 0, done.output
    # then
    lines = read_lines(tmp_path / "a" / "labels.jsonl")
    assert {type(line) for line in lines} == {LabelledPicture}
    assert Counter(line.label for line in lines) == Counter(names(UNSEEN_WORLD))
    for line in lines:
        assert line.image.read_bytes() == (tmp_path / "b" / "images" / line.image.name).read_bytes()


@pytest.mark.parametrize(
    ("about", "kind"), [("questions", LabelledQuestion), ("captions", LabelledText), ("phrases", LabelledPhrase)]
)
def test_questions_captions_and_phrases_are_grouped_by_their_picture(tmp_path, about, kind):
    done = run("scenes", tmp_path, 4, "--about", about, "--size", 96)
    assert done.exit_code == 0, done.output
    lines = read_lines(tmp_path / f"{about}.jsonl")
    assert {type(line) for line in lines} == {kind}
    assert len({line.group for line in lines}) == 4
    assert {cv2.imread(str(line.image)).shape for line in lines} == {(96, 96, 3)}


def test_symbols_are_drawn_among_things_with_the_symbol_as_the_label(tmp_path):
    done = run("symbols", tmp_path, len(SYMBOLS), "--things", 3, "--held-out")
    assert done.exit_code == 0, done.output
    told = [json.loads(line) for line in (tmp_path / "labels.jsonl").read_text().splitlines()]
    assert {line["label"] for line in told} == set(SYMBOLS)


def test_a_set_is_never_written_over(tmp_path):
    assert run("scenes", tmp_path, 1).exit_code == 0
    again = run("scenes", tmp_path, 1)
    assert again.exit_code == 1
    assert "exists already" in again.output
