"""Where image bytes lie: content-addressed by SHA-256 as `aa/bb/sha256`, in a folder or wherever fsspec reaches.

Knows files, not tenants: who may see an image is a row (`storage/images.py`). A file appears under its final name only
when it is complete and, in a folder, on the disk; an object store's PUT is atomic by itself. What is read is checked
against its name: a disk that gives back other bytes than it was given must never have a wrong picture judged.
"""

import errno
import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import fsspec
from fsspec.implementations.local import LocalFileSystem

from domain.errors import ImageDamaged, ImageMissing, StorageFull, StorageUnavailable

FRESH_S = 3600.0
"""An object that is already there is renewed when it is older, so that a sweep takes it for young."""

UNFINISHED = ".unfinished-"

FOLDERS = tuple(f"{number:02x}" for number in range(256))
"""The first level of the store."""


class StoredFile(NamedTuple):
    """A file of the store: its name there, and when it was last written or touched (seconds since 1970)."""

    name: str
    modified: float


class ImageStore:
    """A store of immutable bytes. Safe for threads and for many processes at once."""

    def __init__(self, url: str, *, make: bool = True) -> None:
        """Open a store. `make` makes a folder that is not there: for those who bring images in, at their start alone.

        Were it made again by an upload, or by a worker, while it is away (renamed, its disk not mounted), what is
        stored meanwhile would be out of sight once it is back.
        """
        self.url = url
        # A listings cache would not see what other processes write and remove.
        self._fs, self._root = fsspec.url_to_fs(url, **({"use_listings_cache": False} if "://" in url else {}))
        self._local = isinstance(self._fs, LocalFileSystem)
        if self._local and make:
            with suppress(OSError):
                Path(self._root).mkdir(parents=True, exist_ok=True)

    def put(self, data: bytes) -> str:
        """Keep the bytes and return their SHA-256. Bytes that are already there, and whole, are not written again.

        Raises StorageFull and StorageUnavailable; nothing truncated is ever left under the final name.
        """
        sha256 = hashlib.sha256(data).hexdigest()
        with _typed_errors(self.url):
            kept = self._kept(sha256)
            if kept is None or not self._whole(sha256, kept, data) or not self._young(sha256, kept):
                self._write(sha256, data)
        return sha256

    def get(self, sha256: str) -> bytes:
        """Return the bytes.

        Raises ImageMissing where this image is not there or cannot be read (a retry can help), StorageUnavailable where
        the store is away, and ImageDamaged.
        """
        with _typed_errors(self.url):
            try:
                data: bytes = self._fs.cat_file(self._path(sha256))
            except FileNotFoundError:
                self._must_be_there()
                raise ImageMissing(f"the image store has no image {sha256}", sha256=sha256) from None
            except OSError as error:
                if not self._local:
                    raise
                self._must_be_there()
                raise ImageMissing(f"the image store cannot read {sha256}: {error}", sha256=sha256) from error
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ImageDamaged(
                f"the image store has {len(data)} bytes under {sha256} that are not that image; send it again",
                sha256=sha256,
            )
        return data

    def _must_be_there(self) -> None:
        """Raise StorageUnavailable where not one image but the store with all of them is away.

        A folder without a single entry is the mount point of a disk that is not mounted: one that ever held an image
        keeps the folders above it.
        """
        self.check()
        if self._local and not self._anything_there():
            raise StorageUnavailable(f"the image store {self.url} is empty; is its disk mounted?")

    def _anything_there(self) -> bool:
        with os.scandir(self._root) as entries:
            return next(entries, None) is not None

    def has(self, sha256: str) -> bool:
        """Say whether the bytes are there.

        Raises StorageUnavailable.
        """
        with _typed_errors(self.url):
            return self._kept(sha256) is not None

    def check(self) -> None:
        """Raise StorageUnavailable where the store cannot be reached."""
        with _typed_errors(self.url):
            if self._local:
                self._anything_there()  # fsspec lists a file as itself
            else:
                self._fs.ls(self._root.split("/")[0], detail=False)

    def modified(self, name: str) -> float | None:
        """Return when a file of that name was last written or touched; None when there is none."""
        with _typed_errors(self.url):
            return _modified(found) if (found := self._info(f"{self._root}/{name}")) else None

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with _typed_errors(self.url):
            try:
                self._fs.rm_file(f"{self._root}/{name}")
            except FileNotFoundError:
                return

    def files(self, folders: Iterable[str] = FOLDERS) -> Iterator[StoredFile]:
        """Yield the files of first-level folders, unfinished ones included."""
        with _typed_errors(self.url):
            for folder in folders:
                try:
                    found = self._fs.find(f"{self._root}/{folder}", detail=True)
                except FileNotFoundError:
                    continue
                for path, told in found.items():
                    yield StoredFile(path.removeprefix(f"{self._root}/"), _modified(told))

    def _path(self, sha256: str) -> str:
        return f"{self._root}/{name_of(sha256)}"

    def _kept(self, sha256: str) -> dict[str, Any] | None:
        return self._info(self._path(sha256))

    def _info(self, path: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self._fs.info(path)
        except FileNotFoundError:
            return None
        return found

    def _whole(self, sha256: str, kept: dict[str, Any], data: bytes) -> bool:
        """Say whether a file that is already there holds these bytes, so that sending an image again mends it.

        An object store keeps checksums of its own, and reading one would cost as much as writing it.
        """
        if kept["size"] != len(data):
            return False
        try:
            return not self._local or Path(self._path(sha256)).read_bytes() == data
        except FileNotFoundError:
            return False  # swept since we looked

    def _young(self, sha256: str, kept: dict[str, Any]) -> bool:
        """Say whether a file that is already there is young, or could be made so by a touch; a PUT renews an object."""
        if time.time() - _modified(kept) < FRESH_S:
            return True
        if not self._local:
            return False
        try:
            os.utime(self._path(sha256))
        except FileNotFoundError:
            return False  # swept since we looked
        return True

    def _write(self, sha256: str, data: bytes) -> None:
        if self._local:
            self._write_durably(Path(self._path(sha256)), data)
        else:
            self._fs.pipe_file(self._path(sha256), data)

    def _write_durably(self, final: Path, data: bytes) -> None:
        """Write beside the final name, flush to the disk, rename, and flush the folders that name it."""
        made = [folder for folder in (final.parent.parent, final.parent) if not folder.exists()]
        for folder in made:
            folder.mkdir(exist_ok=True)  # and not what is above: see __init__
        unfinished = final.parent / f"{UNFINISHED}{uuid4().hex}"
        try:
            with unfinished.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(final)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        for folder in {final.parent, *(new.parent for new in made)}:
            _flush_folder(folder)


def name_of(sha256: str) -> str:
    """Return the name of an image's file within the store."""
    return f"{sha256[:2]}/{sha256[2:4]}/{sha256}"


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _modified(told: dict[str, Any]) -> float:
    """Return when a file was last written or touched: a folder's `mtime`, an object's `LastModified`."""
    moment = told["mtime"] if "mtime" in told else told["LastModified"]
    return moment.timestamp() if isinstance(moment, datetime) else float(moment)


@contextmanager
def _typed_errors(url: str) -> Iterator[None]:
    """Say what a file system or an object store refuses in the domain's words."""
    try:
        yield
    except FileNotFoundError as error:
        raise StorageUnavailable(f"the image store {url} is not there: {error}") from error
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StorageFull(f"the image store {url} is full; free space and try again") from error
        raise StorageUnavailable(f"the image store {url} refuses: {error}") from error
    except Exception as error:
        # An object store's client raises its own library's errors, which all mean the same to a caller.
        if type(error).__module__.partition(".")[0] in {"botocore", "aiobotocore", "aiohttp", "s3fs"}:
            raise StorageUnavailable(f"the image store {url} does not answer: {error}") from error
        raise
