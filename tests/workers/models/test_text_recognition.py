"""The family `text_recognition`: each architecture at toy size, with random weights."""

import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
import torch
from transformers import (
    PPOCRV6SmallRecImageProcessor,
    PPOCRV6TinyRecConfig,
    PPOCRV6TinyRecForTextRecognition,
)

from domain.errors import ModelError, ModelUnavailable
from domain.vision import Capability, TextRegion
from tests.workers.models.architectures import ArchitectureContract
from tests.workers.models.contract import coloured, grey
from tests.workers.models.text_toys import (
    CHARACTERS,
    backbone,
    lively,
    save_detector,
    save_pair,
    save_recogniser,
    save_trocr,
)
from tests.workers.models.toys import saved, spec_of
from workers.models import family
from workers.models.family import Ask, Model, Pixels, ScoreKind, Told
from workers.models.text_recognition import LINES_AT_ONCE, level, upright
from workers.registry import ModelSpec

pytestmark = pytest.mark.model

TOLERANCE = 1e-3


def bare(answer: Any) -> tuple[TextRegion, ...]:
    """Return the lines without the remarks on them."""
    value = answer.value if isinstance(answer, Told) else answer
    assert isinstance(value, tuple)
    return value


class TextRecognitionContract(ArchitectureContract):
    """What every row of the family must hold to."""

    family = "text_recognition"
    capabilities = (Capability.READ,)
    sizes: ClassVar[Sequence[tuple[int, int]]] = ((40, 64), (64, 90), (33, 33), (40, 200))

    def asks(self) -> Sequence[Ask]:
        """See FamilyContract."""
        return [self.ask_of(coloured(*size, seed)) for seed, size in enumerate(self.sizes)]

    def ask_of(self, pixels: Pixels) -> Ask:
        """See FamilyContract."""
        return Ask(Capability.READ, (pixels,))

    def read(self, model: Model, pixels: Pixels) -> tuple[TextRegion, ...]:
        """Return the lines of a picture."""
        return bare(model.run([model.prepare(self.ask_of(pixels))])[0])

    def check(self, ask: Ask, answer: Any) -> None:
        """See FamilyContract."""
        height, width = ask.pictures[0].shape[:2]
        for region in bare(answer):
            assert isinstance(region, TextRegion)
            assert region.text == region.text.strip() != ""
            assert len(region.quad.points) == 4
            assert region.quad.area > 0
            assert region.quad.box.clipped(width, height) == region.quad.box

    def same(self, one: Any, other: Any) -> bool:
        """See FamilyContract."""
        first, second = bare(one), bare(other)
        return len(first) == len(second) and all(map(self._alike, first, second))

    def _alike(self, a: TextRegion, b: TextRegion) -> bool:
        near = np.abs(np.array(a.quad.points) - np.array(b.quad.points)).max() < TOLERANCE
        return bool(near) and a.text == b.text and abs(a.confidence - b.confidence) < TOLERANCE

    def test_pictures_are_told_apart_by_what_is_read(self, model: Model) -> None:
        texts = [tuple(line.text for line in self.read(model, coloured(*self.sizes[0], seed))) for seed in range(4)]

        assert all(texts)
        assert len(set(texts)) > 1

    def test_a_temperature_evens_the_confidences(self, model: Model, spec: ModelSpec) -> None:
        warm = family.load(spec.model_copy(update={"options": {**spec.options, "temperature": 5.0}}))
        pixels = coloured(*self.sizes[0], 0)

        even, sure = (self.read(one, pixels)[0].confidence for one in (warm, model))

        assert 0 < even < sure
        assert model.scores == ScoreKind.MEAN
        warm.close()

    def test_a_temperature_of_nothing_is_refused(self, spec: ModelSpec) -> None:
        with pytest.raises(ModelUnavailable, match="temperature"):
            family.load(spec.model_copy(update={"options": {**spec.options, "temperature": -1}}))

    def test_two_pictures_are_refused(self, model: Model) -> None:
        with pytest.raises(ModelError, match="takes one picture, not 2"):
            model.prepare(Ask(Capability.READ, (grey(9, 9), grey(9, 9))))


