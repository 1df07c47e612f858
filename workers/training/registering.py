"""Where a training ends: a finished checkpoint becomes a revision, in the installation's folder and in its database.

`DATA/models/NAME/DIGITS/` holds the checkpoint, `revision.json` and whatever else the run left for people, such as its
curves. The folder appears whole or not at all, and nothing in it is written again.
"""

import json
import os
import shutil
from pathlib import Path

from domain.errors import InvalidRequest
from storage import revisions
from storage.revisions import Facts, Revision
from storage.session import write
from storage.settings import Settings
from workers.database import database
from workers.hub import DIGITS, RECORD, digest
from workers.registered import checkpoint, home

__all__ = ["DIGITS", "Facts", "Revision", "register"]


def register(settings: Settings, folder: Path, facts: Facts) -> Revision:
    """Take a finished checkpoint's folder into the installation and note it as a revision. Return that.

    The folder is moved, so that it is gone afterwards. The same files registered again are the same revision: they are
    left where they are, and what was noted first stays. Raises InvalidRequest where the folder holds no checkpoint, or
    the revision's place is taken by other files.
    """
    revision = digest(checkpoint(folder))[: len("sha256:") + DIGITS]
    place = home(settings.data, facts.name, revision)
    if not place.is_dir():
        _write(folder / RECORD, facts, revision)
        _move(folder, place)
    elif not digest(checkpoint(place)).startswith(revision):
        raise InvalidRequest(f"{place} holds other files than its name says; move them away and register again")
    with database(settings) as engine:
        return write(engine, revisions.add, revision, facts)


def _write(record: Path, facts: Facts, revision: str) -> None:
    told = {"revision": revision, **facts.model_dump(mode="json")}
    record.write_text(f"{json.dumps(told, indent=2)}\n", "utf-8")


def _move(folder: Path, place: Path) -> None:
    """Let a folder appear at its place, whole; from another disk it is copied beside it first."""
    place.parent.mkdir(parents=True, exist_ok=True)
    here = folder
    if folder.stat().st_dev != place.parent.stat().st_dev:
        here = shutil.copytree(folder, place.with_name(f".{place.name}.{os.getpid()}"))
    for file in here.rglob("*"):
        _to_disk(file)
    here.rename(place)
    _to_disk(place.parent)
    if here != folder:
        shutil.rmtree(folder)


def _to_disk(path: Path) -> None:
    """Have what was written outlive a power cut: the database's row for it will."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
