"""The encoder that ships, on scenes that it never saw."""

from collections.abc import Iterator

import pytest

from domain.vision import Capability
from tests.workers.shipped import shipped
from workers.models.family import Ask, Model
from workers.training.worlds.scene_words import names
from workers.training.worlds.scenes import ALL_WORLD, UNSEEN_WORLD, World, draw

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def encoder() -> Iterator[Model]:
    with shipped(Capability.CLASSIFY) as model:
        yield model


@pytest.mark.parametrize("world", [ALL_WORLD, UNSEEN_WORLD], ids=lambda world: world.name)
def test_it_names_what_is_on_a_picture_among_all_that_there_is(encoder: Model, world: World) -> None:
    scenes = [draw(7_000_000 + seed, side=224, world=world, things=1) for seed in range(40)]
    asks = [Ask(Capability.CLASSIFY, (scene.pixels,), {"labels": names(ALL_WORLD)}) for scene in scenes]

    answers = encoder.run([encoder.prepare(ask) for ask in asks])

    right = sum(answer[0].name == scene.things[0].name for answer, scene in zip(answers, scenes, strict=True))
    assert right >= 36
