"""Images: hand one in, look at one of the tenant's own."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from starlette.datastructures import UploadFile

from domain.access import Scope
from domain.audit import Action
from domain.errors import ImageTooLarge, InvalidRequest
from domain.images import ImageLimits, ImageRef
from gateway.api.access import Reader, Submitter
from gateway.api.examples import image_body
from gateway.api.problems import responses
from gateway.api.resources import Served
from gateway.api.submissions import is_multipart, read_upload
from storage import audit
from storage.images import examine, keep, owned, restricted
from storage.reviews import discreet

router = APIRouter(prefix="/v1/images", tags=["images"])

Sha256 = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="SHA-256 of the image's bytes")]

SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cache-Control": "private, max-age=31536000, immutable",
}
"""What a stranger's file may do in a browser: be looked at, nothing else. Its bytes never change, nor who owns them."""


@router.post(
    "",
    status_code=201,
    summary="Hand in an image",
    openapi_extra={"requestBody": image_body()},
    responses=responses(401, 403, 408, 413, 415, 422, 503, 507),
)
async def upload(http: Request, response: Response, served: Served, who: Submitter) -> ImageRef:
    """Keep an image for jobs that will name it. Images that no job names are removed after a day."""
    limits = served.settings.image_limits
    if is_multipart(http):
        async with http.form(max_files=1, max_fields=0) as form:
            part = form.get("image")
            if not isinstance(part, UploadFile):
                raise InvalidRequest("a multipart upload has one file, as a part named `image`")
            name = part.filename or "image"
            data = await read_upload(part, limits, name)
    else:
        name, data = "image", await _body(http, limits)
    ref = await served.call(partial(examine, data, limits, name))
    response.headers["Location"] = f"/v1/images/{ref.sha256}"
    return await served.call(partial(keep, served.engine, served.store, who.tenant, data, ref))


@router.get(
    "/{sha256}",
    summary="Look at an image",
    response_class=Response,
    responses={200: {"content": {"image/*": {}}}, **responses(401, 403, 404, 422, 503)},
)
async def show(served: Served, who: Reader, sha256: Sha256) -> Response:
    """Return an image of the tenant; another tenant's is not found, one for few eyes needs the scope `restricted`."""
    ref = await served.read(owned, who.tenant, sha256)
    headers = {**SAFE, "ETag": f'"{sha256}"'}
    if await served.read(restricted, who.tenant, sha256):
        who.require(Scope.RESTRICTED)
        await served.write(audit.record, discreet(who), Action.RESTRICTED_SEEN, f"image {sha256}")
        headers["Cache-Control"] = "no-store"
    data = await served.call(partial(served.store.get, sha256))
    return Response(data, media_type=ref.media_type, headers=headers)


async def _body(http: Request, limits: ImageLimits) -> bytes:
    """Read a body of bounded size.

    Raises ImageTooLarge as soon as it is.
    """
    data = bytearray()
    async for chunk in http.stream():
        data += chunk
        if len(data) > limits.max_bytes:
            raise ImageTooLarge(f"the image has more than {limits.max_bytes} bytes, the most that are taken")
    return bytes(data)
