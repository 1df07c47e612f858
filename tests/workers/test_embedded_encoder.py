"""The encoder that ships, on scenes that it never saw."""

from collections.abc import Iterator

import pytest

from domain.vision import Capability
from workers.models import family
from workers.models.family import Ask, Model
from workers.registry import load_profile
from workers.training.worlds.scene_words import names
from workers.training.worlds.scenes import ALL_WORLD, UNSEEN_WORLD, World, draw

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def encoder() -> Iterator[Model]:
    spec = load_profile("embedded").find(Capability.CLASSIFY)
    assert spec is not None
    model = family.load(spec)
    yield model
    model.close()


@pytest.mark.parametrize("world", [ALL_WORLD, UNSEEN_WORLD], ids=lambda world: world.name)
def test_it_names_what_is_on_a_picture_among_all_that_there_is(encoder: Model, world: World) -> None:
    scenes = [draw(7_000_000 + seed, side=224, world=world, things=1) for seed in range(40)]
    asks = [Ask(Capability.CLASSIFY, (scene.pixels,), {"labels": names(ALL_WORLD)}) for scene in scenes]

    answers = encoder.run([encoder.prepare(ask) for ask in asks])

    right = sum(answer[0].name == scene.things[0].name for answer, scene in zip(answers, scenes, strict=True))
    assert right >= 36
