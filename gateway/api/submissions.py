"""What comes in with a submission: the request and its images, checked before anything is kept."""

import json
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile

from domain import requests
from domain.access import Principal
from domain.applications import application
from domain.errors import ImageEmpty, ImageTooLarge, ImageUnreadable, InvalidRequest, RequestTooLarge
from domain.images import ImageLimits, ImageRef
from domain.requests import JobRequest, parse_request
from gateway.api.resources import Resources
from storage import tenants
from storage.images import examine, keep
from storage.originals import sealed
from storage.submit import Submitted, submit

MAX_FILES = 64
MAX_JSON_BYTES = 1024 * 1024
DICOM = b"DICM"
"""Behind a preamble of 128 bytes (PS3.10, 7.1)."""


@dataclass(frozen=True)
class Upload:
    """An image as it came, found good."""

    data: bytes
    ref: ImageRef | None
    """None of patient data: it is named once it is sealed"""


@dataclass(frozen=True)
class Submission:
    """A request and the images that came with it."""

    request: JobRequest
    uploads: tuple[Upload, ...] = ()


async def parse_submission(http: Request, served: Resources) -> Submission:
    """Read a submission and check all that can be checked without storing it.

    Raises InvalidInput of each kind.
    """
    if is_multipart(http):
        async with http.form(max_files=MAX_FILES, max_fields=8, max_part_size=MAX_JSON_BYTES) as form:
            submission = await _from_form(form, served)
    else:
        submission = Submission(parse_request(await read_json(http)))
    _check(submission)
    return submission


async def accept(served: Resources, who: Principal, submission: Submission, key: str | None) -> Submitted:
    """Keep the images, then the job that names them.

    The images' hashes become part of the request first, so that the same idempotency key with another picture is told
    from a repetition.

    Raises what `storage.submit.submit` raises, and Forbidden where the key may not hand in such jobs.
    """
    who.require(application(submission.request.application).scope)
    kept = [await _keep(served, who.tenant, upload) for upload in submission.uploads]
    names = (*submission.request.images, *(ref.sha256 for ref in kept))
    request = submission.request.model_copy(update={"images": names})
    limit = await served.read(tenants.backlog_limit, who.tenant, served.settings.backlog_limit)
    return await served.write(submit, who.tenant, request, idempotency_key=key, backlog_limit=limit)


async def _keep(served: Resources, tenant: str, upload: Upload) -> ImageRef:
    if upload.ref is not None:
        return await served.call(partial(keep, served.engine, served.store, tenant, upload.data, upload.ref))
    data, ref = await served.call(partial(sealed, served.sealing, tenant, upload.data))
    return await served.call(partial(keep, served.engine, served.store, tenant, data, ref))


def parse_key(value: str | None) -> str | None:
    """Check an idempotency key.

    Raises InvalidRequest.
    """
    return None if value is None else requests.parse_key(value)


async def read_json(http: Request) -> Any:  # noqa: ANN401  (whatever JSON came)
    """Read a JSON body of bounded size.

    Raises InvalidRequest and RequestTooLarge.
    """
    body = bytearray()
    async for chunk in http.stream():
        body += chunk
        if len(body) > MAX_JSON_BYTES:
            raise RequestTooLarge(f"a JSON request has at most {MAX_JSON_BYTES} bytes; send images as multipart")
    return parse_json(bytes(body))


def parse_json(body: bytes) -> Any:  # noqa: ANN401
    """Parse JSON.

    Raises InvalidRequest that says where it goes wrong.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"the request is not JSON: {error}") from error


def is_multipart(http: Request) -> bool:
    """Say whether a body is multipart.

    Raises InvalidRequest where it names a charset other than UTF-8. Starlette hands that name to Python's codecs, and
    among them are some that take a megabyte apart in quadratic time (punycode), some that raise what is no decoding
    error (undefined) and some that make half surrogate pairs (utf-7).
    """
    kind, options = parse_options_header(http.headers.get("content-type"))
    if kind != b"multipart/form-data":
        return False
    charset = options.get(b"charset", b"utf-8").lower()
    if charset not in {b"utf-8", b"utf8", b"us-ascii"}:
        raise InvalidRequest(f"a multipart body is in UTF-8, not {charset[:40].decode('latin-1')!r}")
    return True


async def read_upload(part: UploadFile, limits: ImageLimits, name: str) -> bytes:
    """Read an uploaded file of bounded size.

    Raises ImageTooLarge, before reading it into memory.
    """
    if part.size is not None and part.size > limits.max_bytes:
        raise ImageTooLarge(f"{name} has {part.size} bytes; at most {limits.max_bytes} are taken", image=name)
    return await part.read()


async def _from_form(form: FormData, served: Resources) -> Submission:
    told = [value for name, value in form.multi_items() if name == "request"]
    if len(told) != 1:
        raise InvalidRequest(
            "a multipart submission has one part named `request` (JSON), and images as parts named `images`"
        )
    strangers = {name for name in form if name not in {"request", "images"}}
    if strangers:
        raise InvalidRequest(f"unknown parts: {', '.join(sorted(strangers))}; there are `request` and `images`")
    part = told[0]
    request = parse_request(parse_json(await part.read() if isinstance(part, UploadFile) else part.encode()))
    take = _patient_upload if application(request.application).patient_data else _upload
    uploads = [await take(value, at, served) for at, value in enumerate(form.getlist("images"))]
    return Submission(request, tuple(uploads))


async def _upload(value: UploadFile | str, at: int, served: Resources) -> Upload:
    part, name = _file(value, at), f"images[{at}]"
    name = f"{name} ({part.filename})" if part.filename else name
    data = await read_upload(part, served.settings.image_limits, name)
    ref = await served.call(partial(examine, data, served.settings.image_limits, name))
    return Upload(data, ref)


async def _patient_upload(value: UploadFile | str, at: int, served: Resources) -> Upload:
    """Read a file that says who a patient is: a DICOM file, which is looked into once it is sealed, or a picture.

    Errors tell neither its name, which may be the patient's, nor what a reader of its header complains of.
    """
    part, name, limits = _file(value, at), f"images[{at}]", served.settings.image_limits
    data = await read_upload(part, limits, name)
    if not data:
        raise ImageEmpty(f"{name} is empty", image=name)
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(f"{name} has {len(data)} bytes; at most {limits.max_bytes} are taken", image=name)
    if data[128:132] != DICOM:
        try:
            await served.call(partial(examine, data, limits, name))
        except ImageUnreadable:
            raise ImageUnreadable(f"{name} is neither DICOM nor a whole image that can be read", image=name) from None
    return Upload(data, None)


def _file(value: UploadFile | str, at: int) -> UploadFile:
    if isinstance(value, str):
        raise InvalidRequest(f"images[{at}] is a text field, not a file; give the part a file name")
    return value


def _check(submission: Submission) -> None:
    """Refuse what `submit` would refuse in any case, before images are kept for it."""
    wanted = application(submission.request.application)
    wanted.parse(submission.request.params)
    given = len(submission.request.images) + len(submission.uploads)
    if not wanted.min_images <= given <= wanted.max_images:
        raise InvalidRequest(
            f"{wanted.name} takes {wanted.min_images} to {wanted.max_images} images, not {given}",
            problems=[{"field": "images", "problem": f"{given} images"}],
        )
