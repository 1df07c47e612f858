"""Drawn circuit boards: the same each time, wrong where they are said to be, and alike everywhere else."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from domain.errors import InvalidRequest
from workers.imaging.difference import difference
from workers.imaging.registration import register
from workers.training.worlds import circuit_sets
from workers.training.worlds.circuit_flaws import FLAWS, bite, bridge, cut, hole, speck, spur
from workers.training.worlds.circuits import CLASSES, draw


def traces() -> np.ndarray:
    """Return three level traces and a plane: copper with room for every flaw."""
    copper = np.zeros((200, 240), dtype=np.uint8)
    for y in (30, 50, 70):
        cv2.line(copper, (0, y), (239, y), 1, 8)
    cv2.rectangle(copper, (20, 110), (110, 180), 1, -1)
    return copper


def parts(mask: np.ndarray) -> int:
    return int(cv2.connectedComponents(mask)[0]) - 1


def made(flaw: object, copper: np.ndarray, seed: int = 0) -> np.ndarray:
    """Try until there is a place for the flaw."""
    rng = np.random.default_rng(seed)
    for _ in range(200):
        changed = FLAWS[flaw](rng, copper) if isinstance(flaw, str) else flaw(rng, copper)  # type: ignore[operator]
        if changed is not None:
            return np.asarray(changed)
    raise AssertionError("no place was found")


@pytest.mark.parametrize("seed", range(5))
def test_each_flaw_does_to_the_copper_what_its_name_says(seed: int) -> None:
    copper = traces()

    assert parts(made(cut, copper, seed)) == parts(copper) + 1
    assert parts(made(bridge, copper, seed)) <= parts(copper)
    assert parts(made(speck, copper, seed)) == parts(copper) + 1
    for flaw, grows in ((bite, -1), (spur, 1), (hole, -1), (cut, -1), (bridge, 1), (speck, 1)):
        changed = made(flaw, copper, seed).astype(int) - copper
        assert (changed * grows >= 0).all()
        assert changed.any()
    assert parts(1 - made(hole, copper, seed)) == parts(1 - copper) + 1
    assert parts(made(bite, copper, seed)) == parts(copper)


@pytest.mark.parametrize("name", CLASSES)
def test_a_flaw_finds_no_place_where_there_is_no_copper_or_nothing_else(name: str) -> None:
    for level in (0, 1):
        bare = np.full((60, 60), level, dtype=np.uint8)
        found = FLAWS[name](np.random.default_rng(0), bare)
        assert found is None or (name, level) in {("copper", 0), ("pin-hole", 1)}


def test_one_seed_gives_one_board() -> None:
    one, same, other = draw(3), draw(3), draw(4)

    assert np.array_equal(one.picture, same.picture)
    assert np.array_equal(one.reference, same.reference)
    assert one.flaws == same.flaws
    assert not np.array_equal(one.picture, other.picture)


@pytest.mark.parametrize("seed", range(20, 26))
def test_once_laid_over_a_board_differs_from_its_reference_where_its_flaws_are(seed: int) -> None:
    pair = draw(seed, flaws=4)
    laid = register(pair.picture, pair.reference).pixels
    strictly, levels = (difference(pair.picture, laid, tolerance) for tolerance in (1, 2))

    elsewhere = np.ones(levels.shape, dtype=bool)
    for flaw in pair.flaws:
        x0, y0, x1, y1 = (int(value) for value in flaw.box.xyxy)
        assert strictly[y0:y1, x0:x1].max() > 40
        elsewhere[y0:y1, x0:x1] = False
    assert (levels[8:-8, 8:-8][elsewhere[8:-8, 8:-8]] > 60).mean() < 0.002


def test_a_board_without_flaws_has_none() -> None:
    assert draw(1, flaws=0).flaws == ()


def test_a_set_of_boards_has_references_and_a_group_for_each(tmp_path: Path) -> None:
    written = circuit_sets.write(tmp_path / "set", 3, 7, size=(160, 200))

    assert written.paired
    assert written.classes == CLASSES
    assert [image.group for image in written.content.images] == ["board 7", "board 8", "board 9"]
    for image, objects in written.pairs():
        template = written.template_path(image)
        assert template is not None
        again = draw(image.id, size=(160, 200))
        assert np.array_equal(cv2.imread(str(template), cv2.IMREAD_COLOR_RGB), again.reference)
        assert [CLASSES[item.category_id - 1] for item in objects] == [flaw.label for flaw in again.flaws]
    with pytest.raises(InvalidRequest, match="holds a data set already"):
        circuit_sets.write(tmp_path / "set", 1, 1)
