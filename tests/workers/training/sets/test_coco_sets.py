"""COCO sets as programs lay them out, and what is looked for in one before anything is made of it."""

import json
from codecs import BOM_UTF8
from pathlib import Path
from typing import Any

import pytest

from domain.errors import InvalidRequest
from tests.workers.training.sets.test_find import boxes, picture
from workers.training.sets.labelled_set import Share

CATEGORIES = [{"id": 4, "name": "screw"}]


def coco(file: Path, *names: str, first: int = 1, **of_image: Any) -> Path:
    """Write annotations: an object in each picture, ids from `first`."""
    numbered = list(enumerate(names, start=first))
    size = {"width": 40, "height": 20}
    told = {
        "images": [{"id": at, "file_name": name, **size, **of_image} for at, name in numbered],
        "annotations": [{"id": at, "image_id": at, "category_id": 4, "bbox": [1, 2, 3, 4]} for at, _ in numbered],
        "categories": CATEGORIES,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(told))
    return file


@pytest.mark.parametrize(
    ("file", "named", "lies"),
    [
        ("annotations.json", "a.png", "images/a.png"),
        ("annotations.json", "a.png", "a.png"),
        ("annotations.json", "images/a.png", "images/a.png"),
        ("annotations/instances_default.json", "a.png", "images/a.png"),
        ("annotations/instances_default.json", "a.png", "images/default/a.png"),
        ("annotations/instances_train2017.json", "a.png", "train2017/a.png"),
        ("_annotations.coco.json", "a.png", "a.png"),
        ("train/_annotations.coco.json", "a.png", "train/a.png"),
        ("result.json", "images/a.png", "images/a.png"),
    ],
)
def test_pictures_are_found_where_programs_put_them(file: str, named: str, lies: str, tmp_path: Path) -> None:
    written = coco(tmp_path / file, named)
    picture(tmp_path / lies)

    for place in (written,) if file == "result.json" else (tmp_path, written):
        found = boxes(place)
        assert [path.resolve() for path in found.pictures()] == [(tmp_path / lies).resolve()]
        assert [item.share for item in found.items()] == [None]


def test_templates_are_found_beside_the_pictures_too(tmp_path: Path) -> None:
    coco(tmp_path / "annotations.json", "a.png", template="gold/a.png")
    for name in ("a.png", "gold/a.png"):
        picture(tmp_path / name)

    found = boxes(tmp_path)

    assert found.pictures() == [tmp_path / "a.png", tmp_path / "gold" / "a.png"]


def test_pictures_may_lie_in_several_of_the_places(tmp_path: Path) -> None:
    coco(tmp_path / "annotations.json", "a.png", "b.png")
    picture(tmp_path / "a.png")
    picture(tmp_path / "images" / "b.png")

    assert boxes(tmp_path).pictures() == [tmp_path / "a.png", tmp_path / "images" / "b.png"]


def test_a_set_in_folders_of_shares_divides_itself(tmp_path: Path) -> None:
    for share, names in (("train", ("a.png", "b.png")), ("valid", ("a.png",)), ("test", ("c.png",))):
        coco(tmp_path / share / "_annotations.coco.json", *names)
        for name in names:
            picture(tmp_path / share / name)

    found = boxes(tmp_path)

    shares = {item.key: item.share for item in found.items()}
    assert shares == {
        "train/a.png": Share.TRAIN,
        "train/b.png": Share.TRAIN,
        "valid/a.png": Share.VALIDATION,
        "test/c.png": Share.HELD_OUT,
    }
    assert sorted(one.id for one in found.content.annotations) == [1, 2, 3, 4]
    assert all(len(objects) == 1 and found.path(image).is_file() for image, objects in found.pairs())
    assert found.classes == ("screw",)


def test_files_of_instances_are_shares_by_their_names(tmp_path: Path) -> None:
    for share in ("Train", "val"):
        coco(tmp_path / "annotations" / f"instances_{share}.json", f"{share}.png")
        picture(tmp_path / "images" / share / f"{share}.png")

    items = boxes(tmp_path).items()

    assert [(item.key, item.share) for item in items] == [
        ("images/Train/Train.png", Share.TRAIN),
        ("images/val/val.png", Share.VALIDATION),
    ]


