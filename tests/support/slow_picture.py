"""A picture that takes seconds to decode, so that a test can meet a worker in the middle of it."""

import io
from functools import cache
from uuid import UUID

import numpy as np
from PIL import Image

from domain.images import ImageLimits
from domain.requests import JobRequest
from storage.image_check import examine
from storage.image_store import ImageStore
from storage.images import keep
from storage.session import write
from storage.submit import submit
from tests.support.system import TENANT, System


@cache
def slow_picture() -> bytes:
    """Return a progressive JPEG of noise, 49 megapixels; its corner is black, which orders nothing."""
    noise = np.random.default_rng(1).integers(0, 255, (500, 500, 3), dtype=np.uint8)
    pixels = np.tile(noise, (14, 14, 1))
    pixels[:64, :64] = 0
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=30, progressive=True)
    return out.getvalue()


def submit_slow_picture(one: System) -> UUID:
    """Submit an inspection of it."""
    data = slow_picture()
    ref = keep(one.engine, ImageStore(one.settings.images_url), TENANT, data, examine(data, ImageLimits(), "slow.jpg"))
    told = JobRequest.model_validate({"application": "inspection", "images": [ref.sha256]})
    return write(one.engine, submit, TENANT, told, idempotency_key=None, backlog_limit=1_000_000).job_id
