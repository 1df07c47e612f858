"""Sets for moderation: pictures with all labels that apply to each, from a file of lines or from folders."""

import json
from pathlib import Path
from typing import Any

import pytest

from domain.errors import InvalidRequest
from workers.training.sets.hashing import data_hash
from workers.training.sets.moderated import Moderated, read


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())


def lines(folder: Path, *told: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "labels.jsonl").write_text("\n".join(one if isinstance(one, str) else json.dumps(one) for one in told))
    return folder


def seen(found: Moderated) -> list[tuple[str, tuple[str, ...], str, str]]:
    return [(key, one.labels, one.text, one.surface) for key, one in found.keyed()]


def test_a_line_has_all_labels_of_a_picture_or_none(tmp_path: Path) -> None:
    folder = lines(
        tmp_path / "set",
        {"image": "images/a.png", "labels": ["skull", "link"], "text": "look", "surface": "avatar", "group": 7},
        "",
        {"image": "images/b.png", "labels": []},
    )

    found = read(folder)

    assert seen(found) == [
        ("images/a.png", ("skull", "link"), "look", "avatar"),
        ("images/b.png", (), "", "default"),
    ]
    assert [(item.key, item.group) for item in found.items()] == [("images/a.png", "7"), ("images/b.png", None)]
    assert found.names() == {"skull", "link"}
    assert read(folder / "labels.jsonl") == found


def test_folders_name_the_label_and_one_is_for_what_has_none(tmp_path: Path) -> None:
    put(tmp_path, "skull/a.png", "skull/more/b.JPG", "skull/notes.txt", "none/c.webp")

    assert seen(read(tmp_path)) == [
        ("none/c.webp", (), "", "default"),
        ("skull/a.png", ("skull",), "", "default"),
        ("skull/more/b.JPG", ("skull",), "", "default"),
    ]


def test_a_part_is_another_set_and_the_order_of_labels_makes_none(tmp_path: Path) -> None:
    told = [{"image": "a.png", "labels": ["skull", "link"]}, {"image": "b.png", "labels": []}]
    for name, written in (("one", told), ("two", [{"image": "a.png", "labels": ["link", "skull"]}, told[1]])):
        put(lines(tmp_path / name, *written), "a.png", "b.png")
    found, again = read(tmp_path / "one"), read(tmp_path / "two")

    assert data_hash(found) == data_hash(again)
    assert data_hash(found.part([1])) != data_hash(found)
    assert [key for key, _ in found.part([1]).keyed()] == ["b.png"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ({"image": "a.png", "label": "skull"}, r"labels\.jsonl, line 2: labels: Field required"),
        ({"image": "a.png", "labels": "skull"}, "line 2: labels: .*tuple"),
        ("{", "line 2 is no JSON"),
        ("[]", "line 2: line: "),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: Any, told: str) -> None:
    with pytest.raises(InvalidRequest, match=told):
        read(lines(tmp_path, {"image": "a.png", "labels": []}, line))


def test_what_is_no_set_is_told_what_one_is(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "nowhere"):
        with pytest.raises(InvalidRequest, match=r"a set for moderation is a folder with labels\.jsonl"):
            read(path)
