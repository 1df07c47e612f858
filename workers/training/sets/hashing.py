"""What tells one labelled set from another: the labels and the bytes of the pictures, wherever they lie."""

import hashlib
from pathlib import Path

from domain.errors import InvalidRequest
from workers.training.sets.labelled_set import LabelledSet


def data_hash(found: LabelledSet) -> str:
    """Return `sha256:` of a set. Raises InvalidRequest where a picture cannot be read."""
    total = hashlib.sha256(found.labels())
    for path in found.pictures():
        total.update(bytes.fromhex(sha256_of(path)))
    return f"sha256:{total.hexdigest()}"


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal. Raises InvalidRequest where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InvalidRequest(
            f"{path} cannot be read: {error.strerror}; the set names it: add it, or take what names it out"
        ) from error
