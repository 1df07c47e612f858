"""What every architecture of the family `grounding` must hold to, however it reads phrases."""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any, ClassVar

import pytest
import torch
from transformers import AutoImageProcessor, AutoModelForZeroShotObjectDetection, AutoTokenizer

from domain.errors import ModelError, ModelUnavailable
from domain.geometry import Box, iou
from domain.vision import Capability, Grounding
from tests.workers.models.architectures import ArchitectureContract
from tests.workers.models.contract import coloured
from workers.models import family
from workers.models.family import Ask, Model, Pixels, ScoreKind, Told
from workers.registry import ModelSpec

TOLERANCE = 1e-3
PHRASES = ("a cat", "The red car", "left side of the plate")


def groundings(answer: Any) -> tuple[Grounding, ...]:
    """Return an answer without its remarks."""
    return answer.value if isinstance(answer, Told) else answer


def remarks(answer: Any) -> dict[str, Any]:
    return dict(answer.remarks) if isinstance(answer, Told) else {}


def near(box: Box, other: Box) -> bool:
    side = max(box.x1, box.y1, 1)
    return all(abs(x - y) < TOLERANCE * side for x, y in zip(box.xyxy, other.xyxy, strict=True))


class GroundingContract(ArchitectureContract):
    """What every row of the family must hold to."""

    family = "grounding"
    capabilities = (Capability.GROUND,)
    sizes: ClassVar[tuple[tuple[int, int], ...]] = ((40, 64), (64, 40), (33, 33), (120, 50))
    """height and width of pictures that share a batch"""
    lists: ClassVar[tuple[tuple[str, ...], ...]] = (
        PHRASES,
        ("a dog", "x" * 9, "é漢字"),
        ("hole",),
        ("yes", "no", "yes"),
    )
    """what is looked for in each"""
    processor: ClassVar[Any]
    """what the architecture's published code prepares and reads with"""

    def asks(self) -> Sequence[Ask]:
        """See FamilyContract."""
        return [
            self._asked(coloured(*size, seed), *phrases)
            for seed, (size, phrases) in enumerate(zip(self.sizes, self.lists, strict=True))
        ]

    def ask_of(self, pixels: Pixels) -> Ask:
        """See FamilyContract."""
        return self._asked(pixels, *PHRASES)

    def _asked(self, pixels: Pixels, *phrases: str, min_score: float = 0.0) -> Ask:
        return Ask(Capability.GROUND, (pixels,), {"phrases": phrases, "min_score": min_score})

    def answer(self, model: Model, *phrases: str, min_score: float = 0.0) -> Any:
        """Ask about one picture."""
        ask = self._asked(coloured(*self.sizes[0], 0), *phrases, min_score=min_score)
        (answer,) = model.run([model.prepare(ask)])
        if phrases and min_score == 0:
            self.check(ask, answer)
        return answer

    def check(self, ask: Ask, answer: Any) -> None:
        """See FamilyContract."""
        found = groundings(answer)
        height, width = ask.pictures[0].shape[:2]
        assert found or max(height, width) > 16 * min(height, width)  # OWLv2 makes it a square, in which it is a line
        assert all(isinstance(one, Grounding) for one in found)
        assert {one.phrase for one in found} <= set(ask.arguments["phrases"])
        assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
        assert all(one.box.area > 0 and one.box.clipped(width, height) == one.box for one in found)

    def same(self, one: Any, other: Any) -> bool:
        """See FamilyContract."""
        first, second = groundings(one), groundings(other)
        return len(first) == len(second) and all(map(self._alike, first, second))

    def _alike(self, a: Grounding, b: Grounding) -> bool:
        return a.phrase == b.phrase and abs(a.score - b.score) < TOLERANCE and near(a.box, b.box)

    def published(
        self, network: Any, processor: Any, pixels: Pixels, phrases: Sequence[str]
    ) -> list[tuple[float, Box]]:
        """Return scores and boxes as the architecture's published code gives them, best first."""
        inputs = processor(images=pixels, text=[list(phrases)], return_tensors="pt")
        outputs = network(**inputs)
        self.hide(outputs, inputs)
        (found,) = processor.post_process_grounded_object_detection(
            outputs, threshold=0.0, target_sizes=[pixels.shape[:2]], text_labels=[list(phrases)]
        )
        told = []
        for score, (x0, y0, x1, y1) in zip(found["scores"].tolist(), found["boxes"].tolist(), strict=True):
            box = Box(x0=x0, y0=y0, x1=x1, y1=y1).clipped(pixels.shape[1], pixels.shape[0])
            told += [(score, box)] if box.area > 0 else []
        return sorted(told, key=lambda one: -one[0])

    def hide(self, outputs: Any, inputs: Any) -> None:
        """Take out of the network's output what belongs to no phrase."""

    def wanted(self, spec: ModelSpec, pixels: Pixels, phrases: Sequence[str]) -> list[tuple[float, Box]]:
        """Return what the published code finds, best first."""
        network = AutoModelForZeroShotObjectDetection.from_pretrained(spec.path).eval()
        parts = AutoImageProcessor.from_pretrained(spec.path), AutoTokenizer.from_pretrained(spec.path)
        return self.published(network, self.processor(*parts), pixels, phrases)

    def test_it_finds_what_the_published_code_finds(self, model: Model, spec: ModelSpec) -> None:
        phrases = ("a cat", "The hole", "dog")
        with torch.inference_mode():
            wanted = self.wanted(spec, coloured(*self.sizes[0], 0), phrases)

        found = groundings(self.answer(model, *phrases))

        assert len(found) == len(wanted)
        for one, (score, box) in zip(found, wanted, strict=True):
            assert one.score == pytest.approx(score, abs=TOLERANCE)
            assert near(one.box, box)

    def test_pictures_and_phrases_are_told_apart(self, model: Model) -> None:
        pictures = [self._asked(coloured(*size, seed), "a cat") for seed, size in enumerate(self.sizes)]
        answers = model.run([model.prepare(ask) for ask in pictures])

        dog, cat = self.answer(model, "a dog"), answers[0]

        assert not any(self.same(answers[0], other) for other in answers[1:])
        assert [one.score for one in groundings(cat)] != [one.score for one in groundings(dog)]
        assert model.scores == ScoreKind.SIGMOID
        assert model.classes == ()

    def test_nothing_is_found_of_no_phrase(self, model: Model) -> None:
        asks = [self._asked(coloured(*size, 0)) for size in self.sizes[:2]]

        assert model.run([model.prepare(ask) for ask in asks]) == [(), ()]

    def test_a_phrase_asked_twice_is_looked_for_once(self, model: Model) -> None:
        assert self.same(self.answer(model, "a cat", "no", "a cat"), self.answer(model, "a cat", "no"))

    @pytest.mark.parametrize("phrase", ["", "  "])
    def test_a_phrase_without_a_word_is_refused(self, model: Model, phrase: str) -> None:
        with pytest.raises(ModelError, match="needs a word"):
            self.answer(model, "a cat", phrase)

    def test_a_phrase_longer_than_the_network_reads_is_cut_and_said_to_be(self, model: Model) -> None:
        answer = self.answer(model, "a cat", "the quick brown fox " * 100)

        assert remarks(answer)["cut_phrases"] == 1

    def test_a_list_of_a_hundred_phrases_is_answered(self, model: Model) -> None:
        phrases = [f"the {count} benches" for count in range(100)]

        answer = self.answer(model, *phrases)

        assert len({one.phrase for one in groundings(answer)}) > 1

    def test_only_what_reaches_the_least_score_is_found(self, model: Model) -> None:
        everything = groundings(self.answer(model, *PHRASES))
        middle = (everything[0].score + everything[-1].score) / 2

        some = groundings(self.answer(model, *PHRASES, min_score=middle))

        assert 0 < len(some) < len(everything)
        assert len(some) == sum(one.score >= middle for one in everything)

    def test_boxes_that_overlap_are_dropped_where_the_options_say_so(self, model: Model, spec: ModelSpec) -> None:
        # given the most that two boxes overlap
        everything = groundings(self.answer(model, *PHRASES))
        most = max(iou(a.box, b.box) for a, b in combinations(everything, 2))

        # when a little less is allowed
        strict = family.load(spec.model_copy(update={"options": {**spec.options, "overlap": 0.99 * most}}))
        answer = self.answer(strict, *PHRASES)

        # then the weaker of the two is dropped, and said to be
        apart = groundings(answer)
        assert all(iou(a.box, b.box) <= 0.99 * most for a, b in combinations(apart, 2))
        assert apart[0] == everything[0]
        assert remarks(answer)["overlapping_boxes"] == len(everything) - len(apart) > 0

    def test_a_temperature_divides_the_logits(self, model: Model, spec: ModelSpec) -> None:
        cool = family.load(spec.model_copy(update={"options": {**spec.options, "temperature": 4.0}}))

        plain, even = (groundings(self.answer(one, "a cat"))[0].score for one in (model, cool))

        assert math.log(even / (1 - even)) == pytest.approx(math.log(plain / (1 - plain)) / 4, abs=1e-3)

    def test_output_that_is_no_number_is_an_error(self) -> None:
        broken = self.fresh()
        for parameter in broken.network.parameters():  # type: ignore[attr-defined]
            parameter.fill_(math.nan)

        with pytest.raises(ModelError, match="not finite"):
            self.answer(broken, "a cat")

    @pytest.mark.parametrize("options", [{"overlap": 0}, {"overlap": 2}, {"temperature": 0}, {"temperature": "warm"}])
    def test_options_that_mean_nothing_are_refused(self, spec: ModelSpec, options: dict[str, Any]) -> None:
        with pytest.raises(ModelUnavailable, match=next(iter(options))):
            family.load(spec.model_copy(update={"options": options}))
