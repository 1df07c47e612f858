"""The folder of a training that is under way: what was asked for, and the checkpoint from which it goes on."""

import fcntl
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from domain.errors import Conflict, Unavailable

ASKED = "asked.json"


@contextmanager
def run_folder(folder: Path, asked: Mapping[str, Any], *, anew: bool = False) -> Iterator[Path]:
    """Take a folder for a training, and take it away once that ended well; after an error it stays, to go on from.

    `asked` is what tells this training from others, as JSON. With `anew`, what was left of an earlier one is dropped.
    Raises Unavailable where another process trains there, Conflict where another training was left there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Unavailable(
                f"{folder.name} is being trained by another process; wait, or take another name"
            ) from error
        if anew:
            shutil.rmtree(folder)
            folder.mkdir()
        _must_be_the_same(folder / ASKED, asked)
        yield folder
        shutil.rmtree(folder)


def _must_be_the_same(file: Path, asked: Mapping[str, Any]) -> None:
    told = json.loads(json.dumps(asked))
    if not file.exists():
        file.write_text(json.dumps(told, indent=2), "utf-8")
        return
    before = json.loads(file.read_text("utf-8"))
    if before != told:
        other = ", ".join(sorted(name for name in {*before, *told} if before.get(name) != told.get(name)))
        raise Conflict(
            f"{file.parent} holds a training that did not end, and this one is another ({other}); ask for that one "
            f"again to go on, or begin with --anew, which drops it"
        )
