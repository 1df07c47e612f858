import cv2
import numpy as np
import pytest

from domain.applications.application import Case, samples
from domain.applications.signs.contract import APPLICATION
from domain.applications.signs.layout import measured, overlap
from domain.errors import ModelError, ModelUnavailable
from domain.geometry import Polygon
from domain.vision import Capability, Language, Picture, Translation
from workers.imaging.palette import palette
from workers.models.family import Ask, Told, load
from workers.models.ocr import Line, LineCache, page_of
from workers.registry import load_profile
from workers.training.worlds.signboards import Board, Weather, photograph

pytestmark = pytest.mark.model

PROFILE = load_profile("embedded")
SPEC = PROFILE.find(Capability.READ)
WHITE, BLUE = (250, 250, 250), (20, 60, 150)


@pytest.fixture(scope="module")
def model():
    loaded = load(SPEC)
    yield loaded
    loaded.close()


def read(model, *pictures):
    return model.run([model.prepare(Ask(Capability.READ, (picture,))) for picture in pictures])


def sign(*texts, turn=0.0, size=(480, 320), letters=40, seed=5):
    board = Board(lines=tuple((text, letters) for text in texts), ink=WHITE, ground=BLUE, turn=turn)
    return photograph([board], size, Weather(), seed)


def test_lines_are_read_and_their_quadrilaterals_lie_where_they_were_drawn(model):
    pixels, written = sign("Salida 23", "Prohibido fumar", turn=-9)

    (found,) = read(model, pixels)

    assert {region.text for region in found} == {"Salida 23", "Prohibido fumar"}
    for line in written:
        region = next(region for region in found if region.text == line.text)
        assert overlap(region.quad, Polygon(points=line.quad)) > 0.5
        assert measured(region).angle == pytest.approx(-9, abs=2)
        assert region.confidence > 0.8


def test_a_large_picture_has_quadrilaterals_in_its_own_pixels(model):
    pixels, written = sign("AUSGANG", size=(2000, 1400), letters=220)

    ((region,),) = read(model, pixels)

    assert region.text == "AUSGANG"
    assert overlap(region.quad, Polygon(points=written[0].quad)) > 0.5


@pytest.mark.parametrize("quarter", [1, 2])
def test_text_that_hangs_on_its_side_or_head_has_its_quadrilateral_from_its_own_top_left(model, quarter):
    pixels, _ = sign("Notausgang")
    turned = np.ascontiguousarray(np.rot90(pixels, -quarter))

    ((region,),) = read(model, turned)

    assert region.text == "Notausgang"
    assert abs(measured(region).angle) == pytest.approx(90 * quarter, abs=4)
    assert measured(region).width > 2 * measured(region).height


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (480, 640), (12, 1500), (1500, 12)])
def test_a_picture_without_text_has_no_lines_whatever_its_size(model, size):
    pixels = np.full((*size, 3), 128, np.uint8)

    assert read(model, pixels) == [()]


def test_a_small_cutting_and_a_long_banner_are_read(model):
    pixels, (line,) = sign("SORTIE")
    box = Polygon(points=line.quad).box
    cutting = pixels[int(box.y0) - 4 : int(box.y1) + 4, int(box.x0) - 4 : int(box.x1) + 4]
    banner = np.full((50, 1800, 3), BLUE, np.uint8)
    banner[2 : 2 + cutting.shape[0], 900 : 900 + cutting.shape[1]] = cutting[:48]

    ((small,), (wide,)) = read(model, np.ascontiguousarray(cutting), banner)

    assert (small.text, wide.text) == ("SORTIE", "SORTIE")


def test_a_picture_reads_the_same_alone_and_in_company(model):
    pictures = [
        sign("Salida 23", "Prohibido fumar", turn=6)[0],
        np.zeros((40, 40, 3), np.uint8),
        sign("Eltern haften für ihre Kinder", letters=22)[0],
        sign("WC")[0],
    ]

    alone = [load(SPEC).run([model.prepare(Ask(Capability.READ, (picture,)))])[0] for picture in pictures]

    assert read(model, *pictures) == alone
    assert load(SPEC).run([model.prepare(Ask(Capability.READ, (p,))) for p in reversed(pictures)]) == alone[::-1]


