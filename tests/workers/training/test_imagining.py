"""Defects that a model imagines on good pictures: a data set that the trainer takes, the same for the same command."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from domain.errors import InvalidRequest
from domain.images import ImageLimits
from domain.vision import Capability
from tests.workers.models.test_image_generation import TestStableDiffusion as Diffusion
from workers.hub import digest
from workers.models.family import Ask, Pixels, Prepared, ScoreKind
from workers.training.batches import batches
from workers.training.cli import app
from workers.training.coco import bits, read
from workers.training.imagining import SHAPES, Kind, Order, good_pictures, kinds_of, write_imagined
from workers.training.worlds.surfaces import draw

runner = CliRunner()
ROW = """
[defaults]
imagine = "painter"

[[models]]
name = "painter"
family = "image_generation"
capabilities = ["imagine"]
source = "{source}"
revision = "{revision}"
licence = "none"
options = {{ steps = 2, height = 32, width = 32 }}
"""
CLASSES = ("--class", "scratch", "--prompt", "a cat", "--class", "dent=stain", "--prompt", "a red car")


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile with a diffusion pipeline of random weights."""
    folder = tmp_path_factory.mktemp("painter")
    Diffusion().build(folder / "toy")
    file = folder / "models.toml"
    file.write_text(ROW.format(source=folder / "toy", revision=digest(folder / "toy")))
    return file


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of three surfaces without defects, beside a file that is none."""
    folder = tmp_path_factory.mktemp("good")
    for seed, size in enumerate([(96, 128), (128, 96), (128, 128)]):
        Image.fromarray(draw(seed, size=size, defects=0).pixels).save(folder / f"{seed}.png")
    (folder / "notes.txt").write_text("shift 2")
    return folder


def drawn(good: Path, out: Path, profile: Path, *more: object) -> Result:
    told = ["draw", "defects", good, "--out", out, "--profile", profile, *CLASSES, *more]
    return runner.invoke(app, [str(word) for word in told])


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.model
def test_defects_are_drawn_where_the_data_set_says_and_nowhere_else(good: Path, profile: Path, tmp_path: Path) -> None:
    # when six pictures of two classes are drawn, and three clean ones
    told = drawn(good, tmp_path / "set", profile, "--count", 6, "--clean", 3, "--json")
    assert told.exit_code == 0, told.stderr
    assert json.loads(told.stdout)["classes"] == ["scratch", "dent"]
    # then the trainer's reader takes them: each good picture as often as any other, each class three times
    dataset = read(tmp_path / "set")
    content = json.loads((tmp_path / "set" / "annotations.json").read_text())
    origins = [image["good_picture"] for image in content["images"]]
    assert sorted(origins) == sorted(["0.png", "1.png", "2.png"] * 3)
    assert [item.category_id for item in dataset.content.annotations] == [1, 2, 1, 2, 1, 2]
    for (image, objects), origin in zip(dataset.pairs(), origins, strict=True):
        ground = np.array(Image.open(good / origin)).astype(int)
        changed = np.abs(np.array(Image.open(dataset.path(image))) - ground).max(axis=2) > 0
        if image.id > 6:
            assert not objects
            assert not changed.any()
            continue
        (item,) = objects
        mask = bits(item, image)
        # and a picture differs from the good one in the mask alone, and there nearly everywhere
        assert not changed[~mask].any()
        assert changed[mask].mean() > 0.9
        x, y, width, height = map(int, item.bbox)
        assert mask[y : y + height, x : x + width].sum() == mask.sum()


@pytest.mark.model
def test_the_same_command_gives_the_same_bytes(good: Path, profile: Path, tmp_path: Path) -> None:
    for out, seed in (("one", 7), ("again", 7), ("other", 8)):
        assert drawn(good, tmp_path / out, profile, "--count", 3, "--seed", seed).exit_code == 0
    assert files(tmp_path / "one") == files(tmp_path / "again")
    assert files(tmp_path / "one") != files(tmp_path / "other")


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.timeout(300)
def test_a_detector_is_trained_on_imagined_defects(good: Path, profile: Path, tmp_path: Path) -> None:
    assert drawn(good, tmp_path / "set", profile, "--count", 9).exit_code == 0
    batch = next(batches(read(tmp_path / "set"), side=64, size=4, seed=0))
    assert len(batch.labels) >= 3
    options = ["--minutes", "0.02", "--side", "64", "--batch", "4", "--json", "--data", str(tmp_path / "data")]
    trained = runner.invoke(app, ["yolo", str(tmp_path / "set"), "--name", "line", *options])
    assert trained.exit_code == 0, trained.stderr
    (weights,) = Path(json.loads(trained.stdout)["folder"]).glob("*.pt")
    assert weights.stat().st_size > 1_000_000


@pytest.mark.model
@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--class", "dent", "--prompt", "bare metal"), "the class 'dent' has no shape; write NAME=SHAPE"),
        (("--class", "stain"), "3 classes and 2 prompts: give one --prompt for each --class"),
        (("--model", "dreamer"), "no model named 'dreamer' can imagine"),
        (("--profile", "embedded"), "the profile embedded has no model for imagine"),
        (("--class", "stain", "--prompt", " "), "a prompt needs words"),
    ],
)
def test_what_cannot_be_drawn_ends_in_one_line(
    more: Sequence[str], words: str, good: Path, profile: Path, tmp_path: Path
) -> None:
    told = drawn(good, tmp_path / "set", profile, "--count", 3, *more)
    assert told.exit_code == 1
    assert words in told.stderr
    assert told.stderr.strip().splitlines()[-1].startswith("error: ")


@pytest.mark.model
def test_a_data_set_is_not_drawn_over_another_nor_onto_nothing(good: Path, profile: Path, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "annotations.json").write_text("{}")
    over = drawn(good, tmp_path / "set", profile, "--count", 1)
    assert (over.exit_code, "holds a data set already" in over.stderr) == (1, True)
    nothing = drawn(tmp_path / "set", tmp_path / "new", profile, "--count", 1)
    assert (nothing.exit_code, "holds no picture" in nothing.stderr) == (1, True)


class Even:
    """A family of its own: it imagines one colour, told by the prompt, and by the seed if it has several."""

    preprocessing, dtype, device, classes, scores = "even/1", "none", "none", (), ScoreKind.NONE

    def __init__(self, colour: Callable[[int], int]) -> None:
        self._colour = colour
        self.asked: list[int] = []

    def prepare(self, ask: Ask) -> Prepared:
        assert ask.capability is Capability.IMAGINE
        return Prepared(ask.arguments["seed"], group=0, pixels=1)

    def run(self, batch: Sequence[Prepared]) -> list[Pixels]:
        self.asked += [prepared.payload for prepared in batch]
        return [np.full((16, 24, 3), self._colour(len(self.asked)), dtype=np.uint8) for _ in batch]

    def close(self) -> None:
        """It holds nothing."""


def grey(folder: Path, size: tuple[int, int] = (200, 160)) -> Order:
    Image.new("L", size, 120).save(folder / "grey.png")
    return Order(good_pictures(folder), kinds_of(["scratch"], ["metal"]), 1, 1)


def test_a_defect_that_nobody_would_see_is_drawn_again(tmp_path: Path) -> None:
    # given a model whose first patch is as grey as the ground
    model = Even(lambda times: 120 if times == 1 else 250)
    # when a defect is drawn
    dataset = write_imagined(tmp_path / "set", model, grey(tmp_path), ImageLimits())
    # then it is of a second patch, from another seed
    ((image, (item,)),) = dataset.pairs()
    pixels = cv2.imread(str(dataset.path(image)))
    assert len(set(model.asked)) == 2
    assert pixels[bits(item, image)].mean() > 140


def test_a_model_whose_every_patch_is_as_the_ground_is_given_up(tmp_path: Path) -> None:
    model = Even(lambda times: 120)
    with pytest.raises(InvalidRequest, match=r"of 4 patches for 'metal' none differs from grey\.png"):
        write_imagined(tmp_path / "set", model, grey(tmp_path), ImageLimits())
    assert not (tmp_path / "set" / "annotations.json").exists()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [(40, 300), (32, 32), (1500, 1100)])
def test_every_shape_is_drawn_on_pictures_of_every_size(shape: str, size: tuple[int, int], tmp_path: Path) -> None:
    Image.new("RGB", size, (90, 120, 150)).save(tmp_path / "plain.png")
    order = Order(good_pictures(tmp_path), [Kind("x", shape, "x")], 2, 3)
    dataset = write_imagined(tmp_path / "set", Even(lambda times: 10), order, ImageLimits())
    for image, (item,) in dataset.pairs():
        assert (image.width, image.height) == size
        assert 0 < bits(item, image).mean() < 0.6
