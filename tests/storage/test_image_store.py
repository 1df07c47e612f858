"""The image store on a folder and on a server that speaks S3."""

import errno
import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from domain.errors import ImageDamaged, ImageMissing, StorageFull, StorageUnavailable
from storage.image_store import FRESH_S, ImageStore, name_of
from tests.support.absent import absent


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    """The address of an S3 server of our own."""
    from moto.moto_server.threaded_moto_server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_url(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A URL of a fresh bucket, with the environment that an operator would set."""
    import fsspec

    for name, value in {
        "AWS_ENDPOINT_URL": s3_endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    bucket = f"images-{uuid4().hex[:8]}"
    fsspec.filesystem("s3", skip_instance_cache=True).mkdir(bucket)
    return f"s3://{bucket}/sightline"


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.service)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ImageStore:
    """A fresh store of each kind."""
    return ImageStore(request.getfixturevalue("s3_url") if request.param == "s3" else str(tmp_path / "images"))


def test_what_is_put_is_found_by_its_hash(store: ImageStore) -> None:
    # given bytes
    data = os.urandom(3000)
    # when they are put
    sha256 = store.put(data)
    # then their hash names them
    assert sha256 == hashlib.sha256(data).hexdigest()
    assert store.has(sha256)
    assert store.get(sha256) == data
    assert [file.name for file in store.files()] == [name_of(sha256)]


def test_what_was_never_put_is_not_found(store: ImageStore) -> None:
    # given a store with another image
    store.put(b"one")
    # when a hash of nobody is asked for
    missing = hashlib.sha256(b"two").hexdigest()
    # then it is not there
    assert not store.has(missing)
    with pytest.raises(ImageMissing, match=missing):
        store.get(missing)


def test_putting_the_same_bytes_again_leaves_one_file(store: ImageStore) -> None:
    # given bytes that are there
    first = store.put(b"the same")
    before = store.modified(name_of(first))
    # when they are put again, by several at once
    threads = [threading.Thread(target=store.put, args=(b"the same",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # then there is one file, and it was not written again
    assert len(list(store.files())) == 1
    assert store.modified(name_of(first)) == before


def test_what_is_removed_is_gone_and_removing_it_again_is_no_error(store: ImageStore) -> None:
    # given an image
    sha256 = store.put(b"short-lived")
    # when it is removed twice
    store.remove(name_of(sha256))
    store.remove(name_of(sha256))
    # then it is gone
    assert not store.has(sha256)
    assert store.modified(name_of(sha256)) is None


def test_an_old_file_put_again_becomes_young(tmp_path: Path) -> None:
    # given a file that has not been touched for long
    store = ImageStore(str(tmp_path))
    sha256 = store.put(b"old")
    path = tmp_path / name_of(sha256)
    long_ago = path.stat().st_mtime - 2 * FRESH_S
    os.utime(path, (long_ago, long_ago))
    # when the same bytes are put again
    store.put(b"old")
    # then a sweep takes it for young
    assert path.stat().st_mtime > long_ago + FRESH_S


@pytest.mark.parametrize("left", [b"the wh", b"the whole imagE", b""])
def test_a_damaged_file_is_never_given_out_and_is_replaced_when_it_is_put_again(tmp_path: Path, left: bytes) -> None:
    # given a file that a disk lost the end of, or a bit
    store = ImageStore(str(tmp_path))
    sha256 = store.put(b"the whole image")
    (tmp_path / name_of(sha256)).write_bytes(left)
    # when it is read, then the error says so
    with pytest.raises(ImageDamaged, match=sha256):
        store.get(sha256)
    # when the same bytes are put again, then it is whole
    store.put(b"the whole image")
    assert store.get(sha256) == b"the whole image"


def test_a_folder_that_is_away_is_not_made_again_by_those_who_use_it(tmp_path: Path) -> None:
    # given a folder with an image, renamed under a running process
    place = tmp_path / "images"
    store = ImageStore(str(place))
    sha256 = store.put(b"there before")
    place.rename(tmp_path / "away")
    # when an image is put, or the store looked at, then it is unavailable
    with pytest.raises(StorageUnavailable):
        store.put(b"meanwhile")
    with pytest.raises(StorageUnavailable):
        store.check()
    with pytest.raises(StorageUnavailable):
        store.get(sha256)
    # and when the folder is back, it has what it had
    assert not place.exists()
    (tmp_path / "away").rename(place)
    assert store.get(sha256) == b"there before"


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, StorageFull),
        (errno.EDQUOT, StorageFull),
        (errno.EROFS, StorageUnavailable),
        (errno.EIO, StorageUnavailable),
    ],
)
def test_a_disk_that_refuses_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    # given a disk that fails when bytes are flushed to it
    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    store = ImageStore(str(tmp_path))
    # when an image is put
    with pytest.raises(kind, match="image store"):
        store.put(b"never whole")
    # then there is no file, neither final nor unfinished
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


DIES_IN_MID_WRITE = """
import resource, signal, sys
from storage.image_store import ImageStore
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # the kernel kills the process in the write that passes the limit
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
ImageStore(sys.argv[1]).put(b"x" * 1_000_000)
"""


@pytest.mark.guard("images: complete before it has its name")
def test_a_process_that_dies_in_mid_write_leaves_no_truncated_image(tmp_path: Path) -> None:
    # given a process that the kernel kills when it has written a part
    died = subprocess.run([sys.executable, "-c", DIES_IN_MID_WRITE, str(tmp_path)], check=False)
    assert died.returncode == -signal.SIGXFSZ

    # then the image is not there
    store = ImageStore(str(tmp_path))
    sha256 = hashlib.sha256(b"x" * 1_000_000).hexdigest()
    assert not store.has(sha256)


@pytest.mark.service
def test_a_full_disk_says_so_and_a_truncated_image_never_appears(tmp_path: Path) -> None:
    # given a file system of 256 kB, mounted where this process may mount
    import subprocess

    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        absent(f"cannot mount a small file system: {mounted.stderr.decode().strip()}")
    try:
        store = ImageStore(str(place))
        small = store.put(b"fits")
        # when more is put than it holds
        with pytest.raises(StorageFull, match="full"):
            store.put(os.urandom(400_000))
        # then what was there is whole, and nothing else is there
        assert store.get(small) == b"fits"
        assert [file.name for file in store.files()] == [name_of(small)]
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.service
def test_an_object_store_that_does_not_answer_is_unavailable(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # given an address where nobody listens
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    import fsspec

    fsspec.filesystem("s3").clear_instance_cache()
    store = ImageStore(s3_url)
    # when an image is asked for
    # then the error is typed
    with pytest.raises(StorageUnavailable):
        store.get("0" * 64)
    with pytest.raises(StorageUnavailable):
        store.check()
    fsspec.filesystem("s3").clear_instance_cache()


@pytest.mark.parametrize("fault", ["renamed", "not mounted", "a file in its place"])
def test_a_folder_that_is_away_is_no_missing_image(fault: str, tmp_path: Path) -> None:
    # given an image in a folder that is away: renamed, or the mount point of a disk that is not mounted
    store, away = ImageStore(str(tmp_path / "images")), tmp_path / "away"
    sha256 = store.put(b"picture")
    Path(store.url).rename(away)
    if fault == "not mounted":
        Path(store.url).mkdir()
    elif fault == "a file in its place":
        Path(store.url).touch()
    # when it is wanted, then the store is away, and not the image lost
    with pytest.raises(StorageUnavailable):
        store.get(sha256)
    # and the folder's return brings it back
    if fault != "renamed":
        (Path(store.url).rmdir if fault == "not mounted" else Path(store.url).unlink)()
    away.rename(store.url)
    assert store.get(sha256) == b"picture"


@pytest.mark.service
def test_a_bucket_that_is_gone_is_no_missing_image(s3_url: str) -> None:
    bucket, _, rest = s3_url.removeprefix("s3://").partition("/")
    with pytest.raises(StorageUnavailable):
        ImageStore(f"s3://not-{bucket}/{rest}").get("ab" * 32)


def test_one_file_that_cannot_be_read_is_a_missing_image(tmp_path: Path) -> None:
    # given a folder in which all is well but one image's file
    store = ImageStore(str(tmp_path / "images"))
    sha256 = store.put(b"picture")
    file = Path(store.url) / name_of(sha256)
    file.unlink()
    file.mkdir()
    # when it is wanted, then this costs that image's jobs their attempts, and no others
    with pytest.raises(ImageMissing, match=sha256):
        store.get(sha256)
