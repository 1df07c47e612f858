"""Configurations on each database: kept as versions, held to their kind, one of each name active."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Engine

from domain.applications import catalogue
from domain.audit import Actor
from domain.errors import Conflict, InvalidParameters, InvalidRequest, NotFound
from storage import audit, configurations
from storage.configurations import Name
from storage.session import read, write

ANN = Actor(name="ann", tenant="acme")
STRICT = Name(tenant="acme", application="inspection", kind="limits", name="strict")
HOUSE = STRICT.model_copy(update={"name": "house"})


class Limits(BaseModel):
    """Some kind of configuration."""

    model_config = ConfigDict(extra="forbid")
    least: float = Field(ge=0, le=1)


def never_lower(before: Limits, after: Limits) -> None:
    if after.least < before.least:
        raise ValueError(f"{after.least} is less than {before.least}")


@pytest.fixture(autouse=True)
def _limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let inspections run under limits, of which one ships."""
    told: dict[str, Any] = {"kinds": {"limits": Limits}, "shipped": {("limits", "house"): {"least": 0.5}}}
    wanted = replace(catalogue.application("inspection"), **told, succeeds={"limits": never_lower})
    monkeypatch.setattr(configurations, "application", lambda name: wanted)


def add(engine: Engine, least: float, of: Name = STRICT) -> int:
    return write(engine, configurations.add, of, {"least": least}, ANN, "stricter").version


def test_a_version_is_kept_and_holds_once_it_is_activated(engine: Engine):
    assert [add(engine, 0.6), add(engine, 0.7)] == [1, 2]
    with pytest.raises(InvalidParameters, match="no version of limits 'strict' is active"):
        read(engine, configurations.find, STRICT)
    write(engine, configurations.activate, STRICT, 1, ANN, "agreed on")
    assert read(engine, configurations.find, STRICT).body == {"least": 0.6}
    assert read(engine, configurations.find, STRICT, 2).body == {"least": 0.7}


def test_the_same_content_again_is_the_same_version(engine: Engine):
    assert [add(engine, 0.6), add(engine, 0.6)] == [1, 1]


def test_what_ships_holds_until_something_else_does_and_again_when_it_is_activated(engine: Engine):
    assert read(engine, configurations.find, HOUSE).version == 0
    add(engine, 0.9, HOUSE)
    assert read(engine, configurations.find, HOUSE).version == 0
    write(engine, configurations.activate, HOUSE, 1, ANN, "ours")
    assert read(engine, configurations.find, HOUSE).body == {"least": 0.9}
    write(engine, configurations.activate, HOUSE, 0, ANN, "back")
    assert read(engine, configurations.find, HOUSE).version == 0
    assert [(one.version, one.because) for one in read(engine, configurations.history, HOUSE)] == [
        (1, "ours"),
        (0, "back"),
    ]


@pytest.mark.parametrize("body", [{"least": 2}, {"least": "much"}, {}, {"least": 0.5, "most": 1}])
def test_what_is_none_of_its_kind_is_refused_by_field(engine: Engine, body):
    with pytest.raises(InvalidRequest, match="this is no limits of inspection: ") as refused:
        write(engine, configurations.add, STRICT, body, ANN, "")
    assert refused.value.details["problems"]
    assert read(engine, audit.entries) == []


def test_what_cannot_follow_the_version_before_it_is_refused(engine: Engine):
    add(engine, 0.6)
    with pytest.raises(InvalidRequest, match=r"cannot follow version 1 of 'strict': 0.3 is less than 0.6"):
        add(engine, 0.3)
    with pytest.raises(InvalidRequest, match="cannot follow version 0 of 'house'"):
        add(engine, 0.3, HOUSE)


def test_unknown_kinds_names_and_versions_are_told_with_what_there_is(engine: Engine):
    with pytest.raises(InvalidRequest, match="no configurations of the kind 'menu'; its kinds: limits"):
        write(engine, configurations.add, STRICT.model_copy(update={"kind": "menu"}), {}, ANN, "")
    with pytest.raises(NotFound, match="no version 7"):
        write(engine, configurations.activate, HOUSE, 7, ANN, "")
    with pytest.raises(InvalidParameters, match="there are: house"):
        read(engine, configurations.find, STRICT)


def test_what_is_active_is_not_activated_again(engine: Engine):
    with pytest.raises(Conflict, match="active already"):
        write(engine, configurations.activate, HOUSE, 0, ANN, "")


def test_a_tenants_versions_are_its_own(engine: Engine):
    add(engine, 0.6)
    other = STRICT.model_copy(update={"tenant": "globex"})
    assert write(engine, configurations.add, other, {"least": 0.1}, ANN, "").version == 1
    listed = read(engine, configurations.listing, "globex", "inspection")
    assert [(one.name, one.version, one.active) for one in listed] == [("house", 0, True), ("strict", 1, False)]


def test_two_who_add_at_once_make_two_versions(engine: Engine):
    with ThreadPoolExecutor(4) as pool:
        made = sorted(pool.map(lambda at: add(engine, 0.5), range(4)))
    assert made == [1, 1, 1, 1]
    with ThreadPoolExecutor(2) as pool:
        refused = list(pool.map(lambda least: _added(engine, least), (0.7, 0.6)))
    versions = [version for version in refused if version]
    assert versions in ([2, 3], [3, 2], [2])


def _added(engine: Engine, least: float) -> int | None:
    try:
        return add(engine, least)
    except InvalidRequest:
        return None  # the lower of the two came second


def test_each_change_stands_in_the_audit_log_and_an_activation_in_the_feed(engine: Engine):
    from sqlalchemy import select

    from storage.tables import events

    add(engine, 0.6)
    write(engine, configurations.activate, STRICT, 1, ANN, "agreed on")
    told = [(row.action, row.subject, row.facts.get("because")) for row in read(engine, audit.entries)]
    assert told == [
        ("configuration.added", "inspection limits strict", None),
        ("configuration.activated", "inspection limits strict", "agreed on"),
    ]
    [event] = read(engine, lambda connection: connection.execute(select(events)).all())
    assert (event.type, event.body["version"]) == ("configuration.activated", 1)
