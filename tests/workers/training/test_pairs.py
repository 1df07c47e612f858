"""Windows of pairs as training batches: what they show, and which pairs are left out."""

import json
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from domain.errors import InvalidRequest
from workers.modelling.pairs import Pairs, cut, stacked
from workers.training.coco import ANNOTATIONS, Dataset, read
from workers.training.pairs import PairStream, _turned, read_pair, suited
from workers.training.worlds import circuit_sets

HOW = Pairs(window=64)


@pytest.fixture(scope="module")
def boards(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return circuit_sets.write(tmp_path_factory.mktemp("boards") / "set", 4, 11, size=(200, 240))


def altered(dataset: Dataset, folder: Path, **of_first: object) -> Dataset:
    """Return the set in another folder, with another first image."""
    told = json.loads((dataset.folder / ANNOTATIONS).read_text())
    told["images"][0] |= of_first
    for name in ("images", "templates"):
        (folder / name).symlink_to(dataset.folder / name)
    (folder / ANNOTATIONS).write_text(json.dumps(told))
    return read(folder)


def test_a_batch_shows_objects_in_their_boxes_and_windows_without_any(boards: Dataset) -> None:
    batch = next(iter(PairStream(boards, HOW, side=64, size=24, seed=0)))

    assert batch.images.shape == (24, 3, 64, 64)
    assert len(batch.owners) == len(batch.labels) == len(batch.boxes) > 0
    assert set(range(24)) - set(batch.owners.tolist())
    for owner, (x, y, width, height) in zip(batch.owners, batch.boxes, strict=True):
        assert 0 <= x - width / 2 <= x + width / 2 <= 1
        left, right, top, bottom = (
            round(float(edge) * 64) for edge in (x - width / 2, x + width / 2, y - height / 2, y + height / 2)
        )
        assert batch.images[owner, 2, top:bottom, left:right].max() > 40  # there the two differ


def test_a_seed_gives_the_same_batches_and_another_others(boards: Dataset) -> None:
    one, same, other = (list(islice(PairStream(boards, HOW, side=64, size=8, seed=seed), 2)) for seed in (1, 1, 2))

    assert all(np.array_equal(a.images, b.images) for a, b in zip(one, same, strict=True))
    assert not np.array_equal(one[0].images, other[0].images)


def test_turning_keeps_boxes_on_what_they_show() -> None:
    rng = np.random.default_rng(0)
    for _ in range(40):
        square = np.zeros((32, 32, 3), dtype=np.uint8)
        square[5:9, 12:30] = 255
        turned, labels, boxes = _turned(square, np.array([3]), np.array([[12.0, 5.0, 30.0, 9.0]]), rng)
        rows, columns = np.nonzero(turned[..., 0])
        assert boxes.tolist() == [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]
        assert labels.tolist() == [3]


def test_training_shows_a_window_as_serving_does(boards: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    from workers.training import pairs

    monkeypatch.setattr(pairs, "_lit", lambda square, rng: square)
    monkeypatch.setattr(pairs, "_turned", lambda square, labels, boxes, rng: (square, labels, boxes))
    image = boards.content.images[0]
    picture, reference = read_pair(boards, image)
    laid = pairs.register(picture, reference).pixels
    channels = stacked(picture, laid, HOW)
    seen: list[np.ndarray] = []
    monkeypatch.setattr(pairs, "cut", lambda *asked: seen.append(asked) or cut(*asked))
    single = Dataset(boards.folder, boards.content.model_copy(update={"images": (image,), "annotations": ()}))

    next(iter(PairStream(single, HOW, side=64, size=2, seed=0)))

    assert np.array_equal(seen[0][0], channels)


def test_a_pair_that_cannot_be_registered_is_left_out_and_named(boards: Dataset, tmp_path: Path) -> None:
    even = tmp_path / "even.png"
    cv2.imwrite(str(even), np.full((200, 240, 3), 90, dtype=np.uint8))
    stream = PairStream(altered(boards, tmp_path, template=str(even)), HOW, side=64, size=8, seed=0)

    next(iter(stream))

    assert stream.refused == {
        "000000011.png": "the reference shows nothing that could be laid over anything: it is even"
    }


def test_a_set_of_which_no_pair_can_be_registered_is_refused(boards: Dataset, tmp_path: Path) -> None:
    even = tmp_path / "even.png"
    cv2.imwrite(str(even), np.full((200, 240, 3), 90, dtype=np.uint8))
    alone = altered(boards, tmp_path, template=str(even))
    alone = Dataset(
        alone.folder, alone.content.model_copy(update={"images": alone.content.images[:1], "annotations": ()})
    )

    with pytest.raises(
        InvalidRequest, match=r"none of 1 pairs can be used; 000000011\.png: the reference shows nothing"
    ):
        next(iter(PairStream(alone, HOW, side=64, size=8, seed=0)))


def test_beyond_the_memory_that_is_kept_pairs_are_registered_anew(
    boards: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workers.training import pairs

    monkeypatch.setattr(pairs, "KEPT_BYTES", 200 * 240 * 3)  # of one pair
    stream = PairStream(boards, HOW, side=64, size=8, seed=0)

    for _ in islice(stream, 6):
        pass

    assert len(stream._kept) == 1


def test_windows_fit_the_objects_of_the_set(boards: Dataset) -> None:
    small = suited(boards)
    huge = boards.content.model_copy(
        update={
            "annotations": tuple(
                item.model_copy(update={"bbox": (0, 0, 150, 90)}) for item in boards.content.annotations
            )
        }
    )

    assert small.window == 64
    assert suited(Dataset(boards.folder, huge)).window == 192


def test_crowds_are_not_learnt_and_do_not_make_windows_larger(boards: Dataset) -> None:
    huge = tuple(
        item.model_copy(update={"bbox": (0, 0, 199, 150), "iscrowd": True}) for item in boards.content.annotations
    )
    crowded = Dataset(boards.folder, boards.content.model_copy(update={"annotations": huge}))

    assert suited(crowded).window == 64
    assert next(iter(PairStream(crowded, HOW, side=64, size=24, seed=0))).labels.size == 0


def test_pairs_are_read_as_they_are_served(boards: Dataset, tmp_path: Path) -> None:
    clear = np.zeros((200, 240, 4), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "clear.png"), clear)
    seen = altered(boards, tmp_path, template=str(tmp_path / "clear.png"))

    _, reference = read_pair(seen, seen.content.images[0])

    assert reference.min() == 255, "what shows through is white"


def test_a_set_without_a_reference_for_each_is_no_set_of_pairs(boards: Dataset, tmp_path: Path) -> None:
    lacking = altered(boards, tmp_path, template=None)

    with pytest.raises(InvalidRequest, match=r"1 of 4 images have no `template`, such as 000000011\.png"):
        suited(lacking)
    with pytest.raises(InvalidRequest, match="has no `template`"):
        read_pair(lacking, lacking.content.images[0])


def test_a_reference_that_is_missing_is_named(boards: Dataset, tmp_path: Path) -> None:
    lost = altered(boards, tmp_path, template="none.png")

    with pytest.raises(InvalidRequest, match=r"templates/none\.png cannot be read"):
        read_pair(lost, lost.content.images[0])
