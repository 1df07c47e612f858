"""`sightline submit`: pictures and whole folders, one job each."""

import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from domain.errors import InvalidRequest, SightlineError
from domain.jobs import Lane
from gateway.client import Client, succeeded
from gateway.commands.options import AsJson, Data
from gateway.commands.output import print_json, print_table, progress, remark, state
from gateway.commands.reach import client
from storage.jobs import JobView

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
"""Which files of a folder are taken for pictures; a file named by itself is sent whatever it is called."""

AT_ONCE = 4


@dataclass(frozen=True)
class Sent:
    """What became of a submission: a job, or why there is none."""

    files: tuple[Path, ...]
    job: JobView | None = None
    error: SightlineError | None = None

    def told(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        job = self.job.model_dump(mode="json") if self.job else None
        error = {"code": self.error.code, "message": self.error.message} if self.error else None
        return {"files": [str(path) for path in self.files], "job": job, "error": error}


def submit(
    application: Annotated[str, typer.Argument(help="inspection, signs, ...")],
    images: Annotated[
        list[Path] | None, typer.Argument(help="Pictures, and folders of pictures; none where a text is all it takes.")
    ] = None,
    param: Annotated[
        list[str] | None, typer.Option("--param", help="NAME=VALUE; the value is JSON where it parses.")
    ] = None,
    lane: Annotated[Lane, typer.Option(help="How urgent.")] = Lane.STANDARD,
    together: Annotated[bool, typer.Option("--together", help="All pictures in one job; else one job each.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Until the jobs have ended; fails if one did not succeed.")
    ] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait at most.")] = 600.0,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Hand in pictures."""
    params = _parameters(param or [])
    files = list(_files(images or []))
    groups = [tuple(files)] if together or not files else [(path,) for path in files]
    with client(data) as gateway:
        sent = _send(gateway, application, groups, params, lane)
        if wait:
            sent = _ended(gateway, sent, timeout)
    _report(sent, as_json=as_json)
    failed = [each for each in sent if each.error or (wait and each.job and not succeeded(each.job))]
    if failed:
        raise typer.Exit(1)


def _parameters(told: Sequence[str]) -> dict[str, Any]:
    found = {}
    for each in told:
        name, equals, value = each.partition("=")
        if not name or not equals:
            raise InvalidRequest(f"--param {each!r} is not NAME=VALUE")
        try:
            found[name] = json.loads(value)
        except (ValueError, RecursionError):
            found[name] = value
    return found


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
            if not inside:
                raise InvalidRequest(f"the folder {path} holds no pictures ({', '.join(sorted(SUFFIXES))})")
            yield from inside
        elif path.is_file():
            yield path
        else:
            raise InvalidRequest(f"there is no file or folder {path}")


def _send(
    gateway: Client, application: str, groups: Sequence[tuple[Path, ...]], params: dict[str, Any], lane: Lane
) -> list[Sent]:
    def one(files: tuple[Path, ...]) -> Sent:
        try:
            return Sent(files, gateway.submit(application, files, params, lane=lane.value))
        except SightlineError as error:
            return Sent(files, error=error)

    with progress() as bar, ThreadPoolExecutor(AT_ONCE) as pool:
        return list(bar.track(pool.map(one, groups), total=len(groups), description="sending"))


def _ended(gateway: Client, sent: Sequence[Sent], timeout_s: float) -> list[Sent]:
    """Wait for every job; the time is for all of them together."""
    until = time.monotonic() + timeout_s

    def one(each: Sent) -> Sent:
        if each.job is None:
            return each
        try:
            return Sent(each.files, gateway.wait(each.job.id, max(until - time.monotonic(), 0)))
        except TimeoutError as error:
            remark(str(error))
            return Sent(each.files, gateway.job(each.job.id))

    with progress() as bar:
        return [one(each) for each in bar.track(sent, description="waiting")]


def _report(sent: Sequence[Sent], *, as_json: bool) -> None:
    if as_json:
        print_json([each.told() for each in sent])
        return
    jobs = [each for each in sent if each.job]
    if jobs:
        columns = ("file", "job", "state", "answer")
        print_table(
            columns,
            [(_names(each), each.job.id, state(each.job.state), _answer(each.job)) for each in jobs if each.job],
        )
    for each in sent:
        if each.error:
            remark(f"{_names(each)}: {each.error.message}")


def _names(sent: Sent) -> str:
    return ", ".join(str(path) for path in sent.files)


def _answer(job: JobView) -> str | None:
    return f"{job.error.code}: {job.error.message}" if job.error else job.headline
