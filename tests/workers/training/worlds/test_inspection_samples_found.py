"""The embedded detector on the inspection's samples and on surfaces it never saw: what verdicts come of it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from domain.applications.application import Case, Memory, Sample, samples
from domain.applications.inspection.contract import APPLICATION
from domain.applications.inspection.recipe import Verdict
from domain.applications.inspection.result import InspectionResult
from domain.images import ImageLimits
from domain.vision import Capability, Detection, Picture, Quality, Vision
from tests.workers.shipped import shipped
from workers.imaging.decode import decode
from workers.imaging.quality import quality
from workers.models.family import Ask, Model, Pixels
from workers.training.worlds.inspection_samples import Truth, of_surface
from workers.training.worlds.surfaces import HELD_OUT_TEXTURES, draw

pytestmark = pytest.mark.model


@dataclass
class DetectorVision:
    """A Vision that asks the detector without queue or batch."""

    model: Model
    pixels: dict[str, Pixels] = field(default_factory=dict)

    def classes(self, *, model: str | None = None) -> tuple[str, ...]:
        return self.model.classes

    def detect(
        self,
        picture: Picture,
        *,
        reference: Picture | None = None,
        model: str | None = None,
        min_score: float = 0.25,
    ) -> tuple[Detection, ...]:
        ask = Ask(Capability.DETECT, (self.pixels[picture.name],), {"min_score": min_score})
        return cast("tuple[Detection, ...]", self.model.run([self.model.prepare(ask)])[0])

    def quality(self, picture: Picture) -> Quality:
        return quality(self.pixels[picture.name])


@pytest.fixture(scope="module")
def detector() -> Iterator[Model]:
    """The detector that ships."""
    with shipped(Capability.DETECT) as model:
        yield model


def inspected(vision: object, pictures: dict[str, Pixels], parameters: dict[str, object]) -> InspectionResult:
    handles = tuple(Picture(name, pixels.shape[1], pixels.shape[0]) for name, pixels in pictures.items())
    parsed = APPLICATION.parse(parameters)
    return APPLICATION.run(Case(parsed, handles, cast("Vision", vision), cast("Memory", None)))


def pixels_of(path: Path) -> Pixels:
    return decode(path.read_bytes(), ImageLimits()).pixels


@pytest.mark.parametrize("sample", samples(APPLICATION), ids=lambda sample: sample.name)
def test_a_sample_ends_as_it_promises(detector: Model, sample: Sample) -> None:
    pictures = {path.name: pixels_of(path) for path in sample.images}
    result = inspected(DetectorVision(detector, pictures), pictures, sample.parameters)
    assert APPLICATION.mismatches(result, sample.expect) == []


def test_on_textures_never_seen_hardly_a_defective_part_is_accepted_or_a_clean_one_refused(detector: Model) -> None:
    # given surfaces of the held-out textures, none of which is a sample or was trained on
    verdicts: Counter[tuple[Verdict, Verdict]] = Counter()
    for seed in range(7_000_000, 7_000_060):
        surface = draw(seed, textures=HELD_OUT_TEXTURES)
        pictures = {"surface": surface.pixels}
        # when each is judged by what was drawn and by what is found
        due = inspected(Truth({"surface": of_surface(surface)}), pictures, {}).verdict
        verdicts[due, inspected(DetectorVision(detector, pictures), pictures, {}).verdict] += 1
    # then they mostly agree, and the two costly mistakes are rare
    accepted_wrongly = sum(n for (due, said), n in verdicts.items() if said is Verdict.ACCEPT is not due)
    refused = {Verdict.REWORK, Verdict.REJECT}
    refused_wrongly = sum(n for (due, said), n in verdicts.items() if due is Verdict.ACCEPT and said in refused)
    assert sum(n for (due, said), n in verdicts.items() if due is said) >= 51
    assert accepted_wrongly <= 1
    assert refused_wrongly <= 1
