"""Figures say what they should of models whose answers to lines are known."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from domain.errors import InvalidRequest, ModelError
from domain.geometry import Box, Polygon
from domain.vision import Answer, Capability, Grounding, Label, TextRegion, Translation
from tests.workers.training.evaluating.scripted import examinee, pictures
from workers.models.family import Ask, ScoreKind
from workers.training.evaluating.examinee import Examinee
from workers.training.evaluating.judged import Judged
from workers.training.evaluating.objects import Criteria
from workers.training.evaluating.paper import everything, listed, matching, share
from workers.training.evaluating.run import judge
from workers.training.sets.lines import Lines, read
from workers.training.sets.splitting import Division


def write(folder: Path, lines: list[dict[str, Any]]) -> Lines:
    pictures(folder, len(lines))
    told = [line if "from" in line else {"image": f"{number}.png", **line} for number, line in enumerate(lines)]
    (folder / "set.jsonl").write_text("\n".join(json.dumps(line) for line in told))
    return read(folder / "set.jsonl")


def judged(sitting: Examinee, found: Lines) -> Judged:
    return judge(sitting, everything(found), Criteria())


def region(text: str, x: float = 0, y: float = 0, confidence: float = 0.8) -> TextRegion:
    return TextRegion(
        quad=Polygon(points=((x, y), (x + 10, y), (x + 10, y + 5), (x, y + 5))), text=text, confidence=confidence
    )


def test_labels_are_told_with_their_confusion_and_how_sure_the_figures_are(tmp_path: Path) -> None:
    found = write(tmp_path, [{"label": "cat"}, {"label": "cat"}, {"label": "dog"}, {"label": "hen"}])
    called = ["cat", "dog", "dog", "hen"]

    def answer(number: int, ask: Ask) -> tuple[Label, ...]:
        return tuple(Label(name=name, score=0.8 if name == called[number] else 0.1) for name in ask.arguments["labels"])

    told = judged(examinee(Capability.CLASSIFY, answer=answer), found)

    assert told.metrics["accuracy"] == 0.75
    assert told.intervals["accuracy"] == pytest.approx((0.3006, 0.9544), abs=1e-4)
    assert told.per_class["dog"]["precision"] == 0.5
    assert told.per_class["cat"]["recall"] == 0.5
    assert told.metrics["calibration_error"] == pytest.approx(0.05)
    assert told.confusion is not None
    assert told.confusion.counts.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
    assert [case.name for case in told.cases if case.badness] == ["1.png"]


def test_a_part_of_a_set_is_judged_among_the_labels_of_the_whole(tmp_path: Path) -> None:
    found = write(tmp_path, [{"label": "cat"}, {"label": "dog"}])
    asked: list[tuple[str, ...]] = []

    def answer(number: int, ask: Ask) -> tuple[Label, ...]:
        asked.append(ask.arguments["labels"])
        return (Label(name="cat", score=1),)

    told = judge(examinee(Capability.CLASSIFY, answer=answer), matching(found, r"^0\.png$"), Criteria())

    assert told.count == 1
    assert asked == [("cat", "dog")]


def test_phrases_are_judged_by_the_boxes_that_they_mean(tmp_path: Path) -> None:
    found = write(
        tmp_path,
        [
            {"phrase": "a cup", "boxes": [[0, 0, 10, 10], [20, 20, 30, 30]]},
            {"phrase": "a cup", "boxes": [[0, 0, 10, 10]]},
            {"phrase": "a cup", "boxes": []},
            {"phrase": "a cup", "boxes": []},
        ],
    )
    said = [[(0, 0, 10, 9), (0, 0, 9, 10)], [(0, 0, 10, 4)], [], ModelError("it cannot")]

    def answer(number: int, ask: Ask) -> object:
        told = said[number]
        if isinstance(told, ModelError):
            return told
        boxes = [Box(x0=x0, y0=y0, x1=x1, y1=y1) for x0, y0, x1, y1 in told]
        return tuple(Grounding(phrase=ask.arguments["phrases"][0], score=0.5, box=box) for box in boxes)

    told = judged(examinee(Capability.GROUND, answer=answer), found)

    assert told.metrics["box_recall"] == pytest.approx(1 / 3)
    assert told.metrics["box_precision"] == pytest.approx(1 / 3)
    assert told.metrics["nothing_kept"] == 1.0
    assert told.metrics["all_right"] == 0.5
    assert told.metrics["failed"] == 0.25
    assert told.settings == {"iou": 0.5, "boxes": 3, "phrases_of_nothing": 2}
    assert [case.badness for case in told.cases] == [2, 2, 0, 0]
    assert [mark.right for mark in told.cases[0].marked] == [True, False, True, False]


@pytest.mark.parametrize(
    ("boxes", "words"), [([[1, 2, 3]], "a box is [x0, y0, x1, y1] in pixels"), ([[5, 0, 1, 9]], "x0 <= x1")]
)
def test_a_box_that_is_none_is_told_with_its_line(tmp_path: Path, boxes: object, words: str) -> None:
    with pytest.raises(InvalidRequest, match=re.escape(words)) as told:
        write(tmp_path, [{"phrase": "a cup", "boxes": boxes}])
    assert "line 1" in told.value.message


def test_questions_are_told_by_kind(tmp_path: Path) -> None:
    found = write(
        tmp_path,
        [
            {"question": "How many?", "answer": "2", "kind": "count"},
            {"question": "How many?", "answer": "3", "kind": "count"},
            {"question": "Which?", "answer": "yellow", "kind": "colour"},
            {"question": "Which?", "answer": "red", "kind": "colour"},
        ],
    )
    texts = ["2.", "4", "Yelow", None]

    def answer(number: int, ask: Ask) -> Answer | ModelError:
        text = texts[number]
        return ModelError("it wrote no end") if text is None else Answer(text=text, score=0.5)

    told = judged(examinee(Capability.ASK, answer=answer, kind=ScoreKind.SEQUENCE), found)

    assert told.metrics["exact_match"] == 0.25
    assert told.metrics["anls"] == pytest.approx((1 + 0 + 5 / 6 + 0) / 4)
    assert told.metrics["failed"] == 0.25
    assert told.per_class["count"]["exact_match"] == 0.5
    assert told.per_class["colour"]["anls"] == pytest.approx(5 / 12)
    assert told.metrics["calibration_error"] == pytest.approx(abs(1 / 3 - 0.5))


def test_options_are_shown_and_the_score_of_the_chosen_one_counts(tmp_path: Path) -> None:
    found = write(tmp_path, [{"question": "Shut?", "options": ["yes", "no"], "answer": "no"}] * 2)

    def answer(number: int, ask: Ask) -> Answer:
        assert ask.arguments["options"] == ("yes", "no")
        return Answer(text="no", options=(Label(name="no", score=0.9), Label(name="yes", score=0.1)))

    told = judged(examinee(Capability.ASK, answer=answer, kind=ScoreKind.NONE), found)

    assert told.metrics["exact_match"] == 1
    assert told.metrics["calibration_error"] == pytest.approx(0.1)


def test_what_is_read_is_put_in_order_first(tmp_path: Path) -> None:
    found = write(tmp_path, [{"text": "WAY OUT here"}, {"text": "EXIT"}])
    seen = [(region("here", 0, 20), region("OUT", 30, 1), region("WAY", 0, 0)), (region("EX1T"),)]

    told = judged(examinee(Capability.READ, answer=lambda number, ask: seen[number], kind=ScoreKind.MEAN), found)

    assert told.metrics["cer"] == pytest.approx(1 / 16)
    assert told.metrics["wer"] == pytest.approx(1 / 4)
    assert told.metrics["word_accuracy"] == pytest.approx(3 / 4)
    assert told.metrics["exact"] == 0.5
    assert told.settings["calibration_lines"] == 1


def test_a_model_that_cannot_read_describes(tmp_path: Path) -> None:
    found = write(tmp_path, [{"text": "A red ball."}, {"text": "A blue cone."}])

    told = judged(examinee(Capability.CAPTION, answer=lambda number, ask: "a red ball"), found)

    assert told.metrics["exact_match"] == 0.5
    assert 0 < (told.metrics["chrf"] or 0) < 100


def nearest(right: str) -> Callable[[tuple[str, ...]], tuple[Label, ...]]:
    """Score words by with how many letters of `right` they begin."""

    def score(word: str) -> float:
        alike = list(takewhile(lambda pair: pair[0] == pair[1], zip(word, right, strict=False)))
        return len(alike) / 100 + 0.1

    return lambda words: tuple(Label(name=word, score=score(word)) for word in reversed(words))


def test_a_model_that_can_but_choose_chooses_among_the_texts(tmp_path: Path) -> None:
    texts = ["a red ball", "a blue cone", "a red ball", "no picture"]
    found = write(tmp_path, [{"text": text} for text in texts])
    seen = [*texts[:2], "a blue thing", None]

    def answer(number: int, ask: Ask) -> tuple[Label, ...] | ModelError:
        assert sorted(ask.arguments["labels"]) == sorted(set(texts))
        text = seen[number]
        return ModelError("no") if text is None else nearest(text)(ask.arguments["labels"])

    told = judged(examinee(Capability.CLASSIFY, Capability.EMBED, answer=answer), found)

    assert (told.metrics["zero_shot_accuracy"], told.metrics["failed"]) == (0.5, 0.25)
    assert told.settings["texts"] == 3
    assert [case.answered for case in told.cases] == ["a red ball", "a blue cone", "a blue cone", ""]
    assert "calibration_error" in told.metrics


@pytest.mark.parametrize("kind", ["text", "label"])
def test_more_words_than_a_call_may_have_are_asked_in_rounds(tmp_path: Path, kind: str) -> None:
    # given a model that compares with three words in a thousand templates at most, and a set of eleven
    words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    found = write(tmp_path, [{kind: word} for word in words])

    def answer(number: int, ask: Ask) -> tuple[Label, ...]:
        assert len(ask.arguments["labels"]) <= 3
        return nearest("zero" if number == 5 else words[number])(ask.arguments["labels"])

    sitting = examinee(Capability.CLASSIFY, answer=answer)
    advanced: list[int] = []
    sitting.model.templates = ("{}",) * 1000  # type: ignore[attr-defined]
    # when it is judged
    told = judged(replace(sitting, advance=lambda: advanced.append(1)), found)
    # then it was right as often as it is among all, and no score was taken for one among all
    assert told.metrics["zero_shot_accuracy" if kind == "text" else "accuracy"] == pytest.approx(10 / 11)
    assert told.metrics["failed"] == 0
    assert "calibration_error" not in told.metrics
    assert len(advanced) == 11


def test_a_picture_that_cannot_be_read_fails_alone(tmp_path: Path) -> None:
    found = write(tmp_path, [{"text": "EXIT"}, {"text": "EXIT"}])
    (tmp_path / "1.png").write_bytes(b"cut off")

    told = judged(examinee(Capability.READ, answer=lambda number, ask: (region("EXIT"),)), found)

    assert (told.metrics["exact"], told.metrics["failed"]) == (0.5, 0.5)


def test_translations_are_told_by_direction(tmp_path: Path) -> None:
    lines = [
        {"source": "salida", "target": "exit", "from": "es", "to": "en"},
        {"source": "sortie", "target": "exit", "from": "fr", "to": "en"},
    ]
    texts = {"salida": "exit", "sortie": "door"}

    told = judged(
        examinee(
            Capability.TRANSLATE,
            answer=lambda number, ask: Translation(text=texts[ask.arguments["text"]], model="scripted"),
        ),
        write(tmp_path, lines),
    )

    assert told.per_class["es-en"]["chrf"] == pytest.approx(100)
    assert told.per_class["fr-en"]["chrf"] == 0
    assert told.metrics["exact_match"] == 0.5


def test_drafts_are_judged_by_the_findings_that_they_tell(tmp_path: Path) -> None:
    lines = [
        {"question": "Report.", "answer": "-", "findings": [{"finding": "nodule", "side": "left"}]},
        {"question": "Report.", "answer": "-", "findings": [{"finding": "effusion", "side": "right"}]},
        {"question": "Report.", "answer": "-", "findings": []},
        {"question": "Report.", "answer": "-", "findings": []},
    ]
    texts = ["A nodule in the left lung. No effusion.", "Left effusion.", "No nodule or effusion.", "A nodule."]

    told = judged(examinee(Capability.DRAFT, answer=lambda number, ask: texts[number]), write(tmp_path, lines))

    assert told.metrics["finding_recall"] == 1
    assert told.metrics["finding_precision"] == pytest.approx(2 / 3)
    assert told.metrics["laterality"] == 0.5
    assert told.metrics["normals_kept"] == 0.5
    assert [case.badness for case in told.cases] == [0, 2, 0, 1]


def test_a_share_is_that_of_a_training_with_the_same_division(tmp_path: Path) -> None:
    found = write(
        tmp_path, [{"label": "cat" if number % 2 else "dog", "group": str(number // 4)} for number in range(40)]
    )

    judged_share = share(found, "test", Division(0.2, 0.3, None, 5))
    again = share(found, "held-out", Division(0.2, 0.3, None, 5))

    assert judged_share.part.items() == again.part.items()
    assert 8 <= len(again.part.items()) <= 16
    assert "held-out share by group" in again.split


def test_a_list_names_what_is_judged_and_nothing_else(tmp_path: Path) -> None:
    found = write(tmp_path, [{"label": "cat"}, {"label": "dog"}])
    names = tmp_path / "names.txt"
    names.write_text("1.png\n")

    assert [item.name for item in listed(found, names).part.items()] == ["1.png"]
    names.write_text("7.png\n")
    with pytest.raises(InvalidRequest, match=r"names '7\.png', which .* does not have"):
        listed(found, names)
    with pytest.raises(InvalidRequest, match="none of its 2 items is among the items that match 'x'"):
        matching(found, "x")
    with pytest.raises(InvalidRequest, match="no regular expression"):
        matching(found, "(")
