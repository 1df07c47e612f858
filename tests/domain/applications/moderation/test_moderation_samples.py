"""The samples that ship are the ones that the drawing gives, and on the embedded models they end as promised."""

import json
import math
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any, cast
from uuid import uuid4

import numpy as np
import pytest

from domain.applications.application import Case, Memory, samples
from domain.applications.moderation.contract import APPLICATION
from domain.images import ImageLimits
from storage.claims import ClaimedJob
from tests.domain.applications.moderation.scripted import ScriptedBanks
from workers.device import Census, Device
from workers.imaging.decode import decode
from workers.registry import load_profile
from workers.residency import Residency
from workers.training.worlds.moderation_samples import PLANS
from workers.vision import JobVision

SAMPLES = samples(APPLICATION)


def _died(reason: str) -> None:
    raise RuntimeError(reason)


@pytest.fixture(scope="module")
def residency() -> Iterator[tuple[Residency, Census]]:
    """The embedded models, each loaded when it is first asked."""
    census = Census()
    made = Residency(lambda name: Device(name, guard=lambda jobs, limit: nullcontext(), died=_died, census=census))
    yield made, census
    for device in made.devices.values():
        device.close()


def job() -> ClaimedJob:
    told: dict[str, Any] = {"application": "moderation", "lane": "standard", "params": {}, "images": ("0" * 64,)}
    return ClaimedJob(id=uuid4(), token=1, tenant="", attempts=0, suspect=False, deadline_in_s=None, **told)


@pytest.mark.model
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_a_sample_ends_as_promised_on_the_embedded_models(sample: Any, residency: tuple[Residency, Census]) -> None:
    # given a worker's Vision on the sample's picture, and empty banks
    loaded, census = residency
    vision = JobVision(job(), 1, math.inf, load_profile("embedded"), loaded, lambda: None)
    pixels = decode(sample.images[0].read_bytes(), ImageLimits(), sample.name).pixels
    picture = vision.picture("0", pixels)
    # when it is held to its policy
    parameters = APPLICATION.parse(sample.parameters)
    with census.job():
        result = APPLICATION.run(Case(parameters, (picture,), vision, cast("Memory", None), banks=ScriptedBanks()))
    # then
    assert APPLICATION.mismatches(result, sample.expect) == []


@pytest.mark.parametrize("name", PLANS)
def test_a_sample_is_what_the_drawing_gives(name: str) -> None:
    told = json.loads((APPLICATION.samples / f"{name}.json").read_text("utf-8"))
    drawn = PLANS[name]()
    pixels = decode((APPLICATION.samples / told["images"][0]).read_bytes(), ImageLimits(), name).pixels
    assert told["parameters"] == json.loads(json.dumps(drawn.parameters))
    assert told["expect"] == json.loads(json.dumps(drawn.expect))
    # Another build of the drawing library may round an edge otherwise.
    assert np.abs(pixels.astype(int) - drawn.pixels.astype(int)).mean() < 1


def test_every_sample_that_ships_is_drawn_and_they_show_each_way_to_end_that_needs_no_bank() -> None:
    assert [sample.name for sample in SAMPLES] == sorted(PLANS)
    assert {sample.expect["decision"] for sample in SAMPLES} == {"allow", "flag", "review", "block"}
