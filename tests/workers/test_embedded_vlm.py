"""The VLM that ships, on scenes and phantoms that it never saw."""

from collections.abc import Iterator

import numpy as np
import pytest

from domain.geometry import iou
from domain.vision import Capability
from tests.workers.shipped import shipped
from workers.models.family import Ask, Model, Told
from workers.training.worlds import phantoms
from workers.training.worlds.phantom_reports import INSTRUCTION
from workers.training.worlds.scene_questions import questions
from workers.training.worlds.scenes import HELD_OUT_WORLD, draw

pytestmark = pytest.mark.model
SCENES = 24


@pytest.fixture(scope="module")
def vlm() -> Iterator[Model]:
    with shipped(Capability.ASK) as model:
        yield model


def answers(model: Model, asks: list[Ask]) -> list[object]:
    told = [answer for ask in asks for answer in model.run([model.prepare(ask)])]
    return [answer.value if isinstance(answer, Told) else answer for answer in told]


def test_it_answers_most_questions_about_scenes_freely_and_among_options(vlm: Model) -> None:
    asked = []
    for seed in range(SCENES):
        scene = draw(7_000_000 + seed, side=224, world=HELD_OUT_WORLD)
        found = questions(np.random.default_rng(seed), scene, HELD_OUT_WORLD)
        asked += [(scene.pixels, one) for one in found[:2]]

    free = answers(vlm, [Ask(Capability.ASK, (pixels,), {"question": one.question}) for pixels, one in asked])
    closed = answers(
        vlm,
        [Ask(Capability.ASK, (pixels,), {"question": one.question, "options": one.options}) for pixels, one in asked],
    )

    for said in (free, closed):
        right = sum(getattr(answer, "text", None) == one.answer for answer, (_, one) in zip(said, asked, strict=True))
        assert right >= 0.75 * len(asked)


def test_it_points_at_what_a_phrase_means(vlm: Model) -> None:
    scenes = [draw(7_100_000 + seed, side=224, world=HELD_OUT_WORLD, things=1) for seed in range(SCENES)]
    asks = [Ask(Capability.GROUND, (scene.pixels,), {"phrases": (scene.things[0].name,)}) for scene in scenes]

    found = answers(vlm, asks)

    met = 0
    for each, scene in zip(found, scenes, strict=True):
        assert isinstance(each, tuple)
        met += any(iou(one.box, scene.things[0].box) >= 0.5 for one in each)
    assert met >= 0.7 * SCENES


def test_it_drafts_what_a_phantom_shows_and_invents_nothing_on_a_normal_one(vlm: Model) -> None:
    layouts = phantoms.HELD_OUT_LAYOUTS
    ill = phantoms.draw(7_200_000, size=224, layouts=layouts, findings=[("pleural effusion", "left")])
    well = phantoms.draw(7_200_001, size=224, layouts=layouts, findings=[])
    pictures = [np.repeat(phantom.pixels[..., None], 3, axis=2) for phantom in (ill, well)]

    drafts = answers(vlm, [Ask(Capability.DRAFT, (pixels,), {"instruction": INSTRUCTION}) for pixels in pictures])

    told = [str(getattr(draft, "text", draft)).lower() for draft in drafts]
    assert "left pleural effusion" in told[0]
    assert "left" not in told[1]
    assert "right" not in told[1]
