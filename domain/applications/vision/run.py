"""Runs the application: each step on what the step before found."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from domain.applications.application import Case
from domain.applications.vision.request import ON_TEXT, Offered, Step, VisionParameters
from domain.applications.vision.result import Item, VisionResult
from domain.errors import InvalidParameters, ModelUnavailable
from domain.geometry import Polygon
from domain.vision import Example, Picture, Prompt, Vision

DEFAULT_MIN_SCORE = 0.25
MOST_VIEWS = 256
"""So many places or texts a step looks at: a chain must not take the time of all other jobs."""


@dataclass(frozen=True)
class View:
    """What a step looks at: a picture or the part of one that an item covers, and its text where it has one."""

    picture: Picture | None = None
    image: int | None = None
    whole: Picture | None = None
    """the job's image that it is a part of"""
    left: float = 0.0
    top: float = 0.0
    """where the picture's top left lies in the job's image, in pixels"""
    others: tuple[Picture, ...] = ()
    """all of the job's images, of which some may be examples"""
    text: str | None = None
    of: int | None = None
    """the item that it shows"""

    @property
    def shown(self) -> Picture:
        """The picture; there always is one where a step works on pixels."""
        assert self.picture is not None
        return self.picture


def run(case: Case[VisionParameters]) -> VisionResult:
    """Answer every step of a job."""
    items, shown = list[Item](), list[View]()  # each item, and what it was said of
    views = _first(case, case.parameters.steps[0])
    for number, step in enumerate(case.parameters.steps):
        if len(views) > MOST_VIEWS:
            raise InvalidParameters(
                f"step {number} ({step.capability}) would look at {len(views)} places or texts; "
                f"{MOST_VIEWS} are the most"
            )
        begun = len(items)
        for view in views:
            found = ANSWERS[step.capability](step, view, case.vision)
            items += (item.model_copy(update={"step": number, "image": view.image, "of": view.of}) for item in found)
            shown += [view] * (len(items) - len(shown))
        if number + 1 < len(case.parameters.steps):
            following = case.parameters.steps[number + 1]
            ahead = [at for at in range(begun, len(items)) if items[at].text or following.capability not in ON_TEXT]
            views = [_next(case, following, at, items[at], shown[at]) for at in ahead]
    return VisionResult(items=tuple(items))


def _first(case: Case[VisionParameters], step: Step) -> list[View]:
    if step.capability in ON_TEXT:
        return [View(text=step.text)]
    if not case.pictures:
        raise InvalidParameters(f"{step.capability} looks at pictures, and the job has none")
    missing = [shown.image for shown in step.examples if shown.image >= len(case.pictures)]
    if missing:
        raise InvalidParameters(f"an example is image {missing[0]}, and the job has {len(case.pictures)} images")
    examples = {shown.image for shown in step.examples}
    asked = [(image, picture) for image, picture in enumerate(case.pictures) if image not in examples]
    return [View(picture=picture, image=image, whole=picture, others=case.pictures) for image, picture in asked]


def _next(case: Case[VisionParameters], step: Step, of: int, item: Item, view: View) -> View:
    """Return what the next step looks at: an item's text or place, or what it was said of where it has no place."""
    if step.capability in ON_TEXT:
        return View(image=item.image, text=item.text, of=of)
    if item.box is None or item.image is None:
        return replace(view, of=of)
    picture = case.pictures[item.image]
    corner = item.box.clipped(picture.width, picture.height)
    return View(
        picture=case.vision.crop(picture, item.box),
        image=item.image,
        whole=picture,
        left=min(int(corner.x0), picture.width - 1),
        top=min(int(corner.y0), picture.height - 1),
        of=of,
    )


Answering = Callable[[Step, View, Vision], Iterator[Item]]


def _classify(step: Step, view: View, vision: Vision) -> Iterator[Item]:
    labels = vision.classify(view.shown, step.labels, model=step.model)
    yield _item(step, label=labels[0].name, score=labels[0].score, labels=labels)


def _embed(step: Step, view: View, vision: Vision) -> Iterator[Item]:
    yield _item(step, vector=vision.embed(view.shown, model=step.model))


