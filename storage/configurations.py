"""Configurations: policies, recipes, intended uses. Added as versions that never change; one of each name is active.

What ships with an application is version 0 of its name, active until a tenant activates one of its own, and again after
a tenant activates 0. Which version a job ran under stands in its result.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import ColumnElement, Connection, func, insert, select

from domain.applications import Application, application
from domain.applications.application import Configured
from domain.applications.revising import storable
from domain.audit import Action, Actor
from domain.errors import Conflict, InvalidParameters, InvalidRequest, NotFound, ResultRefused
from domain.events import EventType
from domain.problems import field_problems
from storage import audit
from storage.clock import moment
from storage.review_tables import configuration_activations as activations
from storage.review_tables import configurations as table
from storage.telling import told


class Name(BaseModel):
    """Which configuration is meant: of which tenant and application, its kind and its name."""

    model_config = ConfigDict(frozen=True)

    tenant: str
    application: str
    kind: str
    name: str = Field(pattern="^[a-z0-9][a-z0-9_-]{0,63}$")


class ConfigurationView(BaseModel):
    """A version as it is listed."""

    kind: str
    name: str
    version: int
    """0 ships with the application"""
    digest: str
    active: bool
    by: str
    because: str
    created_at: datetime | None


class Activation(BaseModel):
    """Since when which version holds, who decided that, and why."""

    version: int
    by: str
    because: str
    at: datetime


def add(connection: Connection, of: Name, body: Mapping[str, Any], who: Actor, because: str = "") -> Configured:
    """Keep a new version, not active yet; the same content as the newest version's is that version.

    Raises InvalidRequest that names each field and what is wrong with it, also where it cannot follow the version
    before it.
    """
    wanted = _application(of)
    checked = _validated(wanted, of, body)
    audit.hold(connection)  # two at once would both make the same version
    before = _newest(connection, of)
    content = _storable(checked)
    if before is not None and before.digest == digest(content):
        return before
    _check_follows(wanted, of, before, checked)
    version = (before.version if before else 0) + 1
    fresh = {**of.model_dump(), "version": version, "digest": digest(content), "body": content, "by": who.name}
    connection.execute(insert(table).values(**fresh, because=because, created_at=moment()))
    audit.record(connection, who, Action.CONFIGURATION_ADDED, _subject(of), version=version, digest=fresh["digest"])
    return Configured(kind=of.kind, name=of.name, version=version, digest=fresh["digest"], body=content)


def activate(connection: Connection, of: Name, version: int, who: Actor, because: str) -> Activation:
    """Have a version hold for the jobs that run from now on. Raises NotFound, Conflict where it does already."""
    found = exactly(connection, of, version)
    audit.hold(connection)
    if active_version(connection, of) == version:
        raise Conflict(f"version {version} of {of.kind} {of.name!r} is active already")
    row = {**of.model_dump(), "version": version, "by": who.name, "because": because}
    connection.execute(insert(activations).values(**row, at=moment()))
    body = {"application": of.application, "kind": of.kind, "name": of.name, "version": version}
    told(connection, of.tenant, EventType.CONFIGURATION_ACTIVATED, {**body, "digest": found.digest})
    audit.record(connection, who, Action.CONFIGURATION_ACTIVATED, _subject(of), version=version, because=because)
    return history(connection, of)[-1]


def find(connection: Connection, of: Name, version: int | None = None) -> Configured:
    """Return a version, or the active one where none is named. Raises InvalidParameters that lists what there is."""
    wanted = active_version(connection, of) if version is None else version
    try:
        if wanted is None:
            raise NotFound(f"no version of {of.kind} {of.name!r} is active")
        return exactly(connection, of, wanted)
    except NotFound as error:
        names = sorted({each.name for each in listing(connection, of.tenant, of.application, of.kind)})
        raise InvalidParameters(f"{error.message}; there are: {', '.join(names) or 'none'}") from error


def exactly(connection: Connection, of: Name, version: int) -> Configured:
    """Return a version. Raises NotFound."""
    if version == 0:
        shipped = _shipped(_application(of), of)
        if shipped is not None:
            return shipped
    row = connection.execute(select(table).where(*_is(table.c, of), table.c.version == version)).first()
    if row is None:
        raise NotFound(f"{of.application} has no version {version} of {of.kind} {of.name!r}")
    return Configured(kind=of.kind, name=of.name, version=version, digest=row.digest, body=row.body)


def active_version(connection: Connection, of: Name) -> int | None:
    """Return which version holds; None where none does."""
    newest = select(activations.c.version).where(*_is(activations.c, of)).order_by(activations.c.id.desc()).limit(1)
    found = connection.execute(newest).scalar()
    if found is None and _shipped(_application(of), of) is not None:
        return 0
    return found


def history(connection: Connection, of: Name) -> list[Activation]:
    """Return all activations of a name, the oldest first."""
    rows = connection.execute(select(activations).where(*_is(activations.c, of)).order_by(activations.c.id))
    return [Activation.model_validate(dict(row._mapping)) for row in rows]


def listing(connection: Connection, tenant: str, wanted: str, kind: str | None = None) -> list[ConfigurationView]:
    """Return the versions of an application's configurations, by kind, name and version."""
    chosen = select(table).where(table.c.tenant == tenant, table.c.application == wanted)
    rows = [dict(row._mapping) for row in connection.execute(chosen)]
    rows += [
        {
            "kind": a_kind,
            "name": name,
            "version": 0,
            "digest": digest(body),
            "by": "",
            "because": "",
            "created_at": None,
        }
        for (a_kind, name), body in application(wanted).shipped.items()
    ]
    found = []
    for row in sorted(rows, key=lambda row: (row["kind"], row["name"], row["version"])):
        if kind in {None, row["kind"]}:
            of = Name(tenant=tenant, application=wanted, kind=row["kind"], name=row["name"])
            active = active_version(connection, of) == row["version"]
            found.append(ConfigurationView.model_validate({**row, "active": active}))
    return found


