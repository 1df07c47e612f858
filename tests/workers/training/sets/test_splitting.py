"""Splitting by group: never two shares of one group, the same every time, and near to what was asked for."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidRequest
from workers.labelled import LabelledPicture
from workers.training.coco import CocoFile, Dataset
from workers.training.sets.labelled_set import Kind
from workers.training.sets.lines import Lines
from workers.training.sets.splitting import Division, Parts, split

SHARES = ("train", "validation", "held-out")


def pictures(names: Sequence[str], groups: Sequence[str | None] | None = None, splits: Sequence[str] = ()) -> Lines:
    told = [
        LabelledPicture(
            image=Path("/set") / name,
            label="a cat",
            group=groups[at] if groups else None,
            split=splits[at] if splits else None,
        )
        for at, name in enumerate(names)
    ]
    return Lines(Path("/set/labels.jsonl"), Kind.LABELS, tuple(told))


def names(part: Lines | None) -> list[str]:
    return [item.name for item in part.items()] if part else []


def all_of(parts: Parts[Lines]) -> list[list[str]]:
    return [names(parts.train), names(parts.validation), names(parts.held_out)]


@given(st.lists(st.integers(0, 30), min_size=1, max_size=200), st.integers(0, 5))
def test_a_group_is_in_one_share_and_every_picture_in_one(boards: list[int], seed: int) -> None:
    boards = [*boards, 31, 32, 33]
    whole = pictures([f"{at}.png" for at in range(len(boards))], [f"board {board}" for board in boards])

    parts = split(whole, Division(seed=seed))

    assert parts.held_out is not None
    shares = [{item.group for item in part.items()} for part in (parts.train, parts.validation, parts.held_out)]
    assert len(set.union(*shares)) == sum(map(len, shares)), "a group is in two"
    assert sorted(name for part in all_of(parts) for name in part) == sorted(names(whole))
    assert all(all_of(parts))
    assert all_of(split(whole, Division(seed=seed))) == all_of(parts)


def test_shares_come_near_to_what_was_asked_for_and_another_seed_gives_others() -> None:
    whole = pictures([f"{at}.png" for at in range(300)], [f"part {at // 6}" for at in range(300)])

    parts = split(whole, Division(validation=0.2, held_out=0.3))

    assert [len(part) for part in all_of(parts)] == [150, 60, 90]
    assert parts.told["groups"] == {"train": 25, "validation": 10, "held-out": 15}
    assert parts.told["by"] == "group, as the set tells it"
    assert all_of(split(whole, Division(0.2, 0.3, seed=1))) != all_of(parts)


def test_a_pattern_tells_the_groups_from_the_files_names_or_from_their_folders() -> None:
    whole = pictures([f"{board}_{at}.png" for board in (101, 102, 103, 104) for at in range(5)])
    foldered = pictures([f"line/part-{board}/{at}.png" for board in range(4) for at in range(5)])

    parts = split(whole, Division(by=r"^(\d{3})_"))
    by_folder = split(foldered, Division(by=r"part-(\d)/"))

    assert [len({name[:3] for name in part}) for part in all_of(parts)] == [2, 1, 1]
    assert parts.told["by"] == r"group, by '^(\d{3})_' in the file names"
    assert by_folder.told["groups"] == {"train": 2, "validation": 1, "held-out": 1}


def test_without_groups_each_picture_is_its_own_and_that_is_said() -> None:
    parts = split(pictures([f"{at}.png" for at in range(20)]), Division())

    assert [len(part) for part in all_of(parts)] == [16, 2, 2]
    assert parts.told["by"].startswith("picture: the set tells no groups")


def test_classes_that_the_training_share_lacks_are_told(caplog: pytest.LogCaptureFixture) -> None:
    whole = pictures([f"{at}.png" for at in range(6)], splits=["train"] * 4 + ["val", "test"])
    last = whole.lines[-1].model_copy(update={"label": "a lynx"})

    assert split(whole, Division()).told["lacking"] == []
    assert not caplog.records
    parts = split(Lines(whole.place, whole.kind, (*whole.lines[:-1], last)), Division())

    assert parts.told["lacking"] == ["a lynx"]
    assert "has nothing of 1 of the set's classes, which so cannot be learnt: a lynx" in caplog.text


def test_a_set_that_divides_itself_stays_divided_and_what_it_lacks_is_taken_from_training() -> None:
    splits = ["train"] * 16 + ["val"] * 4
    whole = pictures([f"{at:02}.png" for at in range(20)], splits=splits)

    parts = split(whole, Division(held_out=0.1))

    assert names(parts.validation) == ["16.png", "17.png", "18.png", "19.png"]
    assert len(names(parts.held_out)) == 2
    assert set(names(parts.train)) | set(names(parts.held_out)) == {f"{at:02}.png" for at in range(16)}
    assert split(whole, Division(held_out=0)).held_out is None


@pytest.mark.parametrize(
    ("whole", "division", "told"),
    [
        (pictures(["a.png", "b.png"]), Division(), "2 groups are to be trained on and to be divided into 3 shares"),
        (pictures(["a.png", "b.png"]), Division(validation=0), "one of them to validate on"),
        (pictures(["a.png", "b.png", "c.png"]), Division(by=r"(\d)"), "tells no group of 'a.png'"),
        (pictures(["a.png", "b.png", "c.png"]), Division(by="("), "no regular expression"),
        (pictures(["a.png", "b.png", "c.png"]), Division(by="a"), "needs one pair of brackets"),
        (pictures(["a.png"], splits=["dev"]), Division(), "the split 'dev' is none of train"),
        (
            pictures(["a.png", "b.png"], ["p", "p"], ["train", "test"]),
            Division(),
            "its own split has the group 'p' in several shares",
        ),
    ],
)
def test_what_cannot_be_split_is_refused_with_the_reason(whole: Lines, division: Division, told: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        split(whole, division)

    assert told in refused.value.message


@given(st.integers(0, 40))
def test_of_a_rare_class_something_is_left_to_learn_from_and_every_share_has_something_to_find(seed: int) -> None:
    # given twenty pictures, of which five have objects, and a class of which there is one
    content = {
        "images": [{"id": at, "file_name": f"{at}.png", "width": 9, "height": 9} for at in range(20)],
        "annotations": [
            {"id": at, "image_id": at, "category_id": 1 + (at == 0), "bbox": [1, 1, 5, 5], "area": 25}
            for at in range(5)
        ],
        "categories": [{"id": 1, "name": "pit"}, {"id": 2, "name": "crack"}],
    }
    whole = Dataset(Path("/set"), CocoFile.model_validate(content))
    # when they are divided
    parts = split(whole, Division(0.15, 0.15, seed=seed))
    # then nothing lacks, whatever the seed
    assert parts.held_out is not None
    assert parts.train.names() == {"pit", "crack"}
    assert parts.validation.names() == parts.held_out.names() == {"pit"}
    assert sum(parts.told["items"].values()) == 20
    # and the same is had again by what was noted of it
    again = split(whole, Division(**parts.told["division"]))
    assert all_of(again) == all_of(parts)
    assert again.told == parts.told
