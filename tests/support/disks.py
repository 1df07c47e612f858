"""Small file systems of a test's own, to be filled, and made read-only."""

import contextlib
import errno
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.absent import absent

BLOCK = 4096


@dataclass(frozen=True)
class Disk:
    """A file system mounted on a folder."""

    folder: Path

    @property
    def _filler(self) -> Path:
        return self.folder / ".filler"

    def fill(self, leave: int = 0) -> None:
        """Leave so many blocks free and not one byte more."""
        with self._filler.open("ab", buffering=0) as file:
            for size in (1024 * 1024, 64 * 1024, BLOCK, 1):
                with _until_full():
                    while True:
                        file.write(bytes(size))
            file.truncate(file.tell() - leave * BLOCK)

    def fill_inodes(self) -> None:
        """Leave room for bytes, but for no further file."""
        self._filler.mkdir()
        with _until_full():
            for number in range(100_000):
                (self._filler / str(number)).touch()

    def free(self) -> None:
        """Give the space back."""
        if self._filler.is_dir():
            for path in self._filler.iterdir():
                path.unlink()
            self._filler.rmdir()
        else:
            self._filler.unlink()

    def read_only(self) -> None:
        """Refuse every write, as a kernel does that saw errors on the disk."""
        self._remount("ro")

    def writable(self) -> None:
        """Take writes again."""
        self._remount("rw")

    def _remount(self, mode: str) -> None:
        command = ["mount", "-o", f"remount,{mode}", str(self.folder)]
        for _ in range(100):
            if subprocess.run(command, capture_output=True).returncode == 0:
                return
            time.sleep(0.05)  # somebody has a file open for writing at this moment
        raise AssertionError(f"cannot remount {self.folder} {mode}")


@contextlib.contextmanager
def _until_full() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


@contextlib.contextmanager
def small_disk(folder: Path, size: str = "1m", inodes: int = 400) -> Iterator[Disk]:
    """Mount a file system of that size on a folder, which is made; see `absent` where that is not permitted."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},nr_inodes={inodes},mode=0777", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True)
    if mounted.returncode:
        absent(f"a small file system cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield Disk(folder)
    finally:
        os.sync()
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
