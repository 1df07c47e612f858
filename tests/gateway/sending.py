"""What the gateway's tests send, and how they look at what was kept."""

import io
import json

from fastapi.testclient import TestClient
from PIL import Image, ImageDraw
from sqlalchemy import Engine, func, select

from domain.access import Scope
from storage import keys, tenants
from storage.session import read, write


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
