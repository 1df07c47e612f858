"""Hash banks over HTTP and by the command, on a real gateway and its database."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine
from typer.testing import CliRunner

from domain.access import Scope
from domain.audit import Action
from gateway.commands.reach import at_the_machine
from sightline import app
from storage import audit, banks, tenants
from storage.promotions import Why
from storage.session import read, write
from storage.settings import Settings
from storage.signals import Kind, Signal

pytestmark = pytest.mark.service

PDQ = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22"
OTHER = "e64cc9d91c623882f8d1f1d9a398e78c9f199b3bd83924f2b7e11e0bf861b064"
Headers = dict[str, str]


@pytest.fixture
def admin(key_for: Callable[..., Headers]) -> Headers:
    """A key of the tenant `acme` that may change banks, and sees no restricted one."""
    return key_for("acme", Scope.ADMIN)


@pytest.fixture
def sees_all(key_for: Callable[..., Headers]) -> Headers:
    """One that sees those too."""
    return key_for("acme", Scope.ADMIN, Scope.RESTRICTED)


@pytest.fixture
def reader(key_for: Callable[..., Headers]) -> Headers:
    return key_for("acme", Scope.READ)


def make(gateway: TestClient, who: Headers, name: str = "harmful", **more: object):
    return gateway.post("/v1/banks", json={"name": name, **more}, headers=who)


def test_a_hash_comes_into_a_bank_and_goes_and_its_history_names_the_key(
    gateway: TestClient, admin: Headers, reader: Headers
) -> None:
    # given a bank with a hash
    assert make(gateway, admin).json()["share"] == 1.0
    entry = {"kind": "pdq", "value": PDQ.upper(), "labels": ["bridge"], "because": "reported"}
    made = gateway.post("/v1/banks/harmful/entries", json=entry, headers=admin)
    assert (made.status_code, made.json()["value"], made.json()["added_by"]) == (201, PDQ, "test")
    listed = gateway.get("/v1/banks/harmful/entries", params={"kind": "pdq"}, headers=reader).json()
    assert [one["labels"] for one in listed] == [["bridge"]]
    # when it is removed
    path = f"/v1/banks/harmful/entries/pdq/{PDQ}"
    gone = gateway.delete(path, params={"because": "an appeal"}, headers=admin)
    # then it is in the history alone
    assert (gone.status_code, gone.json()["removed_because"]) == (200, "an appeal")
    assert gateway.get("/v1/banks/harmful/entries", headers=reader).json() == []
    [past] = gateway.get("/v1/banks/harmful/history", params={"value": PDQ}, headers=reader).json()
    assert (past["added_because"], past["removed_by"]) == ("reported", "test")
    assert gateway.delete(path, headers=admin).status_code == 404


def test_who_may_read_banks_may_not_change_them(gateway: TestClient, admin: Headers, reader: Headers) -> None:
    make(gateway, admin)
    for method, path, body in (
        ("POST", "/v1/banks", {"name": "other"}),
        ("PATCH", "/v1/banks/harmful", {"share": 0}),
        ("POST", "/v1/banks/harmful/entries", {"kind": "pdq", "value": PDQ}),
        ("DELETE", f"/v1/banks/harmful/entries/pdq/{PDQ}", None),
        ("POST", "/v1/banks/harmful/import", None),
    ):
        assert gateway.request(method, path, json=body, headers=reader).status_code == 403, path
    assert [bank["name"] for bank in gateway.get("/v1/banks", headers=reader).json()] == ["harmful"]


def test_a_restricted_bank_is_as_if_it_were_not_without_that_scope(
    gateway: TestClient, admin: Headers, sees_all: Headers, engine: Engine
) -> None:
    # given a restricted bank with a hash
    assert make(gateway, admin, "few-eyes", restricted=True).status_code == 403
    assert make(gateway, sees_all, "few-eyes", restricted=True).status_code == 201
    write(engine, banks.add, "acme", "few-eyes", Signal(Kind.PDQ, PDQ), Why(by="ann"))
    # when an administrator without the scope looks for it, changes it, or reads it
    for method, path, body in (
        ("GET", "/v1/banks/few-eyes/entries", None),
        ("GET", "/v1/banks/few-eyes/history", None),
        ("GET", "/v1/banks/few-eyes/export", None),
        ("PATCH", "/v1/banks/few-eyes", {"restricted": False}),
        ("POST", "/v1/banks/few-eyes/entries", {"kind": "pdq", "value": OTHER}),
        ("DELETE", f"/v1/banks/few-eyes/entries/pdq/{PDQ}", None),
    ):
        assert gateway.request(method, path, json=body, headers=admin).status_code == 404, path
    assert gateway.post("/v1/banks/few-eyes/import", content=OTHER, headers=admin).status_code == 404
    assert gateway.get("/v1/banks", headers=admin).json() == []
    # then who has it sees all, and the bank cannot be opened
    assert gateway.get("/v1/banks/few-eyes/entries", headers=sees_all).json()[0]["value"] == PDQ
    opened = gateway.patch("/v1/banks/few-eyes", json={"restricted": False}, headers=sees_all)
    assert (opened.status_code, opened.json()["code"]) == (409, "conflict")


def test_a_bank_can_be_restricted_only_by_who_still_sees_it_afterwards(
    gateway: TestClient, admin: Headers, sees_all: Headers
) -> None:
    make(gateway, admin)

    assert gateway.patch("/v1/banks/harmful", json={"restricted": True}, headers=admin).status_code == 403
    changed = gateway.patch("/v1/banks/harmful", json={"restricted": True, "share": 0.5}, headers=sees_all)

    assert (changed.json()["restricted"], changed.json()["share"]) == (True, 0.5)


def test_a_file_is_imported_whole_and_exported_as_threatexchange_writes_it(
    gateway: TestClient, admin: Headers, reader: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a bank with one of the hashes of a file
    monkeypatch.setattr(banks, "CHUNK", 2)
    make(gateway, admin)
    gateway.post("/v1/banks/harmful/entries", json={"kind": "pdq", "value": PDQ}, headers=admin)
    rows = [f"pdq,{PDQ},x,POSITIVE_CLASS,", f"sha256,{OTHER},x,,a b", f"pdq,{OTHER},x,NEGATIVE_CLASS,"]
    lines = ["signal_type,signal_str,collab,category,tags", *rows, f"pdq,{'0' * 64},x,,", "phash,c3b5d2a4968f0e71,x,,"]
    # when it is imported
    done = gateway.post("/v1/banks/harmful/import", content="\r\n".join(lines), headers=admin)
    # then what was not there came in
    assert done.json() == {"added": 3, "known": 1, "left_out": 1}
    # and all of it is exported, with one header over all portions
    exported = gateway.get("/v1/banks/harmful/export", headers=reader)
    assert exported.headers["content-type"].startswith("text/csv")
    header, *told = exported.text.splitlines()
    assert header == lines[0]
    assert sorted(told) == [
        f"pdq,{'0' * 64},harmful,POSITIVE_CLASS,",
        f"pdq,{PDQ},harmful,POSITIVE_CLASS,",
        "phash,c3b5d2a4968f0e71,harmful,POSITIVE_CLASS,",
        f"sha256,{OTHER},harmful,POSITIVE_CLASS,a b",
    ]
    plain = gateway.get("/v1/banks/harmful/export", params={"form": "plain", "kind": "sha256"}, headers=reader)
    assert plain.text == f"sha256 {OTHER}\n"


@pytest.mark.parametrize(
    ("body", "line"),
    [(f"{PDQ}\nnothing\n".encode(), "line 2"), (b"\xff\xfe", "UTF-8"), (b"\0\n", "line 1"), (b"", "empty")],
)
def test_a_file_with_a_bad_line_brings_nothing(gateway: TestClient, admin: Headers, body: bytes, line: str) -> None:
    make(gateway, admin)

    answer = gateway.post("/v1/banks/harmful/import", content=body, headers=admin)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert line in answer.json()["detail"]
    assert gateway.get("/v1/banks", headers=admin).json()[0]["entries"] == 0


@pytest.mark.parametrize(
    "entry",
    [
        {"kind": "pdq", "value": "12"},
        {"kind": "phash", "value": PDQ},
        {"kind": "md5", "value": PDQ},
        {"kind": "pdq", "value": PDQ, "labels": ["a b"]},
        {"kind": "pdq", "value": PDQ, "because": "\0"},
    ],
)
def test_what_is_no_hash_or_no_label_is_refused(gateway: TestClient, admin: Headers, entry: dict[str, object]) -> None:
    make(gateway, admin)
    assert gateway.post("/v1/banks/harmful/entries", json=entry, headers=admin).status_code == 422


@pytest.mark.parametrize(
    "told", [{"share": False}, {"share": "0"}, {"share": 1.01}, {"restricted": 1}, {"name": "A"}, {"owner": "ann"}]
)
def test_what_is_no_setting_of_a_bank_is_refused(
    gateway: TestClient, sees_all: Headers, told: dict[str, object]
) -> None:
    assert make(gateway, sees_all, **{"name": "harmful", **told}).status_code == 422
    assert make(gateway, sees_all).status_code == 201
    assert gateway.patch("/v1/banks/harmful", json=told, headers=sees_all).status_code == 422
    assert gateway.patch("/v1/banks/harmful", json={"share": 0}, headers=sees_all).json()["share"] == 0


@pytest.fixture
def run(engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch):
    """Run the command on an installation with a tenant `default`; return its exit code and its output."""
    write(engine, tenants.ensure, "default")
    monkeypatch.setenv("SIGHTLINE_DATABASE_URL", settings.database_url)
    monkeypatch.setenv("SIGHTLINE_DATA", str(settings.data))

    def invoke(*words: object) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["banks", *(str(word) for word in words)])
        return done.exit_code, done.stdout if done.exception is None else done.stdout + str(done.exception)

    return invoke


def test_the_command_makes_fills_shows_and_empties_a_bank(run, engine: Engine) -> None:
    assert run("create", "harmful", "--share", "0.5")[0] == 0
    assert run("add", "harmful", "pdq", PDQ, "--label", "bridge", "--because", "reported")[0] == 0
    assert "0.5" in run("list")[1]
    [entry] = json.loads(run("list", "harmful", "--json")[1])
    assert (entry["value"], entry["labels"], entry["added_by"]) == (PDQ, ["bridge"], at_the_machine().name)
    assert run("remove", "harmful", "pdq", PDQ, "--by", "ann")[0] == 0
    assert json.loads(run("list", "harmful", "--json")[1]) == []
    told = run("history", "harmful")[1]
    assert "reported" in told
    assert "ann" in told
    assert run("configure", "harmful", "--restricted", "--share", "1")[0] == 0
    assert [(bank.restricted, bank.share) for bank in read(engine, banks.listing, "default")] == [(True, 1.0)]
    assert "stays so" in run("configure", "harmful", "--no-restricted")[1]


def test_the_command_exports_what_it_can_import_elsewhere(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a file as PDQ's tools write it, with a dull picture in it
    monkeypatch.setattr(banks, "CHUNK", 2)
    file, copy = tmp_path / "hashes.txt", tmp_path / "hashes.csv"
    file.write_text(f"{PDQ},100,a.jpg\n{OTHER},80,b.jpg\n{'0' * 64},90,c.jpg\n{'1' * 64},3,dull.jpg\n")
    run("create", "one")
    run("create", "two")
    # when it is imported, exported, and imported into another bank
    first = json.loads(run("import", "one", file, "--json")[1])
    assert run("export", "one", copy)[0] == 0
    second = json.loads(run("import", "two", copy, "--json")[1])
    # then that has the same
    assert first == {"added": 3, "known": 0, "left_out": 1}
    assert second == {"added": 3, "known": 0, "left_out": 0}
    assert run("export", "two", "--plain")[1] == run("export", "one", "--plain")[1]
    assert f"pdq {PDQ}\n" in run("export", "two", "--plain")[1]


def test_the_command_names_what_it_cannot_read_or_find(run, tmp_path: Path) -> None:
    bad, nowhere = tmp_path / "bad.txt", tmp_path / "none" / "x.csv"
    bad.write_text(f"{PDQ}\nnot a hash\n")
    run("create", "harmful")

    assert "line 2" in run("import", "harmful", bad)[1]
    assert json.loads(run("list", "harmful", "--json")[1]) == []
    assert "cannot be read" in run("import", "harmful", nowhere)[1]
    assert "cannot be written" in run("export", "harmful", nowhere)[1]
    assert "no bank" in run("export", "nothing", tmp_path / "x.csv")[1]
    assert not (tmp_path / "x.csv").exists()
    assert run("create", "Not A Name")[0] == 1
    assert "no tenant" in run("create", "x", "--tenant", "nobody")[1]
    assert "--by" in run("add", "harmful", "pdq", PDQ, "--by", "x" * 201)[1]


def test_each_change_of_a_bank_stands_in_the_audit_log_without_its_name(
    gateway: TestClient, sees_all: Headers, engine: Engine
) -> None:
    make(gateway, sees_all, "secret", restricted=True)
    gateway.post("/v1/banks/secret/entries", json={"kind": "pdq", "value": PDQ}, headers=sees_all)
    changes = read(engine, audit.entries, action=Action.BANK_CHANGED)
    assert [row.facts["by"] for row in changes] == ["create", "add"]
    assert len({row.subject for row in changes}) == 1
    assert "secret" not in str(changes)
