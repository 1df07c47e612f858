"""What people decided, as a labelled set to learn from: COCO boxes and masks, and JSONL labels, with the pictures.

A result teaches once a person has confirmed or corrected it; a rejected one, an undecided one and one that is for few
eyes teach nothing. All pictures of a job are one group, so that a split keeps them together.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import Connection, select

from domain.applications import application
from domain.applications.application import Lesson
from domain.audit import Action, Actor
from domain.errors import InvalidRequest
from domain.reviews import Verb
from storage import audit
from storage.image_store import ImageStore
from storage.results import versions_of
from storage.review_tables import reviews
from storage.reviews import last_words
from storage.session import Engine, read, write
from storage.tables import images, job_images, jobs, results

CONFIRMING = frozenset({Verb.APPROVE, Verb.CORRECT, Verb.UPHOLD, Verb.OVERTURN})
BOXES, LABELS, PICTURES = "annotations.json", "labels.jsonl", "images"
SUFFIXES = {"image/jpeg": ".jpg", "image/png": ".png", "image/webp": ".webp", "image/bmp": ".bmp", "image/tiff": ".tif"}


@dataclass(frozen=True)
class Exported:
    """What was written: so many jobs and pictures, boxes, and labels."""

    jobs: int
    pictures: int
    boxes: int
    labels: int


class _Taught(NamedTuple):
    """A picture that a person has judged: its image, where it belongs, and what it teaches."""

    job_id: UUID
    sha256: str
    suffix: str
    size: dict[str, int]
    """its width and height in pixels, upright"""
    lesson: Lesson


def export(engine: Engine, store: ImageStore, who: Actor, name: str, out: Path) -> Exported:
    """Write what people decided of an application's results, of the actor's tenant, into a new folder.

    Raises InvalidRequest where the folder exists, the application teaches nothing, or nobody has decided anything.
    """
    if out.exists():
        raise InvalidRequest(f"{out} exists already; choose another folder or remove it")
    if application(name).lessons is None:
        raise InvalidRequest(f"the results of {name} are nothing that a model learns from")
    taught = read(engine, _taught, str(who.tenant), name)
    if not taught:
        raise InvalidRequest(f"nobody has confirmed or corrected a result of {name} yet; `sightline reviews list`")
    write(engine, audit.record, who, Action.REVIEWS_EXPORTED, name, pictures=len(taught))
    (out / PICTURES).mkdir(parents=True)
    for each in taught:
        (out / PICTURES / _file(each)).write_bytes(store.get(each.sha256))
    boxes, labels = _coco(taught), list(_lines(taught))
    if boxes["categories"]:
        (out / BOXES).write_text(json.dumps(boxes), "utf-8")
    if labels:
        (out / LABELS).write_text("".join(f"{json.dumps(line)}\n" for line in labels), "utf-8")
    jobs_of = {each.job_id for each in taught}
    return Exported(len(jobs_of), len(taught), len(boxes["annotations"]), len(labels))


def _taught(connection: Connection, tenant: str, name: str) -> list[_Taught]:
    """Return what a person has confirmed, each job by its newest decided item."""
    wanted = application(name)
    closed = select(jobs.c.id).where(jobs.c.tenant == tenant, jobs.c.restricted)
    named = select(job_images.c.job_id).join(images, images.c.sha256 == job_images.c.sha256)
    showing = named.where(images.c.tenant == tenant, images.c.restricted)
    few = (reviews.c.job_id.not_in(closed), reviews.c.job_id.not_in(showing))
    mine = (reviews.c.tenant == tenant, reviews.c.application == name, *few)
    last = last_words(connection, *mine)
    found = []
    for job_id in sorted(job_id for job_id, verb in last.items() if verb in CONFIRMING):
        try:
            result = wanted.result.model_validate(versions_of(connection, job_id)[-1].body)
        except ValidationError:
            continue  # of an earlier contract, which taught other things
        shown = _images(connection, tenant, job_id)
        sizes = connection.execute(select(results.c.pictures).where(results.c.job_id == job_id)).scalar_one()
        assert wanted.lessons is not None
        for lesson in wanted.lessons(result):
            found.append(_Taught(job_id, *shown[lesson.image], sizes[lesson.image], lesson))
    return found


def _images(connection: Connection, tenant: str, job_id: UUID) -> list[tuple[str, str]]:
    """Return the SHA-256 and the suffix of each picture of a job."""
    named = select(job_images.c.sha256, images.c.media_type).join(images, images.c.sha256 == job_images.c.sha256)
    mine = named.join(jobs, jobs.c.id == job_images.c.job_id).where(jobs.c.id == job_id, images.c.tenant == tenant)
    rows = connection.execute(mine.order_by(job_images.c.position))
    return [(row.sha256, SUFFIXES.get(row.media_type, ".img")) for row in rows]


def _file(each: _Taught) -> str:
    return f"{each.job_id}-{each.lesson.image}{each.suffix}"


def _coco(taught: Sequence[_Taught]) -> dict[str, Any]:
    """Return a COCO document: https://cocodataset.org/#format-data."""
    names = sorted({thing.label for each in taught for thing in each.lesson.things})
    numbers = {name: number for number, name in enumerate(names, start=1)}
    annotations: list[dict[str, Any]] = []
    for image_id, each in enumerate(taught, start=1):
        for thing in each.lesson.things:
            x0, y0, x1, y1 = thing.box.xyxy
            told = {"id": len(annotations) + 1, "image_id": image_id, "category_id": numbers[thing.label], "iscrowd": 0}
            area = thing.mask.area if thing.mask else (x1 - x0) * (y1 - y0)
            annotations.append({**told, "bbox": [x0, y0, x1 - x0, y1 - y0], "area": area, **_drawn(thing.mask)})
    return {
        "images": [
            {
                "id": image_id,
                "file_name": _file(each),
                "width": each.size["width"],
                "height": each.size["height"],
                "group": str(each.job_id),
            }
            for image_id, each in enumerate(taught, start=1)
        ],
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for name, number in numbers.items()],
    }


def _drawn(mask: Any) -> dict[str, Any]:  # noqa: ANN401  (a Mask or None)
    if mask is None:
        return {}
    return {"segmentation": {"size": [mask.height, mask.width], "counts": list(mask.counts)}}


def _lines(taught: Sequence[_Taught]) -> Iterator[dict[str, str]]:
    for each in taught:
        if each.lesson.label is not None:
            name = f"{PICTURES}/{_file(each)}"
            yield {"image": name, "label": each.lesson.label, "group": str(each.job_id)}
