"""A tenant's translation memory: its own translations of texts, found whatever their case and spacing."""

import unicodedata
from datetime import datetime

from pydantic import BaseModel, ConfigDict
from sqlalchemy import ColumnElement, Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from domain.errors import InvalidRequest, NotFound
from storage.clock import moment
from storage.tables import translation_memory as memory

MAX_TEXT = 400


class MemoryView(BaseModel):
    """A remembered translation between two languages (ISO 639-1)."""

    model_config = ConfigDict(frozen=True)

    source: str
    target: str
    text: str
    translation: str
    created_at: datetime


def folded(text: str) -> str:
    """Return the form by which a text is found: compatibility-composed, without case, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def recall(connection: Connection, tenant: str, text: str, source: str, target: str) -> str | None:
    """Return the remembered translation of a text, if there is one."""
    wanted = select(memory.c.translation).where(*_key(tenant, text, source, target))
    return connection.execute(wanted).scalar()


def remember(connection: Connection, tenant: str, text: str, source: str, target: str, translation: str) -> MemoryView:
    """Remember a translation; a newer one takes the place of the one before.

    Raises InvalidRequest for a language that is not a two-letter code, and for a text that is empty or too long.
    """
    _check(source, target, text, translation)
    kind = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    told = {"text": text.strip(), "translation": translation.strip(), "created_at": moment()}
    fresh = kind(memory).values(tenant=tenant, source=source, target=target, folded=folded(text), **told)
    index = [memory.c.tenant, memory.c.source, memory.c.target, memory.c.folded]
    connection.execute(fresh.on_conflict_do_update(index_elements=index, set_=told))
    row = connection.execute(select(memory).where(*_key(tenant, text, source, target))).one()
    return MemoryView.model_validate(dict(row._mapping))


def forget(connection: Connection, tenant: str, text: str, source: str, target: str) -> None:
    """Forget a translation.

    Raises NotFound.
    """
    if connection.execute(delete(memory).where(*_key(tenant, text, source, target))).rowcount == 0:
        raise NotFound(f"no translation of {text!r} from {source} to {target} is remembered")


def listing(connection: Connection, tenant: str) -> list[MemoryView]:
    """Return a tenant's translations, by languages and text."""
    order = (memory.c.source, memory.c.target, memory.c.folded)
    rows = connection.execute(select(memory).where(memory.c.tenant == tenant).order_by(*order))
    return [MemoryView.model_validate(dict(row._mapping)) for row in rows]


def _key(tenant: str, text: str, source: str, target: str) -> tuple[ColumnElement[bool], ...]:
    return (
        memory.c.tenant == tenant,
        memory.c.source == source,
        memory.c.target == target,
        memory.c.folded == folded(text),
    )


def _check(source: str, target: str, text: str, translation: str) -> None:
    for language in (source, target):
        if not (len(language) == 2 and language.isascii() and language.islower() and language.isalpha()):
            raise InvalidRequest(f"{language!r} is not a language code of two small letters (ISO 639-1)")
    if source == target:
        raise InvalidRequest(f"a translation from {source} to {target} is none")
    for name, value in (("text", text), ("translation", translation)):
        if not value.strip() or len(folded(value)) > MAX_TEXT or len(value) > MAX_TEXT or "\0" in value:
            raise InvalidRequest(f"the {name} must have 1 to {MAX_TEXT} characters and no NUL")
