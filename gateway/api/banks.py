"""Hash banks over HTTP. Restricted banks are for keys with that scope; to others it is as if there were none."""

import io
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat

from domain.access import Principal, Scope
from domain.audit import Action
from domain.errors import InvalidRequest
from gateway.api.access import Administrator, Reader
from gateway.api.jobs import NAME
from gateway.api.problems import responses
from gateway.api.resources import Resources, Served
from storage import audit, banks
from storage.audit import Act
from storage.banks import BankView, EntryView, Imported, Page, anonymous
from storage.promotions import Why
from storage.reviews import actor
from storage.signals import Kind, Signal, Signals, as_csv, as_plain, checked, parse

T = TypeVar("T")

router = APIRouter(prefix="/v1/banks", tags=["banks"])

Bank = Annotated[str, Path(max_length=64, pattern=banks.NAME)]
Value = Annotated[str, Path(pattern="^[0-9a-fA-F]{16,64}$", description="in hexadecimal")]
Because = Annotated[str, Query(max_length=1000, pattern=NAME, description="why")]
OnlyKind = Annotated[Kind | None, Query(description="only hashes of that kind")]
OnlyValue = Annotated[str | None, Query(pattern="^[0-9a-fA-F]{16,64}$", description="only this hash")]
Before = Annotated[int | None, Query(ge=1, le=2**63 - 1, description="`id` of the last entry of the page before")]
Limit = Annotated[int, Query(ge=1, le=banks.MAX_PAGE)]

SIGNALS = {
    "requestBody": {
        "required": True,
        "content": {
            "text/csv": {"schema": {"type": "string"}, "example": f"signal_type,signal_str\npdq,{'f8' * 32}\n"},
            "text/plain": {"schema": {"type": "string"}, "example": f"{'f8' * 32}\n"},
        },
    }
}


class NewBank(BaseModel):
    """A bank to be made."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=64, pattern=banks.NAME)
    restricted: StrictBool = Field(False, description="for keys with the scope `restricted` alone; needs that scope")
    share: StrictFloat = Field(default=1.0, ge=0, le=1, description="share of pictures that are looked up in it")


class Changes(BaseModel):
    """What is to be changed of a bank; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    restricted: StrictBool | None = None
    share: StrictFloat | None = Field(default=None, ge=0, le=1)


class NewEntry(BaseModel):
    """A hash for a bank."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    value: str = Field(max_length=64, description="in hexadecimal: 64 digits, of a pHash 16")
    labels: list[str] = Field(default_factory=list, max_length=20)
    because: str = Field(default="", max_length=1000, pattern=NAME)


@router.get("", summary="List hash banks", responses=responses(401, 403, 503))
async def listing(served: Served, who: Reader) -> list[BankView]:
    """Return the tenant's banks."""
    return await served.read(banks.listing, who.tenant, sees_restricted=_sees(who))


@router.post("", status_code=201, summary="Make a hash bank", responses=responses(401, 403, 409, 422, 503))
async def create(served: Served, who: Administrator, fresh: NewBank) -> BankView:
    """Make an empty bank."""
    if fresh.restricted:
        who.require(Scope.RESTRICTED)
    return await _changed(served, who, banks.create, **fresh.model_dump())


@router.patch("/{bank}", summary="Configure a hash bank", responses=responses(401, 403, 404, 409, 422, 503))
async def configure(served: Served, who: Administrator, bank: Bank, changes: Changes) -> BankView:
    """Change which share of pictures is looked up in a bank, or make it restricted.

    A restricted bank that has entries, or had some, stays restricted.
    """
    if changes.restricted:
        who.require(Scope.RESTRICTED)
    told = changes.model_dump()
    return await _changed(served, who, banks.configure, bank, **told, sees_restricted=_sees(who))


@router.get("/{bank}/entries", summary="List a bank's hashes", responses=responses(401, 403, 404, 422, 503))
async def entries(
    served: Served,
    who: Reader,
    bank: Bank,
    kind: OnlyKind = None,
    value: OnlyValue = None,
    before: Before = None,
    limit: Limit = 100,
) -> list[EntryView]:
    """Return hashes that are in a bank, the newest first."""
    page = Page(kind, value, before, limit)
    return await served.read(banks.entries, who.tenant, bank, page, sees_restricted=_sees(who))