def test_a_crop_that_was_read_before_is_not_recognised_again():
    model = load(SPEC)
    pixels, _ = sign("Salida 23", "Prohibido fumar")
    first = read(model, pixels)
    recognise, calls = model._engine.recognize_txt, []
    model._engine.recognize_txt = lambda crops: calls.append(crops) or recognise(crops)

    again = read(model, pixels)
    known = len(calls)
    read(model, sign("Entrada")[0])

    assert (again, known, len(calls)) == (first, 0, 1)


def test_the_cache_forgets_the_least_recently_used_and_tells_revisions_apart():
    crop = np.zeros((4, 9, 3), np.uint8)
    cache = LineCache("one", 2)
    assert cache.key(crop) != LineCache("two", 2).key(crop)
    assert cache.key(crop) != cache.key(crop.reshape(9, 4, 3))

    for name in (b"a", b"b"):
        cache.put(name, Line(name.decode(), 1.0))
    cache.get(b"a")
    cache.put(b"c", Line("c", 1.0))

    assert (len(cache), cache.get(b"a"), cache.get(b"b")) == (2, Line("a", 1.0), None)


@pytest.mark.parametrize("size", [(1, 1), (30, 4000), (4000, 30), (480, 640), (3000, 4000)])
def test_the_detector_gets_sides_in_multiples_of_32_and_a_bounded_area(size):
    page = page_of(np.zeros((*size, 3), np.uint8), 230_400)

    height, width = page.shrunk.shape[:2]
    assert height % 32 == width % 32 == 0
    assert (height - 48) * (width - 48) <= 230_400 * 1.02


def test_another_file_than_the_profile_names_is_not_loaded():
    with pytest.raises(ModelUnavailable, match="sha256:0000"):
        load(SPEC.model_copy(update={"revision": "sha256:0000"}))


def test_anything_but_one_picture_is_an_error(model):
    with pytest.raises(ModelError, match="one picture"):
        model.prepare(Ask(Capability.READ, ()))
    with pytest.raises(ModelError, match="one picture"):
        model.prepare(Ask(Capability.READ, (np.zeros((4, 4), np.uint8),)))


class Eyes:
    """The embedded models, asked one by one; an empty memory."""

    def __init__(self, pixels: np.ndarray, reader, identifier, translator) -> None:
        self.pixels, self.reader, self.identifier, self.translator = pixels, reader, identifier, translator

    def read(self, picture, *, model=None):
        return read(self.reader, self.pixels)[0]

    def identify(self, text, candidates) -> Language | None:
        ask = Ask(Capability.IDENTIFY, arguments={"text": text, "candidates": candidates})
        return self.identifier.run([self.identifier.prepare(ask)])[0]

    def translate(self, text, source, target, *, model=None) -> Translation:
        ask = Ask(Capability.TRANSLATE, arguments={"text": text, "source": source, "target": target})
        answer = self.translator.run([self.translator.prepare(ask)])[0]
        return answer.value if isinstance(answer, Told) else answer

    def palette(self, picture, quad):
        return palette(self.pixels, quad)

    def recall(self, *_):
        return None


@pytest.fixture(scope="module")
def identifier():
    loaded = load(PROFILE.find(Capability.IDENTIFY))
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def translator():
    loaded = load(PROFILE.find(Capability.TRANSLATE))
    yield loaded
    loaded.close()


@pytest.mark.parametrize("sample", samples(APPLICATION), ids=lambda sample: sample.name)
def test_each_sample_of_signs_ends_as_it_promises(model, identifier, translator, sample):
    pixels = np.ascontiguousarray(cv2.imread(str(sample.images[0]))[:, :, ::-1])
    eyes = Eyes(pixels, model, identifier, translator)
    picture = Picture("0", pixels.shape[1], pixels.shape[0])

    result = APPLICATION.run(Case(APPLICATION.parse(sample.parameters), (picture,), eyes, eyes))

    assert APPLICATION.mismatches(result, sample.expect) == []
