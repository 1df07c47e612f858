"""The commands `reviews`, `audit` and `configurations` against a real gateway and its database."""

import json
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import Engine, update
from typer.testing import CliRunner

from domain.access import Scope
from sightline import app
from storage.review_tables import audit_log
from storage.session import write
from storage.settings import Settings
from tests.gateway.sending import inspected, make_key
from tests.support.reviewing import Desk


@pytest.fixture
def run(address: str, engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch):
    """Run the command as a reviewer of the tenant `acme`; return its exit code and its output."""
    monkeypatch.setenv("SIGHTLINE_DATABASE_URL", settings.database_url)
    monkeypatch.setenv("SIGHTLINE_URL", address)
    monkeypatch.setenv("SIGHTLINE_KEY", make_key(engine, "acme", Scope.ADMIN))

    def invoke(*words: object) -> tuple[int, str]:
        done = CliRunner().invoke(app, [str(word) for word in words])
        return done.exit_code, done.stdout if done.exception is None else done.stdout + str(done.exception)

    return invoke


def test_an_item_is_listed_claimed_and_decided(run, engine: Engine, tmp_path: Path):
    item = Desk(engine).waiting(body=inspected(1), summary="0.31 is neither")
    assert "0.31 is neither" in run("reviews", "list")[1]
    assert json.loads(run("reviews", "claim", "--queue", "undecided", "--json")[1])["id"] == str(item)
    right = tmp_path / "right.json"
    right.write_text('{"verdict": "ACCEPT", "defects": []}')
    code, told = run("reviews", "decide", item, "correct", "--reason", "false-positive", "--correction", right)
    assert (code, told.strip()) == (0, f"{item} is decided")
    shown = json.loads(run("reviews", "show", item, "--json")[1])
    assert [version["body"]["verdict"] for version in shown["versions"]] == ["REJECT", "ACCEPT"]
    assert "false-positive" in run("reviews", "show", item)[1]
    assert run("reviews", "claim")[0] == 3
    assert "waits in inspection" in run("reviews", "appeal", UUID(shown["job_id"]), "no pit")[1]


@pytest.mark.parametrize("content", ["[1]", "{", None])
def test_a_correction_that_is_no_object_is_refused(run, engine: Engine, tmp_path: Path, content):
    item, file = Desk(engine).waiting(body=inspected(1)), tmp_path / "right.json"
    if content is not None:
        file.write_text(content)
    code, told = run("reviews", "decide", item, "correct", "--reason", "wrong", "--correction", file)
    assert (code, "right.json" in told) == (1, True)
    assert run("reviews", "decide", item, "approve", "--reason", "No Code")[0] == 1


def test_a_changed_row_of_the_audit_log_ends_verify_with_1(run, engine: Engine):
    Desk(engine).decide(_reviewer(), Desk(engine).waiting(), "approve")
    code, noted = run("audit", "head")
    assert run("audit", "verify", "--noted", noted.strip())[0] == code == 0
    assert "review.decided" in run("audit", "list")[1]
    write(
        engine, lambda connection: connection.execute(update(audit_log).where(audit_log.c.seq == 1).values(actor="x"))
    )
    code, told = run("audit", "verify")
    assert (code, "row 1: was changed" in told) == (1, True)
    assert run("audit", "verify", "--noted", "nonsense")[0] == 1


def test_a_key_that_is_made_and_revoked_stands_in_the_audit_log(run, engine: Engine):
    made = json.loads(run("keys", "create", "line-4", "--tenant", "acme", "--json")[1])
    run("keys", "revoke", made["prefix"])
    told = [(row["action"], row["subject"]) for row in json.loads(run("audit", "list", "--json")[1])]
    assert told == [("key.created", f"key {made['id']}"), ("key.revoked", f"key {made['id']}")]


def _reviewer():
    from tests.support.reviewing import reviewer

    return reviewer()