class WholePicture:
    """For rows without a detector."""

    def test_the_picture_is_the_line(self, model: Model) -> None:
        (line,) = bare(model.run([model.prepare(Ask(Capability.READ, (coloured(40, 64, 0),)))])[0])

        assert line.quad.points == ((0, 0), (64, 0), (64, 40), (0, 40))


class TestTrOCR(WholePicture, TextRecognitionContract):
    architecture = "TrOCR"

    def build(self, folder: Path) -> None:
        save_trocr(folder)

    def test_generation_ends_where_nobody_wants_the_answer(self, model: Model) -> None:
        steps: list[int] = []
        prepared = [model.prepare(ask) for ask in self.asks()]

        def stop_after_three(*_: Any) -> None:
            steps.append(1)
            if len(steps) == 3:
                for one in prepared:
                    one.stopped.set()

        hook = model.network.decoder.register_forward_hook(stop_after_three)  # type: ignore[attr-defined]
        model.run(prepared)
        hook.remove()

        assert len(steps) == 3

    def test_a_line_that_goes_on_is_told(self, spec: ModelSpec) -> None:
        model = family.load(spec.model_copy(update={"options": {**spec.options, "max_new_tokens": 2}}))

        (answer,) = model.run([model.prepare(self.asks()[0])])

        assert isinstance(answer, Told)
        assert answer.remarks == {"cut_lines": 1}
        model.close()

    def test_the_confidence_is_the_geometric_mean_of_the_tokens_probabilities(self, model: Model) -> None:
        pixels = coloured(40, 64, 0)
        values = model.prepare(self.ask_of(pixels)).payload.values
        network = model.network  # type: ignore[attr-defined]
        with torch.inference_mode():
            ids = network.generate(pixel_values=values, max_new_tokens=23, do_sample=False, num_beams=1)
            logits = network(pixel_values=values, decoder_input_ids=ids).logits

        logs = torch.log_softmax(logits[0, :-1], dim=-1).gather(1, ids[0, 1:, None])

        (line,) = self.read(model, pixels)
        assert line.confidence == pytest.approx(math.exp(float(logs.mean())), rel=1e-3)

    def test_no_new_tokens_are_refused(self, spec: ModelSpec) -> None:
        with pytest.raises(ModelUnavailable, match="max_new_tokens"):
            family.load(spec.model_copy(update={"options": {**spec.options, "max_new_tokens": 0}}))


class TestTrOCRWithComputedPositions(WholePicture, TextRecognitionContract):
    """TrOCR as its large kind for printed text is published: its positions are computed, not learned."""

    architecture = "TrOCR (computed positions)"

    def build(self, folder: Path) -> None:
        sines = {"use_learned_position_embeddings": False, "layernorm_embedding": False, "scale_embedding": True}
        save_trocr(folder, activation_function="relu", **sines)


class TestBeitAndRoberta(WholePicture, TextRecognitionContract):
    """A pair of the user's own, whose decoder counts its positions from behind the padding's number."""

    architecture = "BEiT and RoBERTa"

    def build(self, folder: Path) -> None:
        save_pair(folder)


class TestPPOCRSmallRecogniser(WholePicture, TextRecognitionContract):
    architecture = "PP-OCRv6 small recogniser"

    def build(self, folder: Path) -> None:
        save_recogniser(folder)

    def test_repetitions_count_once_and_columns_of_nothing_part_them(self, model: Model) -> None:
        said = model._recogniser._said  # type: ignore[attr-defined]

        line = said([0.9, 0.5, 0.1, 0.9, 0.7, 0.6], [0, 1, 1, 0, 1, 2])

        assert line.text == "AAB"
        assert line.confidence == pytest.approx((0.5 + 0.7 + 0.6) / 3)
        assert said([0.9, 0.8], [0, 0]).text == ""

    def test_a_picture_of_which_nothing_is_read_has_no_lines(self, model: Model, monkeypatch: Any) -> None:
        nothing = torch.eye(len(CHARACTERS))[:1].expand(1, 40, -1)
        monkeypatch.setattr(
            model._recogniser,  # type: ignore[attr-defined]
            "network",
            lambda pixel_values: SimpleNamespace(last_hidden_state=nothing),
        )

        assert self.read(model, coloured(40, 64, 0)) == ()

    def test_lines_of_other_shapes_do_not_share_a_batch(self, model: Model) -> None:
        groups = {model.prepare(self.ask_of(coloured(40, width, 0))).group for width in (40, 200, 400, 800)}

        assert len(groups) == 3

    def test_a_recogniser_needs_as_many_characters_as_it_tells_apart(self, spec: ModelSpec, tmp_path: Path) -> None:
        for file in spec.path.iterdir():
            (tmp_path / file.name).write_bytes(file.read_bytes())
        PPOCRV6SmallRecImageProcessor(character_list=CHARACTERS[:-1]).save_pretrained(tmp_path)

        with pytest.raises(ModelUnavailable, match="names 39 characters, and it tells 40 apart"):
            family.load(spec_of(tmp_path, self.family, self.capabilities))


