"""Labelled lines: which kind they are, and what is said of those that are none."""

import json
from pathlib import Path
from typing import Any

import pytest

from domain.errors import InvalidRequest
from workers.labelled import (
    LabelledDraft,
    LabelledImage,
    LabelledLine,
    LabelledPicture,
    LabelledQuestion,
    LabelledText,
    LabelledTranslation,
    read_lines,
)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ({"image": "a.png", "label": "a cat"}, LabelledPicture),
        ({"image": "a.png", "question": "how many?", "answer": "3"}, LabelledQuestion),
        ({"image": "a.png", "question": "shut?", "options": ["yes", "no"], "answer": "no"}, LabelledQuestion),
        ({"image": "a.png", "text": "EXIT"}, LabelledText),
        ({"image": "a.png", "question": "report", "answer": "normal", "findings": []}, LabelledDraft),
        ({"source": "Ausgang", "target": "exit", "from": "de", "to": "en"}, LabelledTranslation),
    ],
)
def test_a_line_is_of_the_kind_that_its_fields_tell(
    line: dict[str, Any], kind: type[LabelledLine], tmp_path: Path
) -> None:
    file = tmp_path / "set.jsonl"
    file.write_text(f"\n{json.dumps({**line, 'group': 'part 7', 'taken by': 'camera 2'})}\n")

    [read] = read_lines(file)

    assert type(read) is kind
    assert read.group == "part 7"
    if isinstance(read, LabelledImage):
        assert read.image == tmp_path / "a.png"


def test_a_separator_of_lines_within_a_text_does_not_part_it(tmp_path: Path) -> None:
    file = tmp_path / "set.jsonl"
    file.write_text(json.dumps({"image": "a.png", "text": "A\u2028B"}, ensure_ascii=False), "utf-8")

    [read] = read_lines(file)

    assert isinstance(read, LabelledText)
    assert read.text == "A\u2028B"


def test_numbers_are_taken_as_texts(tmp_path: Path) -> None:
    file = tmp_path / "set.jsonl"
    file.write_text('{"image": "a.png", "label": 3, "group": 17}')
    [digit] = read_lines(file)
    file.write_text('{"image": "a.png", "question": "how many?", "options": [1, 2], "answer": 2}')
    [counted] = read_lines(file)

    assert isinstance(digit, LabelledPicture)
    assert (digit.label, digit.group) == ("3", "17")
    assert isinstance(counted, LabelledQuestion)
    assert (counted.options, counted.answer) == (("1", "2"), "2")


def test_a_byte_order_mark_before_the_lines_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "set.jsonl"
    file.write_text('{"image": "a.png", "label": "a cat"}', "utf-8-sig")

    assert len(read_lines(file)) == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "line 2 is no JSON"),
        ("[1]", "line 2: a line is a JSON object with one of"),
        ('{"image": "b.png"}', "line 2: a line is a JSON object with one of"),
        ('{"image": "b.png", "label": ""}', "line 2: label: String should have at least 1 character"),
        (
            '{"image": "b.png", "text": "EXIT"}',
            "line 2: a file has labels, questions, phrases, texts, drafts or translations",
        ),
        ('{"source": "Ausgang", "target": "exit"}', "line 2: from: Field required; to: Field required"),
    ],
)
def test_what_is_wrong_with_a_line_is_told_with_its_place(text: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "set.jsonl"
    file.write_text(f'{{"image": "a.png", "label": "a cat"}}\n{text}\n')

    with pytest.raises(InvalidRequest, match=rf"set\.jsonl, {told}"):
        read_lines(file)


def test_a_file_without_a_line_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "set.jsonl"
    file.write_text("\n")

    with pytest.raises(InvalidRequest, match="holds no line"):
        read_lines(file)