def digest(body: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a configuration's content, in hexadecimal: equal for equal ones, however written."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _application(of: Name) -> Application[Any, Any]:
    wanted = application(of.application)
    if of.kind not in wanted.kinds:
        kinds = ", ".join(wanted.kinds) or "none"
        raise InvalidRequest(f"{of.application} has no configurations of the kind {of.kind!r}; its kinds: {kinds}")
    return wanted


def _shipped(wanted: Application[Any, Any], of: Name) -> Configured | None:
    body = wanted.shipped.get((of.kind, of.name))
    if body is None:
        return None
    return Configured(kind=of.kind, name=of.name, version=0, digest=digest(body), body=dict(body))


def _validated(wanted: Application[Any, Any], of: Name, body: Mapping[str, Any]) -> BaseModel:
    model = wanted.kinds[of.kind]
    try:
        return model.model_validate(body)
    except ValidationError as error:
        problems = field_problems(error, model)
        said = "; ".join(f"{problem['field'] or of.kind}: {problem['problem']}" for problem in problems)
        raise InvalidRequest(f"this is no {of.kind} of {of.application}: {said}", problems=problems) from error


def _storable(checked: BaseModel) -> dict[str, Any]:
    try:
        return storable(checked.model_dump(mode="json"))
    except ResultRefused as error:
        raise InvalidRequest(error.message) from error


def _check_follows(wanted: Application[Any, Any], of: Name, before: Configured | None, checked: BaseModel) -> None:
    """Hold a new version to what its kind asks of a successor, as that identifiers are never used anew."""
    earlier = before or _shipped(wanted, of)
    succeeds = wanted.succeeds.get(of.kind)
    if earlier is not None and succeeds is not None:
        try:
            succeeds(wanted.kinds[of.kind].model_validate(earlier.body), checked)
        except ValueError as error:
            raise InvalidRequest(f"this cannot follow version {earlier.version} of {of.name!r}: {error}") from error


def _newest(connection: Connection, of: Name) -> Configured | None:
    last = connection.execute(select(func.max(table.c.version)).where(*_is(table.c, of))).scalar()
    return None if last is None else exactly(connection, of, last)


def _is(columns: Any, of: Name) -> list[ColumnElement[bool]]:  # noqa: ANN401  (of either table)
    return [columns[name] == value for name, value in of.model_dump().items()]


def _subject(of: Name) -> str:
    return f"{of.application} {of.kind} {of.name}"
