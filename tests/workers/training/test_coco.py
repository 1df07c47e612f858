"""Data sets on disk: what is written is read back, and what is not a data set is said to be none."""

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from domain.errors import InvalidRequest
from workers.training import batches as batching
from workers.training.batches import batches
from workers.training.coco import CocoAnnotation, CocoImage, Dataset, bits, read, write_drawn
from workers.training.worlds.surfaces import CLASSES, TRAINING_TEXTURES, draw


@pytest.fixture
def drawn(tmp_path: Path) -> Dataset:
    return write_drawn(tmp_path / "set", 6, 40, textures=TRAINING_TEXTURES, size=(64, 96), processes=1)


@pytest.mark.slow
def test_a_drawn_data_set_holds_the_masks_that_were_drawn(drawn: Dataset) -> None:
    again = read(drawn.folder)

    assert [item.id for item in again.content.annotations] == list(range(1, len(again.content.annotations) + 1))
    assert again.classes == CLASSES
    for image, objects in again.pairs():
        surface = draw(image.id, size=(64, 96))
        assert drawn.path(image).is_file()
        assert [CLASSES[item.category_id - 1] for item in objects] == [one.label for one in surface.defects]
        for item, one in zip(objects, surface.defects, strict=True):
            assert np.array_equal(bits(item, image), one.mask)


@pytest.mark.slow
def test_a_data_set_is_not_drawn_over_another(drawn: Dataset) -> None:
    with pytest.raises(InvalidRequest, match="holds a data set already"):
        write_drawn(drawn.folder, 1, 0, textures=TRAINING_TEXTURES)


@pytest.mark.slow
def test_a_batch_says_where_its_objects_are(drawn: Dataset) -> None:
    batch = next(batches(drawn, side=64, size=6, seed=0))

    assert batch.images.shape == (6, 3, 64, 64)
    assert batch.masks.shape == (6, 32, 32)
    assert len(batch.owners) == len(batch.labels) == len(batch.boxes) > 0
    for row, (owner, box) in enumerate(zip(batch.owners, batch.boxes, strict=True)):
        place = 1 + int((batch.owners[:row] == owner).sum())
        ys, xs = np.nonzero(batch.masks[owner] == place)
        left, right = (box[0] - box[2] / 2) * 32, (box[0] + box[2] / 2) * 32
        top, bottom = (box[1] - box[3] / 2) * 32, (box[1] + box[3] / 2) * 32
        if xs.size:  # a sliver may vanish at half the size
            assert left - 1 <= xs.min()
            assert xs.max() <= right
            assert top - 1 <= ys.min()
            assert ys.max() <= bottom


def test_an_image_names_its_golden_reference_and_its_group(tmp_path: Path) -> None:
    image = {"id": 1, "file_name": "a.png", "width": 4, "height": 4}
    content = {"annotations": [], "categories": [{"id": 1, "name": "open"}]}

    paired = read(_write(tmp_path, {"images": [{**image, "template": "gold.png", "group": "board 7"}], **content}))
    (only,) = paired.content.images

    assert paired.paired
    assert paired.template_path(only) == tmp_path / "templates" / "gold.png"
    assert only.group == "board 7"


def test_a_set_of_which_one_image_has_no_reference_is_not_paired(tmp_path: Path) -> None:
    images = [{"id": key, "file_name": f"{key}.png", "width": 4, "height": 4} for key in (1, 2)]
    images[0]["template"] = "gold.png"

    mixed = read(_write(tmp_path, {"images": images, "annotations": [], "categories": [{"id": 1, "name": "open"}]}))

    assert not mixed.paired
    assert [mixed.template_path(one) for one in mixed.content.images] == [tmp_path / "templates" / "gold.png", None]


def _write(folder: Path, content: object) -> Path:
    (folder / "images").mkdir()
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


def test_polygons_and_bare_boxes_are_read_as_masks(tmp_path: Path) -> None:
    square = {
        "id": 1,
        "image_id": 1,
        "category_id": 3,
        "bbox": [1, 1, 2, 2],
        "segmentation": [[1, 1, 3, 1, 3, 3, 1, 3]],
    }
    bare = {"id": 2, "image_id": 1, "category_id": 3, "bbox": [0, 0, 2, 2]}
    image = {"id": 1, "file_name": "a.png", "width": 6, "height": 5}
    folder = _write(
        tmp_path, {"images": [image], "annotations": [square, bare], "categories": [{"id": 3, "name": "x"}]}
    )

    dataset = read(folder)
    ((image_read, objects),) = dataset.pairs()

    assert dataset.class_index() == {3: 0}
    assert np.argwhere(bits(objects[0], image_read)).tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]
    assert np.argwhere(bits(objects[1], image_read)).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "is not COCO"),
        ({"images": [], "annotations": [], "categories": []}, "no images"),
        (
            {
                "images": [{"id": 1, "file_name": "a", "width": 1, "height": 1}],
                "annotations": [{"id": 5, "image_id": 2, "category_id": 1, "bbox": [0, 0, 1, 1]}],
                "categories": [{"id": 1, "name": "x"}],
            },
            "annotation 5 names image 2",
        ),
        (
            {
                "images": [{"id": 1, "file_name": name, "width": 1, "height": 1} for name in "ab"],
                "annotations": [],
                "categories": [{"id": 1, "name": "x"}],
            },
            "one id to several CocoImages",
        ),
    ],
)
def test_a_file_that_is_no_data_set_is_refused_by_name(tmp_path: Path, content: object, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words) as caught:
        read(_write(tmp_path, content))

    assert "annotations.json" in caught.value.message


