"""The folder of a training that is under way: what was asked for, and the checkpoint from which it goes on."""

import fcntl
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum, auto
from pathlib import Path
from typing import Any

from domain.errors import Conflict, Unavailable

ASKED = "asked.json"


class Left(Enum):
    """What becomes of what an earlier training left in a folder."""

    GO_ON = auto()
    """the same is gone on from, another is a Conflict"""
    OWN = auto()
    """the same is gone on from, another is dropped: the folder is this training's alone, and its set was mended"""
    DROP = auto()


@contextmanager
def run_folder(folder: Path, asked: Mapping[str, Any], left: Left = Left.GO_ON) -> Iterator[Path]:
    """Take a folder for a training, and take it away once that ended well; after an error it stays, to go on from.

    `asked` is what tells this training from others, as JSON. Raises Unavailable where another process trains there,
    Conflict where another training was left there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Unavailable(
                f"{folder.name} is being trained by another process; wait, or take another name"
            ) from error
        told = json.loads(json.dumps(asked))
        other = "" if left is Left.DROP else _other(folder / ASKED, told)
        if left is Left.DROP or (other and left is Left.OWN):
            shutil.rmtree(folder)
            folder.mkdir()
        elif other:
            raise Conflict(
                f"{folder} holds a training that did not end, and this one is another ({other}); ask for that one "
                f"again to go on, or begin with --anew, which drops it"
            )
        if not (folder / ASKED).exists():
            (folder / f"{ASKED}.new").write_text(json.dumps(told, indent=2), "utf-8")
            (folder / f"{ASKED}.new").replace(folder / ASKED)
        yield folder
        shutil.rmtree(folder)


def _other(file: Path, told: Mapping[str, Any]) -> str:
    """Say in what a training that was left differs from this one; nothing where there is none, or it is the same."""
    if not file.exists():
        return ""
    before = json.loads(file.read_text("utf-8"))
    return ", ".join(sorted(name for name in {*before, *told} if before.get(name) != told.get(name)))
