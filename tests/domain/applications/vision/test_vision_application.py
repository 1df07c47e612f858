"""The application `vision`: what a request may say, and that every answer lies where it belongs in the job's image."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from domain.applications.application import Case
from domain.applications.vision.contract import APPLICATION
from domain.applications.vision.request import Offered
from domain.applications.vision.result import VisionResult
from domain.errors import InvalidParameters, ModelUnavailable
from domain.geometry import Box, Mask, Polygon
from domain.marks import BannerMark, BoxMark, MaskMark, PolygonMark
from domain.vision import (
    Answer,
    Detection,
    Grounding,
    Label,
    Language,
    Picture,
    Prompt,
    Segment,
    TextRegion,
    Translation,
)

WIDTH, HEIGHT = 100, 60


def whole(picture: Picture) -> Box:
    return Box(x0=0, y0=0, x1=picture.width, y1=picture.height)


def middle(picture: Picture) -> Box:
    w, h = picture.width, picture.height
    return Box(x0=w / 4, y0=h / 4, x1=3 * w / 4, y1=3 * h / 4)


@dataclass
class Eyes:
    """A Vision that finds one thing in the middle of whatever it is shown, and notes what it was asked."""

    asked: list[tuple[Any, ...]] = field(default_factory=list)
    blind: bool = False

    def crop(self, picture: Picture, box: Box) -> Picture:
        inside = box.clipped(picture.width, picture.height)
        return Picture(f"{picture.name}/c", max(1, int(inside.width)), max(1, int(inside.height)))

    def classify(self, picture: Picture, labels: Any, *, model: str | None = None) -> tuple[Label, ...]:
        self.asked.append(("classify", (picture.width, picture.height), tuple(labels), model))
        return tuple(Label(name=name, score=0.9 / (1 + place)) for place, name in enumerate(labels))

    def embed(self, picture: Picture, *, model: str | None = None) -> tuple[float, ...]:
        return (0.6, 0.8)

    def detect(self, picture: Picture, *, model: str | None = None, min_score: float = 0.25) -> tuple[Detection, ...]:
        self.asked.append(("detect", picture.name, min_score))
        box = middle(picture)
        mask = Mask.covering(box, picture.height, picture.width)
        return () if self.blind else (Detection(label="pit", score=0.8, box=box, mask=mask),)

    def ground(self, picture: Picture, phrases: Any, *, model: str | None = None, min_score: float = 0.25) -> Any:
        return tuple(Grounding(phrase=phrase, score=0.7, box=middle(picture)) for phrase in phrases)

    def segment(self, picture: Picture, prompt: Prompt, *, model: str | None = None) -> tuple[Segment, ...]:
        self.asked.append(("segment", prompt))
        return (Segment(mask=Mask.covering(middle(picture), picture.height, picture.width), score=0.6),)

    def ask(
        self,
        pictures: Any,
        question: str,
        *,
        options: Any = (),
        schema: Any = None,
        examples: Any = (),
        model: str | None = None,
    ) -> Answer:
        shown = tuple((example.picture.name, example.question, example.answer) for example in examples)
        self.asked.append(("ask", question, tuple(options), *shown))
        if schema is not None:
            return Answer(text='{"benches": 2}', score=0.5)
        return Answer(text="two", score=0.5, options=tuple(Label(name=name, score=0.5) for name in options))

    def caption(self, picture: Picture, *, model: str | None = None) -> str:
        return "a plate"

    def draft(self, pictures: Any, instruction: str, *, model: str | None = None) -> str:
        return f"as asked: {instruction}"

    def read(self, picture: Picture, *, model: str | None = None) -> tuple[TextRegion, ...]:
        box = middle(picture)
        corners = ((box.x0, box.y0), (box.x1, box.y0), (box.x1, box.y1), (box.x0, box.y1))
        return (TextRegion(quad=Polygon(points=corners), text="NOTAUSGANG", confidence=0.9),)

    def identify(self, text: str, candidates: Any, *, model: str | None = None) -> Language | None:
        self.asked.append(("identify", text, model))
        return Language(code="de", score=0.9) if "de" in candidates else None

    def translate(self, text: str, source: str, target: str, *, model: str | None = None) -> Translation | None:
        self.asked.append(("translate", text, source, target))
        return None if self.blind else Translation(text=f"{text} in {target}", model="m")


def run(eyes: Eyes, pictures: int = 1, **parameters: Any) -> VisionResult:
    handles = tuple(Picture(str(number), WIDTH, HEIGHT) for number in range(pictures))
    return APPLICATION.run(Case(APPLICATION.parse(parameters), handles, eyes, None))  # type: ignore[arg-type]


SINGLE: dict[Offered, dict[str, Any]] = {
    Offered.CLASSIFY: {"labels": ["a cat", "a dog"]},
    Offered.EMBED: {},
    Offered.DETECT: {},
    Offered.GROUND: {"phrases": ["a hole"]},
    Offered.SEGMENT: {"phrase": "the hole"},
    Offered.ASK: {"question": "How many benches are there?"},
    Offered.CAPTION: {},
    Offered.DRAFT: {"instruction": "Describe it."},
    Offered.READ: {},
    Offered.IDENTIFY: {"text": "Notausgang", "candidates": ["de", "en"]},
    Offered.TRANSLATE: {"text": "Notausgang", "source": "de", "target": "en"},
}


@pytest.mark.parametrize("capability", list(Offered))
def test_every_capability_is_a_job_of_its_own(capability: Offered) -> None:
    # when a job asks for one thing, then it gets an item for each picture, or for its text
    result = run(Eyes(), pictures=2, capability=capability.value, **SINGLE[capability])
    on_pictures = capability not in {Offered.IDENTIFY, Offered.TRANSLATE}
    assert [item.image for item in result.items] == ([0, 1] if on_pictures else [None])
    assert {item.capability for item in result.items} == {capability}
    # and it can be told, drawn and counted
    assert APPLICATION.headline(result)
    assert all(mark.kind in {"box", "mask", "polygon", "banner"} for mark in APPLICATION.marks(result, 0))
    assert all(0 <= finding.score <= 1 for finding in APPLICATION.findings(result))


def test_words_may_be_typed_with_commas() -> None:
    eyes = Eyes()
    run(eyes, capability="classify", labels="a cat, a dog")
    assert eyes.asked == [("classify", (WIDTH, HEIGHT), ("a cat", "a dog"), None)]


def test_the_model_and_the_options_are_passed_on() -> None:
    eyes = Eyes()
    run(eyes, capability="classify", labels=["x"], model="siglip")
    run(eyes, capability="detect", min_score=0.9)
    run(eyes, capability="ask", question="yes?", options="yes, no")
    assert eyes.asked == [
        ("classify", (WIDTH, HEIGHT), ("x",), "siglip"),
        ("detect", "0", 0.9),
        ("ask", "yes?", ("yes", "no")),
    ]


def test_an_answer_by_a_schema_is_told_as_text_and_as_what_it_says() -> None:
    eyes = Eyes()
    schema = {"type": "object", "properties": {"benches": {"type": "integer"}}}
    (item,) = run(eyes, capability="ask", question="how many?", schema=schema).items
    assert (item.text, item.value) == ('{"benches": 2}', {"benches": 2})
    assert VisionResult.model_validate_json(VisionResult(items=(item,)).model_dump_json()).items == (item,)


def test_a_chain_looks_at_each_crop_and_says_whose_it_is() -> None:
    eyes = Eyes()
    result = run(
        eyes, pictures=2, steps=[{"capability": "detect"}, {"capability": "classify", "labels": ["good", "bad"]}]
    )
    assert [(item.step, item.image, item.of, item.label) for item in result.items] == [
        *((0, 0, None, "pit"), (0, 1, None, "pit")),
        *((1, 0, 0, "good"), (1, 1, 1, "good")),
    ]
    assert eyes.asked[-1][1] == (WIDTH / 2, HEIGHT / 2), "the crop, not the picture"


def test_what_is_found_in_a_crop_of_a_crop_is_told_in_the_pixels_of_the_image() -> None:
    result = run(Eyes(), steps=[{"capability": "detect"}] * 3)
    last = result.items[-1]
    assert last.box is not None
    assert last.mask is not None
    # the middle half of the middle half of the middle half
    assert last.box.xyxy == (43.25, 25.75, 55.75, 33.25)
    assert (last.mask.width, last.mask.height) == (WIDTH, HEIGHT)
    assert last.mask.box.xyxy == (43, 25, 56, 34)


def test_text_that_was_read_is_translated_line_by_line() -> None:
    eyes = Eyes()
    steps = [{"capability": "read"}, {"capability": "translate", "source": "de", "target": "en"}]
    result = run(eyes, pictures=2, steps=steps)
    assert [item.text for item in result.items if item.step == 1] == ["NOTAUSGANG in en"] * 2
    assert [item.of for item in result.items if item.step == 1] == [0, 1]


def test_boxes_and_points_are_those_of_the_image_also_in_a_crop() -> None:
    eyes = Eyes()
    box = {"x0": 30, "y0": 20, "x1": 40, "y1": 30}
    run(eyes, steps=[{"capability": "detect"}, {"capability": "segment", "boxes": [box], "points": [[50, 30]]}])
    prompt = eyes.asked[-1][1]
    assert prompt.boxes[0].xyxy == (5, 5, 15, 15)
    assert prompt.points == ((25.0, 15.0),)


def test_what_has_no_place_hands_on_the_place_it_was_said_of() -> None:
    eyes = Eyes()
    labels = {"capability": "classify", "labels": ["good", "bad"]}
    run(eyes, steps=[{"capability": "detect"}, labels, labels])
    assert [asked[1] for asked in eyes.asked if asked[0] == "classify"] == [(WIDTH / 2, HEIGHT / 2)] * 2


def test_a_language_that_cannot_be_told_is_null_and_the_model_is_passed_on() -> None:
    eyes = Eyes()
    (item,) = run(eyes, capability="identify", text="xyz", candidates="fr", model="other").items
    assert (item.label, item.score) == (None, None)
    assert eyes.asked == [("identify", "xyz", "other")]


def test_examples_are_shown_before_the_question_and_not_asked_about() -> None:
    eyes = Eyes()
    result = run(eyes, 3, capability="ask", question="how many?", examples=[{"image": 1, "answer": "two"}])
    assert [item.image for item in result.items] == [0, 2]
    assert eyes.asked == [("ask", "how many?", (), ("1", "how many?", "two"))] * 2
    with pytest.raises(InvalidParameters, match="an example is image 3, and the job has 3 images"):
        run(eyes, 3, capability="ask", question="how many?", examples=[{"image": 3, "answer": "two"}])


def test_a_chain_that_would_look_at_too_much_is_refused() -> None:
    with pytest.raises(InvalidParameters, match=r"step 1 \(caption\) would look at 257 .* 256 are the most"):
        run(Eyes(), steps=[{"capability": "ground", "phrases": ["x"] * 257}, {"capability": "caption"}])


def test_a_chain_ends_where_nothing_was_found() -> None:
    result = run(Eyes(blind=True), steps=[{"capability": "detect"}, {"capability": "caption"}])
    assert result.items == ()
    assert APPLICATION.headline(result) == "nothing found"


def test_without_a_translation_model_the_job_says_so() -> None:
    with pytest.raises(ModelUnavailable, match=r"models\.toml"):
        run(Eyes(blind=True), **{"capability": "translate", **SINGLE[Offered.TRANSLATE]})


def test_a_job_without_pictures_is_refused_where_a_step_looks_at_them() -> None:
    with pytest.raises(InvalidParameters, match="the job has none"):
        run(Eyes(), pictures=0, capability="caption")


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"capability": "classify"}, "classify needs labels"),
        ({"capability": "ask"}, "ask needs question"),
        ({"capability": "segment"}, "boxes, points or a phrase"),
        ({"capability": "translate", "text": "a"}, "source and target"),
        ({"capability": "caption", "labels": ["a"]}, "caption takes no labels"),
        ({"capability": "imagine"}, "capability"),
        ({"capability": "detect", "steps": []}, "not both"),
        ({"steps": []}, "steps"),
        ({"steps": [{"capability": "detect"}] * 9}, "steps"),
        ({"capability": "translate", "source": "de", "target": "en"}, "`text` of its own"),
        (
            {"steps": [{"capability": "read"}, {"capability": "identify", "candidates": ["de"], "text": "x"}]},
            "only the first",
        ),
        (
            {"steps": [{"capability": "detect"}, {"capability": "translate", "source": "de", "target": "en"}]},
            "detect before it gives none",
        ),
        (
            {
                "steps": [
                    {"capability": "translate", "text": "a", "source": "de", "target": "en"},
                    {"capability": "read"},
                ]
            },
            "began with a text",
        ),
        ({"capability": "classify", "labels": ["a", ""]}, "labels"),
        ({"capability": "detect", "min_score": 2}, "min_score"),
        ({"capability": "caption", "schema": {"type": "null"}}, "caption takes no schema"),
        ({"capability": "ask", "question": "?", "options": ["a"], "schema": {"type": "null"}}, "options or a schema"),
        ({"capability": "ask", "question": "?", "schema": {"type": "date"}}, "schema.type is one of object"),
        ({"capability": "ask", "question": "?", "schema": "yes"}, "schema"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidParameters) as raised:
        APPLICATION.parse(parameters)
    assert said in str(raised.value)


def test_marks_show_boxes_lines_masks_and_what_was_said_of_the_whole() -> None:
    found = run(Eyes(), capability="detect")
    assert [type(mark) for mark in APPLICATION.marks(found, 0)] == [MaskMark, BoxMark]
    assert [type(mark) for mark in APPLICATION.marks(run(Eyes(), capability="read"), 0)] == [PolygonMark]
    (banner,) = APPLICATION.marks(run(Eyes(), capability="caption"), 0)
    assert isinstance(banner, BannerMark)
    assert banner.text == "a plate"
    assert APPLICATION.marks(found, 1) == []


def test_what_a_later_step_said_of_a_box_stands_beside_it() -> None:
    steps = [{"capability": "detect"}, {"capability": "classify", "labels": ["good", "bad"]}]
    marks = APPLICATION.marks(run(Eyes(), steps=steps), 0)
    assert [mark.caption for mark in marks if isinstance(mark, BoxMark)] == ["pit: good"]
    assert not any(isinstance(mark, BannerMark) for mark in marks)


def test_an_expectation_that_does_not_hold_is_told_in_a_sentence() -> None:
    result = run(Eyes(), capability="read")
    assert APPLICATION.mismatches(result, {"steps": [{"count": 1, "texts": ["NOTAUSGANG"]}]}) == []
    assert APPLICATION.mismatches(result, {"steps": [{"words": ["notaus"]}]}) == []
    assert "'exit'" in APPLICATION.mismatches(result, {"steps": [{"words": ["exit"]}]})[0]
    told = APPLICATION.mismatches(result, {"steps": [{"count": 2, "texts": ["EXIT"], "labels": ["pit"]}]})
    assert len(told) == 3
    assert "malformed" in APPLICATION.mismatches(result, {"what": 1})[0]


def test_a_step_that_is_not_right_is_all_that_is_told() -> None:
    with pytest.raises(InvalidParameters) as raised:
        APPLICATION.parse({"capability": "caption", "labels": ["a cat"]})
    assert "caption takes no labels" in raised.value.message
    assert "at least" not in raised.value.message