@pytest.mark.parametrize("name", ["../../a.png", "/etc/passwd"])
def test_a_name_that_leads_out_of_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    coco(tmp_path / "set" / "annotations.json", name)
    with pytest.raises(InvalidRequest, match="lies outside of"):
        boxes(tmp_path / "set")
    coco(tmp_path / "set" / "annotations.json", "b.png", template=name)
    with pytest.raises(InvalidRequest, match="lies outside of"):
        boxes(tmp_path / "set")


def test_a_size_that_is_not_told_is_that_of_the_picture_as_it_is_shown(tmp_path: Path) -> None:
    coco(tmp_path / "annotations.json", "a.jpg", "b.png", width=0, height=0)
    picture(tmp_path / "a.jpg", turned=True)
    picture(tmp_path / "b.png")

    assert [(one.width, one.height) for one in boxes(tmp_path).content.images] == [(20, 40), (40, 20)]


@pytest.mark.parametrize(
    ("turned", "size", "words"),
    [
        (False, (80, 40), r"a\.jpg is 80x40 \(width x height\), and the set says 40x20 of it; correct the size"),
        (True, (40, 20), r"a\.jpg is 20x40 \(width x height\), and the set says 40x20 of it; its EXIF orientation"),
    ],
)
def test_a_size_that_is_not_the_pictures_is_refused(
    turned: bool, size: tuple[int, int], words: str, tmp_path: Path
) -> None:
    coco(tmp_path / "annotations.json", "a.jpg")
    picture(tmp_path / "a.jpg", size, turned=turned)

    with pytest.raises(InvalidRequest, match=words):
        boxes(tmp_path)


def test_pictures_that_are_missing_or_none_are_told_of(tmp_path: Path) -> None:
    coco(tmp_path / "annotations.json", "a.png", template="gold.png")
    with pytest.raises(InvalidRequest, match=r"images/a\.png cannot be read as an image"):
        boxes(tmp_path)
    picture(tmp_path / "images" / "a.png")
    with pytest.raises(InvalidRequest, match=r"templates/gold\.png cannot be read as an image"):
        boxes(tmp_path)
    (tmp_path / "images" / "a.png").write_text("no picture")
    with pytest.raises(InvalidRequest, match=r"images/a\.png cannot be read as an image"):
        boxes(tmp_path)


@pytest.mark.parametrize(
    ("of_object", "words"),
    [
        ({"bbox": [float("nan"), 0, 1, 1]}, "its box is x, y, width, height"),
        ({"segmentation": {"size": [20, 40], "counts": [5]}}, "add up to the 800 pixels"),
        ({"segmentation": [[1, 1, 2, 2, float("nan"), 1]]}, "near to the picture"),
    ],
)
def test_a_broken_box_or_mask_is_told_with_its_picture_and_id(
    of_object: dict[str, Any], words: str, tmp_path: Path
) -> None:
    file = coco(tmp_path / "annotations.json", "a.png")
    picture(tmp_path / "images" / "a.png")
    told = json.loads(file.read_text())
    told["annotations"][0] |= of_object
    file.write_text(json.dumps(told))

    with pytest.raises(InvalidRequest, match=rf"annotation 1 of a\.png: .*{words}"):
        boxes(tmp_path)


def test_a_byte_order_mark_is_passed_over_and_another_encoding_refused(tmp_path: Path) -> None:
    file = coco(tmp_path / "annotations.json", "a.png")
    picture(tmp_path / "images" / "a.png")
    file.write_bytes(BOM_UTF8 + file.read_bytes())
    assert boxes(tmp_path).classes == ("screw",)
    file.write_bytes(file.read_bytes().removeprefix(BOM_UTF8).replace(b"screw", "Öse".encode("latin-1")))
    with pytest.raises(InvalidRequest, match=r"annotations\.json is not COCO"):
        boxes(tmp_path)