@router.get("/{bank}/history", summary="See what came and went", responses=responses(401, 403, 404, 422, 503))
async def history(
    served: Served,
    who: Reader,
    bank: Bank,
    kind: OnlyKind = None,
    value: OnlyValue = None,
    before: Before = None,
    limit: Limit = 100,
) -> list[EntryView]:
    """Return hashes that are or were in a bank, with who put them in and took them out, the newest first."""
    page = Page(kind, value, before, limit)
    return await served.read(banks.history, who.tenant, bank, page, sees_restricted=_sees(who))


@router.post(
    "/{bank}/entries", status_code=201, summary="Add a hash", responses=responses(401, 403, 404, 409, 422, 503)
)
async def add(served: Served, who: Administrator, bank: Bank, fresh: NewEntry) -> EntryView:
    """Put a hash into a bank."""
    signal, why = checked(fresh.kind, fresh.value, fresh.labels), _why(who, fresh.because)
    return await _changed(served, who, banks.add, bank, signal, why, sees_restricted=_sees(who))


@router.delete("/{bank}/entries/{kind}/{value}", summary="Remove a hash", responses=responses(401, 403, 404, 422, 503))
async def remove(
    served: Served, who: Administrator, bank: Bank, kind: Kind, value: Value, because: Because = ""
) -> EntryView:
    """Take a hash out of a bank; its history stays."""
    why = _why(who, because)
    return await _changed(served, who, banks.remove, bank, kind, value, why, sees_restricted=_sees(who))


@router.post(
    "/{bank}/import",
    summary="Import hashes",
    openapi_extra=SIGNALS,
    responses=responses(401, 403, 404, 408, 413, 422, 503),
)
async def import_(
    served: Served,
    who: Administrator,
    bank: Bank,
    http: Request,
    kind: Annotated[Kind, Query(description="of hashes without a type")] = Kind.PDQ,
    because: Because = "",
) -> Imported:
    """Put many hashes into a bank, at most a million: all of them or, where one line is bad, none.

    The body is ThreatExchange's CSV (`signal_type`, `signal_str`, and perhaps `category` and `tags`), or has a hash in
    each line.
    """
    body = await http.body()
    if not body:
        raise InvalidRequest("the body is empty; send the hashes in it")
    read = await served.call(lambda: _parsed(body, kind))
    why = _why(who, because)
    done = await _changed(served, who, banks.import_signals, bank, read.signals, why, sees_restricted=_sees(who))
    return done.model_copy(update={"left_out": read.left_out})


@router.get(
    "/{bank}/export",
    summary="Export hashes",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/csv": {}, "text/plain": {}}}, **responses(401, 403, 404, 422, 503)},
)
async def export(
    served: Served,
    who: Reader,
    bank: Bank,
    kind: OnlyKind = None,
    form: Annotated[Literal["csv", "plain"], Query(description="`plain`: type and hash in each line")] = "csv",
) -> StreamingResponse:
    """Return a bank's hashes as ThreatExchange's tools write them, the oldest first."""
    first = await _portion(served, who, bank, kind, 0)
    media_type = "text/csv" if form == "csv" else "text/plain"
    return StreamingResponse(_written(served, who, bank, kind, form, first), media_type=media_type)


Portion = tuple[list[Signal], int | None]


async def _written(
    served: Resources, who: Principal, bank: str, kind: Kind | None, form: str, portion: Portion
) -> AsyncIterator[str]:
    signals, after = portion
    yield "".join(as_csv(bank, signals) if form == "csv" else as_plain(signals))
    while after is not None:
        signals, after = await _portion(served, who, bank, kind, after)
        yield "".join(as_csv(bank, signals, header=False) if form == "csv" else as_plain(signals))


async def _portion(served: Resources, who: Principal, bank: str, kind: Kind | None, after: int) -> Portion:
    return await served.read(banks.portion, who.tenant, bank, kind, after, sees_restricted=_sees(who))


def _parsed(body: bytes, kind: Kind) -> Signals:
    try:
        return parse(io.StringIO(body.decode("utf-8"), newline=""), kind)
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"the body is no UTF-8: {error.reason} at byte {error.start}") from error


def _sees(who: Principal) -> bool:
    return who.allows(Scope.RESTRICTED)


def _why(who: Principal, because: str) -> Why:
    return Why(by=who.key_name, because=because)


async def _changed(
    served: Resources,
    who: Principal,
    work: Callable[..., T],
    name: str,
    *arguments: Any,  # noqa: ANN401
    **named: Any,  # noqa: ANN401
) -> T:
    """Change a bank of the caller's tenant, and have the audit log say so."""
    act = Act(actor(who), Action.BANK_CHANGED, anonymous(who.tenant, name), {"by": work.__name__})
    return await served.write(audit.recorded, act, work, who.tenant, name, *arguments, **named)
