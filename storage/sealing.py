"""Encryption of originals of patient data, and the secrets that follow from the same key. No file but the key's.

One key per installation, 32 random bytes; what is used follows from it by HKDF-SHA256 (RFC 5869), its own for each
tenant and purpose. AES-256-GCM (NIST SP 800-38D) with the tenant as associated data.
"""

import base64
import binascii
import hmac
import os
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from domain.errors import OriginalUnreadable, StorageUnavailable

KEY_BYTES = 32
NONCE_BYTES = 12
MAGIC = b"SIGHTLINE SEALED 1\n"
KEY_FILE = "originals.key"


class Sealing:
    """Seals and unseals with one key, which is asked for at each use: nothing that never seals needs one."""

    def __init__(self, key: Callable[[bool], bytes]) -> None:
        """Take what returns the key; it is told whether it may make one."""
        self._key = key

    def seal(self, tenant: str, data: bytes) -> bytes:
        """Encrypt a file for a tenant.

        The nonce is an HMAC of the content: the same file sealed again is the same bytes, so that a submission that is
        repeated under its idempotency key names the same image; other content has another nonce. Raises
        StorageUnavailable where no key can be kept.
        """
        key = self._key(True)
        nonce = hmac.new(_derived(key, "nonce", tenant), data, sha256).digest()[:NONCE_BYTES]
        return MAGIC + nonce + AESGCM(_derived(key, "seal", tenant)).encrypt(nonce, data, _bound(tenant))

    def unseal(self, tenant: str, sealed: bytes) -> bytes:
        """Return the file that was sealed for the tenant. Raises OriginalUnreadable."""
        if not sealed.startswith(MAGIC):
            raise OriginalUnreadable("an original of patient data is not sealed; it is not looked at")
        rest = sealed[len(MAGIC) :]
        cipher = AESGCM(_derived(self._key(False), "seal", tenant))
        try:
            return cipher.decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], _bound(tenant))
        except (InvalidTag, ValueError):
            raise OriginalUnreadable(
                "an original cannot be unsealed: this process has another key than the one that sealed it, or it is "
                "damaged; give all processes the same SIGHTLINE_ORIGINALS_KEY"
            ) from None

    def secret(self, tenant: str) -> bytes:
        """Return the 32 bytes from which a tenant's pseudonyms and shifts of dates follow."""
        return _derived(self._key(False), "pseudonyms", tenant)


def key_of(given: str | None, folder: Path, make: bool) -> bytes:
    """Return the key that was given (base64), else the one in the folder's file.

    With `make` a file that is not there is made, readable for its owner alone. Raises OriginalUnreadable where there is
    none, or no whole one, and StorageUnavailable where the file cannot be read or written.
    """
    if given is not None:
        return parse_key(given)
    path = folder / KEY_FILE
    try:
        if make and not path.exists():
            _make(path)
        return parse_key(path.read_text("ascii"))
    except FileNotFoundError:
        raise OriginalUnreadable(
            f"there is no key of the originals: neither SIGHTLINE_ORIGINALS_KEY nor the file {path}"
        ) from None
    except OSError as error:
        raise StorageUnavailable(f"the key of the originals, {path}, cannot be kept or read: {error}") from error
    except ValueError:
        raise OriginalUnreadable(f"the file {path} holds no key of the originals") from None


def parse_key(told: str) -> bytes:
    """Return the key of this text. Raises ValueError, which does not quote it."""
    try:
        key = base64.b64decode(told.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise ValueError(f"must be {KEY_BYTES} bytes in base64")
    return key


def _make(path: Path) -> None:
    """Make the key's file; of several processes that do so at once, the first one's stands."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}-{uuid4().hex}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(base64.b64encode(os.urandom(KEY_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(fresh)  # unlike a rename, it never takes the place of a key that has sealed something
    finally:
        fresh.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _derived(key: bytes, purpose: str, tenant: str) -> bytes:
    info = f"sightline originals 1\0{purpose}\0{tenant}".encode()
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(key)


def _bound(tenant: str) -> bytes:
    return MAGIC + tenant.encode()
