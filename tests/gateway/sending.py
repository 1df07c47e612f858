"""What the gateway's tests send, and how they look at what was kept."""

import io
import json
from typing import Any
from uuid import UUID

from fastapi.testclient import TestClient
from PIL import Image, ImageDraw
from sqlalchemy import Engine, func, select

from domain.access import Scope
from domain.applications.inspection.recipe import Verdict
from domain.applications.inspection.result import Defect, Ignored, InspectionResult, Regions, UsedRecipe
from domain.geometry import Box, Mask
from storage import keys, tenants
from storage.session import read, write
from tests.support.life import Life, succeeded


def picture(seed: int = 0, size: tuple[int, int] = (96, 64), kind: str = "PNG") -> bytes:
    """A small picture that differs by its seed."""
    image = Image.new("RGB", size, (seed % 256, 120, 200))
    ImageDraw.Draw(image).rectangle((10, 10, 10 + seed % 50, 40), fill=(20, 20, 20))
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def make_key(engine: Engine, tenant: str, *scopes: Scope) -> str:
    """A key of a tenant, which is made where it does not exist."""
    write(engine, tenants.ensure, tenant)
    return write(engine, keys.create, tenant, "test", scopes).key


def send(client: TestClient, request: dict[str, object], *pictures: bytes, **options: object):
    parts = [("images", (f"{at}.png", data, "image/png")) for at, data in enumerate(pictures)]
    return client.post("/v1/jobs", data={"request": json.dumps(request)}, files=parts or None, **options)


def rows(engine: Engine, table) -> int:
    return read(engine, lambda connection: connection.execute(select(func.count()).select_from(table)).scalar_one())


def inspected(defects: int = 1) -> dict[str, Any]:
    """The body of an inspection's result: so many pits, each with its mask."""
    box = Box(x0=20, y0=10, x1=50, y1=40)
    pit = {
        "image": 0,
        "label": "pit",
        "score": 0.9,
        "certain": True,
        "box": box,
        "mask": Mask.covering(box, height=64, width=96),
        "area_px": 900,
        "length_px": 42.0,
        "area_mm2": None,
        "length_mm": None,
    }
    result = InspectionResult(
        verdict=Verdict.REJECT if defects else Verdict.ACCEPT,
        reasons=(),
        defects=tuple(Defect.model_validate({"id": f"d{at}", **pit}) for at in range(defects)),
        counts={"pit": defects},
        ignored=Ignored(),
        quality=(),
        recipe=UsedRecipe(name="default", version="1", digest="0" * 64),
        calibration=None,
        regions=Regions(),
    )
    return result.model_dump(mode="json")


def finish(engine: Engine, job_id: str, defects: int = 1) -> None:
    """Be the worker that ends an inspection well."""
    life = Life(engine)
    worker = life.worker()
    (claimed,) = life.claim(worker, UUID(job_id))
    headline = "REJECT: pit" if defects else "ACCEPT"
    life.commit(worker, succeeded(claimed, body=inspected(defects), headline=headline))
