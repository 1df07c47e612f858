"""Finding a labelled set at a path: its form, its objects in pixels, its shares, and what is wrong with it."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from domain.errors import ImageTooLarge, InvalidRequest
from workers.training.coco import Dataset, bits
from workers.training.sets.find import find
from workers.training.sets.hashing import data_hash
from workers.training.sets.labelled_set import Kind, Share
from workers.training.sets.lines import Lines


def picture(path: Path, size: tuple[int, int] = (40, 20), *, turned: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if turned:
        exif[0x0112] = 6
    Image.new("RGB", size).save(path, exif=exif)
    return path


def text(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines))
    return path


def boxes(folder: Path) -> Dataset:
    found = find(folder)
    assert isinstance(found, Dataset)
    return found


def test_a_yolo_folder_is_read_in_pixels_with_boxes_polygons_and_names(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.png")
    picture(tmp_path / "images" / "b.jpg", turned=True)
    picture(tmp_path / "images" / "clean.jpg")
    text(tmp_path / "labels" / "a.txt", "1 0.5 0.5 0.5 0.2", "", "0 0 0 0.5 0 0.5 1")
    text(tmp_path / "labels" / "b.txt", "0 1 1 0.2 0.2")
    text(tmp_path / "data.yaml", "train: images", "val: images", "names: [scratch, dent]")

    found = boxes(tmp_path)

    assert found.classes == ("scratch", "dent")
    a, b, clean = found.pairs()
    assert [(one.category_id, one.bbox) for one in a[1]] == [(1, (10, 8, 20, 4)), (0, (0, 0, 20, 20))]
    assert bits(a[1][1], a[0]).sum() == pytest.approx(200, abs=40), "the triangle, not its box"
    assert (b[0].width, b[0].height) == (20, 40), "as it is shown"
    assert b[1][0].bbox == (18, 36, 2, 4), "what reaches beyond the picture ends at its edge"
    assert clean[1] == []
    assert found.path(a[0]) == tmp_path / "images" / "a.png"
    assert [item.share for item in found.items()] == [None] * 3, "validating on what is trained on is no split"


def test_a_yolo_folder_with_cocos_own_annotations_of_some_pictures_is_a_yolo_folder(tmp_path: Path) -> None:
    for name in ("a", "b"):
        picture(tmp_path / "images" / f"{name}.png")
        text(tmp_path / "labels" / f"{name}.txt", "0 0.5 0.5 0.5 0.2")
    told = {"images": [{"id": 1, "file_name": "b.png", "width": 40, "height": 20}], "annotations": [], "categories": []}
    text(tmp_path / "annotations" / "instances_val2017.json", json.dumps(told))

    assert len(boxes(tmp_path).items()) == 2


@pytest.mark.parametrize(
    ("described", "places"),
    [
        ("train: images/train\nval: images/val\nnames: {0: dent}", ("images/train/{}", "labels/train/{}")),
        (
            "path: /gone\ntrain: ../train/images\nval: ../val/images\nnames: [dent]",
            ("train/images/{}", "train/labels/{}"),
        ),
        ("train: train.txt\nval: val.txt\nnames: [dent]", ("train/images/{}", "train/labels/{}")),
    ],
)
def test_the_shares_of_a_yolo_folder_stay(described: str, places: tuple[str, str], tmp_path: Path) -> None:
    for share in ("train", "val"):
        image, labels = (place.replace("train", share) for place in places)
        picture(tmp_path / image.format("0.png"))
        text(tmp_path / labels.format("0.txt"), "0 0.5 0.5 1 1")
        text(tmp_path / f"{share}.txt", image.format("0.png"))
    text(tmp_path / "data.yaml", described)

    found = boxes(tmp_path)

    assert [item.share for item in found.items()] == [Share.TRAIN, Share.VALIDATION]
    assert all(len(objects) == 1 and found.path(image).exists() for image, objects in found.pairs())


def test_a_yolo_folder_without_a_description_has_numbered_classes_or_those_of_its_list(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "0.png")
    text(tmp_path / "labels" / "0.txt", "3 0.5 0.5 1 1", "11 0.5 0.5 1 1")

    assert boxes(tmp_path).classes == ("3", "11")
    text(tmp_path / "classes.txt", *"abcdefghijkl")
    assert boxes(tmp_path).classes == tuple("abcdefghijkl")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("0 0.5 0.5 0.2", "line 2: 3 coordinates; a box has 4"),
        ("0 0.5 0.5 0.2 0.2 0.9", "line 2: 5 coordinates; a box has 4"),
        ("0 12 30 4 8", "line 2: coordinates are shares of the picture's sides"),
        ("0 nan 0.5 0.5 0.5", "line 2: coordinates are shares of the picture's sides"),
        ("7 0.5 0.5 0.2 0.2", "line 2: there is no class 7"),
        ("dent 0.5 0.5 0.2 0.2", "line 2: invalid literal"),
    ],
)
def test_a_wrong_line_of_a_yolo_folder_is_named(line: str, told: str, tmp_path: Path) -> None:
    picture(tmp_path / "images" / "0.png")
    text(tmp_path / "labels" / "0.txt", "0 0.5 0.5 1 1", line)
    text(tmp_path / "classes.txt", "dent")

    with pytest.raises(InvalidRequest) as refused:
        find(tmp_path)

    assert f"{tmp_path / 'labels' / '0.txt'}, {told}" in refused.value.message


def test_what_is_wrong_with_a_yolo_folder_is_told(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "0.png")
    told = text(tmp_path / "data.yaml", "train: pictures", "names: [dent]")
    with pytest.raises(InvalidRequest, match=r"data\.yaml names pictures, and .* does not exist"):
        find(tmp_path)
    text(told, "train: images", "names: [dent]")
    with pytest.raises(InvalidRequest, match="has no labels"):
        find(tmp_path)
    text(tmp_path / "labels" / "0.txt", "0 0.5 0.5 1 1")
    text(told, "train: images")
    with pytest.raises(InvalidRequest, match="names no classes"):
        find(tmp_path)
    text(told, "train: images", "names: {first: dent}")
    with pytest.raises(InvalidRequest, match="whole numbers"):
        find(tmp_path)
    text(told, "train: [")
    with pytest.raises(InvalidRequest, match="is no YAML"):
        find(tmp_path)
    text(told, "train: images", "names: [dent]")
    (tmp_path / "images" / "0.png").write_text("no picture")
    with pytest.raises(InvalidRequest, match=r"0\.png cannot be read as an image"):
        find(tmp_path)


def test_a_picture_of_several_shares_is_in_the_first_and_a_share_that_is_not_there_is_passed_over(
    tmp_path: Path,
) -> None:
    for share in ("train", "val"):
        picture(tmp_path / "images" / share / "0.png")
        text(tmp_path / "labels" / share / "0.txt", "0 0.5 0.5 1 1", "0 0.5 0.5 0.5 0.5")
    told = text(tmp_path / "data.yaml", "train: images/train", "val: images/val", "test: images/val", "names: [dent]")
    assert [item.share for item in find(tmp_path).items()] == [Share.TRAIN, Share.VALIDATION]
    text(told, "train: images/train", "val: images/val", "test: images/test", "names: [dent]")

    found = boxes(tmp_path)

    assert [item.share for item in found.items()] == [Share.TRAIN, Share.VALIDATION]
    assert [one.id for one in found.content.annotations] == [1, 2, 3, 4]


def test_a_description_may_be_called_otherwise_and_named_itself(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "0.png")
    text(tmp_path / "labels" / "0.txt", "0 0.5 0.5 1 1")
    told = text(tmp_path / "pcb.yaml", "train: images", "names: [dent]")
    text(tmp_path / "notes.yaml", "taken: today")

    assert boxes(tmp_path).classes == boxes(told).classes == ("dent",)
    text(tmp_path / "other.yml", "train: images", "names: [scratch]")
    with pytest.raises(InvalidRequest, match=r"several sets: other\.yml, pcb\.yaml; name one"):
        find(tmp_path)


def test_folders_that_are_called_as_shares_are_these_in_capitals_too(tmp_path: Path) -> None:
    for share in ("Train", "Val"):
        picture(tmp_path / "images" / share / "0.png")
        text(tmp_path / "labels" / share / "0.txt", "0 0.5 0.5 1 1")

    assert [item.share for item in find(tmp_path).items()] == [Share.TRAIN, Share.VALIDATION]


def test_texts_may_begin_with_a_byte_order_mark_and_are_in_utf_8(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "0.png")
    labels, classes = tmp_path / "labels" / "0.txt", tmp_path / "classes.txt"
    listed, told = tmp_path / "train.txt", tmp_path / "data.yaml"
    contents = {
        labels: "0 0.5 0.5 1 1",
        classes: "dent",
        listed: "images/0.png",
        told: "train: train.txt\nnames: [Öse]",
    }
    for file, content in contents.items():
        file.parent.mkdir(exist_ok=True)
        file.write_text(content, "utf-8-sig")
    assert boxes(tmp_path).classes == ("Öse",)
    told.unlink()
    assert boxes(tmp_path).classes == ("dent",)
    for file in (labels, classes):
        file.write_bytes("Öse".encode("latin-1"))
        with pytest.raises(InvalidRequest, match=rf"{file.name} is no text in UTF-8"):
            find(tmp_path)


def test_a_picture_too_large_for_any_reader_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(tmp_path / "images" / "0.png")
    text(tmp_path / "labels" / "0.txt", "0 0.5 0.5 1 1")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)

    with pytest.raises(ImageTooLarge, match=r"0\.png: Image size"):
        find(tmp_path)


def test_lines_are_found_by_their_file_and_in_their_folder(tmp_path: Path) -> None:
    file = text(tmp_path / "labels.jsonl", json.dumps({"image": "a.png", "label": "a cat", "group": "litter 1"}))

    found = find(file)

    assert isinstance(found, Lines)
    assert (found.kind, found.items()[0].key, found.items()[0].group) == (Kind.LABELS, "a.png", "litter 1")
    assert find(tmp_path) == found
    text(tmp_path / "more.jsonl", "{}")
    with pytest.raises(InvalidRequest, match=r"several files of lines: labels\.jsonl, more\.jsonl"):
        find(tmp_path)


def test_what_is_no_set_is_refused_with_what_one_is(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing", text(tmp_path / "notes.txt", "a cat")):
        with pytest.raises(InvalidRequest, match=r"a set is a folder with annotations\.json"):
            find(path)


def test_the_hash_of_a_set_changes_with_its_labels_and_with_its_pictures_and_not_with_its_place(tmp_path: Path) -> None:
    def set_in(folder: Path, label: str = "a cat", grey: int = 0) -> str:
        file = text(folder / "labels.jsonl", json.dumps({"image": "a.png", "label": label}))
        Image.fromarray(np.full((4, 4, 3), grey, dtype=np.uint8)).save(folder / "a.png")
        return data_hash(find(file))

    known = set_in(tmp_path / "one")

    assert known == set_in(tmp_path / "two")
    assert len({known, set_in(tmp_path / "one", label="a dog"), set_in(tmp_path / "one", grey=1)}) == 3
    (tmp_path / "one" / "a.png").unlink()
    with pytest.raises(InvalidRequest, match=r"a\.png cannot be read: No such file"):
        data_hash(find(tmp_path / "one"))