class TestPPOCRTinyRecogniser(WholePicture, TextRecognitionContract):
    architecture = "PP-OCRv6 tiny recogniser"

    def build(self, folder: Path) -> None:
        config = PPOCRV6TinyRecConfig(
            backbone_config=backbone(1, 1, [2, 1], [2, 1]), hidden_size=16, head_out_channels=len(CHARACTERS)
        )
        images = PPOCRV6SmallRecImageProcessor(character_list=CHARACTERS)
        saved(folder, lambda: lively(PPOCRV6TinyRecForTextRecognition(config)), images)


class DetectorContract(TextRecognitionContract):
    """What rows hold to that find lines first."""

    # Each becomes 64 x 96 for the detector.
    sizes = ((64, 96), (60, 90), (66, 100), (62, 99))
    options: ClassVar[dict[str, Any]] = {"threshold": 0.6, "box_threshold": 0.5}

    @pytest.fixture(scope="class")
    @classmethod
    def spec(cls, tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
        """See ArchitectureContract."""
        folder, detector = tmp_path_factory.mktemp(cls.__name__), tmp_path_factory.mktemp("detector")
        cls().build(folder)
        save_detector(detector)
        found = spec_of(detector, "x", cls.capabilities)
        pinned = {"detector": {"source": found.source, "revision": found.revision}}
        return spec_of(folder, cls.family, cls.capabilities, options={"threads": 1, **pinned, **cls.options})

    def test_several_lines_are_found(self, model: Model) -> None:
        assert all(len(bare(answer)) > 3 for answer in model.run([model.prepare(ask) for ask in self.asks()]))

    def test_lines_are_found_in_the_pictures_own_pixels(self, model: Model, monkeypatch: Any) -> None:
        # given a detector that finds one line of 40 by 8 in a picture that was shrunk tenfold for it
        seen = torch.zeros(1, 1, 64, 960)
        seen[..., 24:32, 16:56] = 1
        found = SimpleNamespace(last_hidden_state=seen)
        monkeypatch.setattr(model._detector, "network", lambda pixel_values: found)  # type: ignore[attr-defined]

        # when such a picture, wider than a 16-bit number says, is read
        lines, dropped = model._found([model.prepare(self.ask_of(np.zeros((2133, 32000, 3), dtype=np.uint8)))])[0]  # type: ignore[attr-defined]

        # then the line is where it was, and somewhat larger
        (corners,) = lines
        assert dropped == 0
        assert corners[0, 0] < 16 * 32000 / 960 < 55 * 32000 / 960 < corners[2, 0] < 65 * 32000 / 960
        assert corners[0, 1] < 24 * 2133 / 64 < 31 * 2133 / 64 < corners[2, 1] < 40 * 2133 / 64

    def test_lines_of_no_size_are_dropped_and_told(self, model: Model, monkeypatch: Any) -> None:
        flat = np.array([[3.0, 3.0], [9.0, 3.0], [9.0, 3.2], [3.0, 3.2]])
        monkeypatch.setattr(model._detector, "find", lambda values, sizes: [[flat, flat]])  # type: ignore[attr-defined]

        (answer,) = model.run([model.prepare(self.asks()[0])])

        assert isinstance(answer, Told)
        assert answer == Told((), {"dropped_boxes": 2})

    def test_a_picture_without_lines_has_none(self, model: Model, monkeypatch: Any) -> None:
        found = SimpleNamespace(last_hidden_state=torch.zeros(1, 1, 64, 96))
        monkeypatch.setattr(model._detector, "network", lambda pixel_values: found)  # type: ignore[attr-defined]

        assert self.read(model, coloured(64, 96, 0)) == ()

    def test_lines_are_no_longer_read_when_nobody_wants_them(self, model: Model, monkeypatch: Any) -> None:
        # given a page of many lines
        prepared = model.prepare(self.asks()[0])
        lines = [np.array([[0, y], [90, y], [90, y + 9], [0, y + 9]], dtype=np.float64) for y in range(50)]
        monkeypatch.setattr(model._detector, "find", lambda values, sizes: [lines])  # type: ignore[attr-defined]

        # when its call is withdrawn while the first are read
        read = model._recogniser.read  # type: ignore[attr-defined]
        rows: list[int] = []

        def withdrawn(values: torch.Tensor, calls: Any) -> Any:
            rows.append(len(values))
            prepared.stopped.set()
            return read(values, calls)

        monkeypatch.setattr(model._recogniser, "read", withdrawn)  # type: ignore[attr-defined]
        model.run([prepared])

        # then the others are not
        assert sum(rows) == LINES_AT_ONCE < len(lines)

    def test_a_detector_is_pinned(self, spec: ModelSpec) -> None:
        options = {**spec.options, "detector": {"source": spec.options["detector"]["source"]}}
        with pytest.raises(ModelUnavailable, match="pins nothing"):
            family.load(spec.model_copy(update={"options": options}))

    def test_another_kind_of_detector_is_refused(self, spec: ModelSpec) -> None:
        options = {**spec.options, "detector": {"source": spec.source, "revision": spec.revision}}
        with pytest.raises(ModelUnavailable, match="no detector of PP-OCR"):
            family.load(spec.model_copy(update={"options": options}))


class TestPPOCRDetectorAndRecogniser(DetectorContract):
    architecture = "PP-OCRv6 small detector and recogniser"

    def build(self, folder: Path) -> None:
        save_recogniser(folder)


class TestTrOCRWithDetector(DetectorContract):
    architecture = "TrOCR behind the PP-OCRv6 small detector"
    options: ClassVar[dict[str, Any]] = {**DetectorContract.options, "max_new_tokens": 8}

    def build(self, folder: Path) -> None:
        save_trocr(folder)


def test_a_line_at_an_angle_is_cut_out_level() -> None:
    # given a red line with a blue end, turned by 30 degrees
    picture = np.zeros((200, 200, 3), dtype=np.uint8)
    corners = cv2.boxPoints(((100, 100), (120, 30), 30))[[1, 2, 3, 0]].astype(np.float64)
    cv2.fillConvexPoly(picture, corners.astype(np.int32), (255, 0, 0))
    right = np.array([(corners[0] + corners[1]) / 2, corners[1], corners[2], (corners[2] + corners[3]) / 2])
    cv2.fillConvexPoly(picture, right.astype(np.int32), (0, 0, 255))

    # when it is cut out
    line = level(picture, corners)

    # then it is level, red on its left and blue on its right
    assert line.shape == (30, 120, 3)
    assert line[5:25, 5:50].reshape(-1, 3).mean(axis=0) == pytest.approx([255, 0, 0], abs=3)
    assert line[5:25, 70:115].reshape(-1, 3).mean(axis=0) == pytest.approx([0, 0, 255], abs=3)


def test_a_line_on_end_is_read_downwards() -> None:
    lying = np.array([[0, 0], [60, 0], [60, 20], [0, 20]], dtype=np.float64)
    standing = np.array([[0, 0], [20, 0], [20, 60], [0, 60]], dtype=np.float64)

    assert upright(lying).tolist() == lying.tolist()
    assert upright(standing).tolist() == [[20, 0], [20, 60], [0, 60], [0, 0]]


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    (tmp_path / "model.safetensors").write_bytes(b"")

    with pytest.raises(ModelUnavailable, match="a 'clip' is neither TrOCR nor a recogniser"):
        family.load(spec_of(tmp_path, "text_recognition", (Capability.READ,)))