def _detect(step: Step, view: View, vision: Vision) -> Iterator[Item]:
    for found in vision.detect(view.shown, model=step.model, min_score=_min_score(step)):
        yield _placed(_item(step, label=found.label, score=found.score, box=found.box, mask=found.mask), view)


def _ground(step: Step, view: View, vision: Vision) -> Iterator[Item]:
    for found in vision.ground(view.shown, step.phrases, model=step.model, min_score=_min_score(step)):
        yield _placed(_item(step, label=found.phrase, score=found.score, box=found.box), view)


def _segment(step: Step, view: View, vision: Vision) -> Iterator[Item]:
    """Boxes and points are those of the job's image, so they are moved into the crop that is looked at."""
    boxes = tuple(box.shifted(-view.left, -view.top) for box in step.boxes)
    points = tuple((x - view.left, y - view.top) for x, y in step.points)
    prompt = Prompt(boxes=boxes, points=points, phrase=step.phrase)
    for found in vision.segment(view.shown, prompt, model=step.model):
        drawn = _item(step, label=step.phrase, score=found.score, box=found.mask.box, mask=found.mask)
        yield _placed(drawn, view)


def _ask(step: Step, view: View, vision: Vision) -> Iterator[Item]:
    question = step.question or ""
    examples = [Example(view.others[shown.image], question, shown.answer) for shown in step.examples]
    schema = step.answer_schema
    answer = vision.ask(
        [view.shown], question, options=step.options, schema=schema, examples=examples, model=step.model
    )
    value = None if schema is None else json.loads(answer.text)
    yield _item(step, text=answer.text, value=value, score=answer.score, labels=answer.options)


def _caption(step: Step, view: View, vision: Vision) -> Iterator[Item]:
    yield _item(step, text=vision.caption(view.shown, model=step.model))


def _draft(step: Step, view: View, vision: Vision) -> Iterator[Item]:
    yield _item(step, text=vision.draft([view.shown], step.instruction or "", model=step.model))


def _read(step: Step, view: View, vision: Vision) -> Iterator[Item]:
    for line in vision.read(view.shown, model=step.model):
        quad = Polygon(points=tuple((x + view.left, y + view.top) for x, y in line.quad.points))
        yield _item(step, text=line.text, score=line.confidence, box=quad.box, quad=quad)


def _identify(step: Step, view: View, vision: Vision) -> Iterator[Item]:
    language = vision.identify(view.text or "", step.candidates, model=step.model)
    yield _item(step, label=language and language.code, score=language and language.score)


def _translate(step: Step, view: View, vision: Vision) -> Iterator[Item]:
    told = vision.translate(view.text or "", step.source or "", step.target or "", model=step.model)
    if told is None:
        raise ModelUnavailable("no model is configured for translate; add one to models.toml")
    yield _item(step, text=told.text)


ANSWERS: Mapping[Offered, Answering] = MappingProxyType(
    {
        Offered.CLASSIFY: _classify,
        Offered.EMBED: _embed,
        Offered.DETECT: _detect,
        Offered.GROUND: _ground,
        Offered.SEGMENT: _segment,
        Offered.ASK: _ask,
        Offered.CAPTION: _caption,
        Offered.DRAFT: _draft,
        Offered.READ: _read,
        Offered.IDENTIFY: _identify,
        Offered.TRANSLATE: _translate,
    }
)


def _item(step: Step, **told: object) -> Item:
    return Item.model_validate({"step": 0, "capability": step.capability, **told})


def _placed(item: Item, view: View) -> Item:
    """Carry a box and a mask from the crop that was looked at to the job's image."""
    if item.box is None or view.whole is None or view.picture is view.whole:
        return item
    mask = item.mask and item.mask.placed(int(view.left), int(view.top), view.whole.height, view.whole.width)
    return item.model_copy(update={"box": item.box.shifted(view.left, view.top), "mask": mask})


def _min_score(step: Step) -> float:
    return DEFAULT_MIN_SCORE if step.min_score is None else step.min_score