def test_a_folder_without_annotations_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="does not exist"):
        read(tmp_path)


TRIANGLE = [1, 1, 7, 1, 1, 7]
AT = CocoImage(id=1, file_name="a.png", width=10, height=8)


def shaped(segmentation: object) -> CocoAnnotation:
    told = {"id": 5, "image_id": 1, "category_id": 1, "bbox": (0, 0, 4, 2), "segmentation": segmentation}
    return CocoAnnotation.model_validate(told)


@pytest.mark.parametrize("broken", [[], [1, 1, 7, 1], [0, 0, 9, 7, 3]])
def test_a_part_of_a_mask_that_encloses_nothing_is_left_out(broken: list[float]) -> None:
    whole = bits(shaped([TRIANGLE]), AT)

    assert np.array_equal(bits(shaped([broken, TRIANGLE]), AT), whole)
    assert shaped([broken]).segmentation is None
    assert bits(shaped([broken]), AT).sum() == 8, "its box"


@pytest.mark.parametrize(
    ("segmentation", "words"),
    [
        ([[float("nan"), 1, 2, 2, 3, 1]], "near to the picture"),
        ([[1e8, 1, 2, 2, 3, 1]], "near to the picture"),
        ([["a", 1, 2, 2, 3, 1]], "could not convert"),
        ("somewhere", "a polygon is"),
        ({"size": [8, 10], "counts": [3, 4]}, "add up to the 80 pixels"),
        ({"size": [8, 10], "counts": [0.5, 79.5]}, "add up to the 80 pixels"),
        ({"size": [8, 10], "counts": [float("inf")]}, "a size and counts"),
        ({"size": [10, 8], "counts": [80]}, "its image of"),
    ],
)
def test_a_mask_that_cannot_be_read_is_refused_with_its_picture_and_id(segmentation: object, words: str) -> None:
    with pytest.raises(InvalidRequest, match=rf"annotation 5 of a\.png: .*{words}"):
        bits(shaped(segmentation), AT)


def test_run_lengths_may_be_written_as_whole_floats() -> None:
    assert bits(shaped({"size": [8.0, 10.0], "counts": [3.0, 4.0, 73.0]}), AT).sum() == 4


def test_categories_of_one_name_are_one_class(tmp_path: Path) -> None:
    content = {
        "images": [{"id": 1, "file_name": "a.png", "group": 17}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1]}],
        "categories": [{"id": at, "name": name} for at, name in enumerate(("screw", "screw", "nut"))],
    }

    found = read(_write(tmp_path, content))

    assert found.classes == ("screw", "nut")
    assert [one.category_id for one in found.content.annotations] == [0]
    assert found.content.images[0].group == "17", "a number is taken as a text"


def learnt(folder: Path, annotations: list[dict[str, object]], pixels: np.ndarray | None = None) -> Dataset:
    pixels = np.zeros((80, 160, 3), dtype=np.uint8) if pixels is None else pixels
    image = {"id": 1, "file_name": "a.png", "width": pixels.shape[1], "height": pixels.shape[0]}
    numbered = [{"id": at, "image_id": 1, "category_id": 1, **one} for at, one in enumerate(annotations, start=1)]
    found = read(_write(folder, {"images": [image], "annotations": numbered, "categories": [{"id": 1, "name": "x"}]}))
    Image.fromarray(pixels).save(found.path(found.content.images[0]))
    return found


def test_boxes_lie_where_they_are_drawn_when_no_masks_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.zeros((80, 160, 3), dtype=np.uint8)
    pixels[20:60, 30:50] = 255
    monkeypatch.setattr(batching, "_tinted", lambda square, rng: square)
    found = learnt(tmp_path, [{"bbox": [30, 20, 20, 40]}], pixels)
    stream = batches(found, side=160, size=1, seed=0, masks=False)
    monkeypatch.setattr(batching, "runs", lambda *asked: pytest.fail("a mask is drawn"))

    for batch in islice(stream, 40):
        assert not batch.masks.any()
        ys, xs = np.nonzero(batch.images[0, 0] > 127 + 57)
        for x, y, width, height in batch.boxes * 160:
            corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
            assert corners == pytest.approx((xs.min(), ys.min(), xs.max() + 1, ys.max() + 1), abs=1)


def test_more_objects_than_a_byte_counts_are_told_apart(tmp_path: Path) -> None:
    crowded = [{"bbox": [8 * at, 8 * row, 6, 6]} for row in range(17) for at in range(17)]
    found = learnt(tmp_path, crowded, np.zeros((136, 136, 3), dtype=np.uint8))

    most = max(
        (next(batches(found, side=256, size=1, seed=seed)) for seed in range(4)), key=lambda one: len(one.labels)
    )

    assert len(most.labels) == most.masks.max() == 289


def test_crowds_are_not_learnt(tmp_path: Path) -> None:
    found = learnt(tmp_path, [{"bbox": [0, 0, 160, 80], "iscrowd": 1}, {"bbox": [60, 30, 40, 20]}])

    for masks in (True, False):
        assert len(next(batches(found, side=160, size=1, seed=1, masks=masks)).labels) == 1


def test_pictures_are_learnt_as_they_are_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "_tinted", lambda square, rng: square)
    found = learnt(tmp_path, [], np.zeros((80, 160, 4), dtype=np.uint8))

    assert next(batches(found, side=160, size=1, seed=0)).images.max() == 255, "what shows through is white"
