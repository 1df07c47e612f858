"""The command, called as people call it, against a gateway on a socket."""

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import typer
from sqlalchemy import Engine
from typer.testing import CliRunner, Result

from domain.access import Scope
from domain.errors import SightlineError
from gateway.cli import mount
from storage import jobs
from storage.session import read
from storage.settings import Settings
from tests.gateway.sending import finish, make_key, picture

pytestmark = pytest.mark.service

ADDRESS_FILE = "gateway.url"


@pytest.fixture
def command(settings: Settings, engine: Engine, address: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a sub-command on an installation's folder, as `sightline up` leaves it."""
    settings.run_folder.mkdir(parents=True)
    (settings.run_folder / ADDRESS_FILE).write_text(address)
    key = make_key(engine, "default", Scope.ADMIN)
    (settings.data / "admin.key").write_text(f"{key}\n")
    for name in ("URL", "KEY", "CONFIG"):
        monkeypatch.delenv(f"SIGHTLINE_{name}", raising=False)
    monkeypatch.setenv("SIGHTLINE_DATABASE_URL", settings.database_url)
    monkeypatch.setenv("SIGHTLINE_DATA", str(settings.data))
    app = typer.Typer()
    mount(app)

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(app, [str(each) for each in arguments])

    return run


def told(result: Result) -> Any:
    """What was printed on stdout, which must be one JSON document and nothing else."""
    assert result.exit_code == 0, (result.stderr, result.exception)
    return json.loads(result.stdout)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of two pictures, one of them deeper, and a text."""
    place = tmp_path / "pictures"
    (place / "deeper").mkdir(parents=True)
    (place / "a.png").write_bytes(picture(1))
    (place / "deeper" / "b.JPG").write_bytes(picture(2, kind="JPEG"))
    (place / "notes.txt").write_text("no picture")
    return place


def test_a_folder_becomes_a_job_for_each_picture(command: Any, folder: Path) -> None:
    # given a folder with two pictures
    # when it is submitted
    sent = told(command("submit", "inspection", folder, "--param", "part=x-1", "--lane", "bulk", "--json"))
    # then there are two jobs, with the parameter as it was written
    assert [Path(each["files"][0]).name for each in sent] == ["a.png", "b.JPG"]
    assert {each["job"]["lane"] for each in sent} == {"bulk"}
    assert sent[0]["job"]["params"] == {"part": "x-1"}
    listed = told(command("jobs", "list", "--json"))
    assert {each["id"] for each in listed} == {each["job"]["id"] for each in sent}
    table = command("jobs", "list", "--lane", "bulk").stdout
    assert all(each["job"]["id"] in table for each in sent)


def test_pictures_can_go_together_into_one_job(command: Any, folder: Path) -> None:
    (sent,) = told(command("submit", "inspection", folder, "--together", "--json"))
    assert len(sent["job"]["images"]) == 2


def test_parameters_are_json_where_they_parse(command: Any, folder: Path) -> None:
    result = command(
        "submit", "inspection", folder / "a.png", "--param", "calibration=0.5", "--param", 'lot="7"', "--json"
    )
    assert told(result)[0]["job"]["params"] == {"calibration": 0.5, "lot": "7"}


def test_waiting_tells_the_answer(command: Any, folder: Path, engine: Engine) -> None:
    # given a worker that answers what comes
    def work() -> None:
        until = time.monotonic() + 10
        while not read(engine, jobs.latest, "default") and time.monotonic() < until:
            time.sleep(0.02)
        finish(engine, str(read(engine, jobs.latest, "default")[0].id))

    worker = threading.Thread(target=work)
    worker.start()
    # when somebody submits and waits
    result = command("submit", "inspection", folder / "a.png", "--wait", "--timeout", "20")
    worker.join()
    # then the answer is in the table
    assert result.exit_code == 0, result.stderr
    assert "succeeded" in result.stdout
    assert "REJECT: pit" in result.stdout


def test_waiting_for_a_job_that_does_not_succeed_fails(command: Any, folder: Path) -> None:
    result = command("submit", "inspection", folder / "a.png", "--wait", "--timeout", "0.2", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)[0]["job"]["state"] == "queued"
    assert "still queued" in result.stderr


def test_a_file_that_is_refused_is_named_and_the_rest_is_sent(command: Any, folder: Path) -> None:
    # given a picture that is none among good ones
    (folder / "broken.png").write_bytes(b"none")
    # when the folder is submitted
    result = command("submit", "inspection", folder)
    # then it fails, says which and why, and the others are jobs
    assert result.exit_code == 1
    assert "broken.png" in result.stderr
    assert "is not an image" in result.stderr
    assert len(told(command("jobs", "list", "--json"))) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("submit", "inspection", "nothing.png"), "no file or folder nothing.png"),
        (("submit", "inspection", ".", "--param", "x"), "NAME=VALUE"),
        (("keys", "create", "k", "--tenant", "nobody"), "no tenant 'nobody'"),
        (("keys", "revoke", "ffff"), "0 keys"),
        (("tenants", "create", "No Name"), "cannot name a tenant"),
        (("memory", "remove", "de", "en", "x"), "no translation"),
        (("jobs", "show", "01a1fbc4-624d-7394-a941-50d542714a9e"), "no job"),
    ],
)
def test_what_goes_wrong_is_one_typed_error(command: Any, arguments: tuple[str, ...], said: str) -> None:
    # given a command that cannot be done
    result = command(*arguments)
    # then it fails with an error of the domain, of which the entry point makes one line
    assert result.exit_code == 1
    assert isinstance(result.exception, SightlineError), result.exception
    assert said in result.exception.message
    assert "\n" not in result.exception.message
    assert result.stdout == ""


def test_a_job_is_shown_with_its_result_and_its_picture(
    command: Any, folder: Path, engine: Engine, tmp_path: Path
) -> None:
    # given a job with a result
    (sent,) = told(command("submit", "inspection", folder / "a.png", "--json"))
    job_id = sent["job"]["id"]
    finish(engine, job_id)
    # when it is shown
    shown = told(command("jobs", "show", job_id, "--json"))
    result = command("jobs", "show", job_id, "--picture", tmp_path / "out.png")
    # then all is there
    assert shown["result"]["body"]["verdict"] == "REJECT"
    assert "detect" in result.stdout
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


def test_a_job_is_cancelled_and_replayed(command: Any, folder: Path) -> None:
    (sent,) = told(command("submit", "inspection", folder / "a.png", "--json"))
    job_id = sent["job"]["id"]
    assert "is cancelled" in command("jobs", "cancel", job_id).stdout
    assert told(command("jobs", "replay", job_id, "--json"))["state"] == "queued"


def test_keys_are_made_listed_and_revoked(command: Any) -> None:
    # given a tenant and a key for it
    told(command("tenants", "create", "acme", "--backlog-limit", "9", "--intake", "--json"))
    made = told(command("keys", "create", "line", "--tenant", "acme", "--scope", "read", "--json"))
    plain = command("keys", "create", "other", "--tenant", "acme")
    # when they are listed, and one is revoked
    told(command("keys", "revoke", made["prefix"], "--json"))
    listed = told(command("keys", "list", "--tenant", "acme", "--json"))
    # then the secret was told once, on stdout, and is not listed
    assert plain.stdout.startswith("sl_")
    assert [(key["name"], key["scopes"], key["revoked_at"] is None) for key in listed] == [
        ("line", ["read"], False),
        ("other", ["read", "submit"], True),
    ]
    assert made["key"] not in command("keys", "list").stdout
    assert told(command("tenants", "set", "acme", "--no-intake", "--json"))[0]["intake_enabled"] is False
    assert "acme" in command("tenants", "list").stdout


def test_translations_are_remembered_and_forgotten(command: Any) -> None:
    told(command("memory", "add", "de", "en", "Nur für Anlieger", "Residents only", "--json"))
    assert told(command("memory", "list", "--json"))[0]["translation"] == "Residents only"
    assert "Residents only" in command("memory", "list").stdout
    assert command("memory", "remove", "de", "en", "NUR FÜR ANLIEGER").exit_code == 0
    assert told(command("memory", "list", "--json")) == []


def test_without_a_key_the_command_says_where_it_looked(command: Any, settings: Settings) -> None:
    (settings.data / "admin.key").unlink()
    result = command("jobs", "list")
    assert result.exit_code == 1
    assert "SIGHTLINE_KEY" in str(result.exception)
    assert "admin.key" in str(result.exception)
