"""Names that stand for others: UIDs and patients, the same wherever they come up again under one secret.

HMAC-SHA256 (RFC 2104) under the tenant's secret, so that without it nobody can tell which name stands for which, not
even by trying all patient numbers; and another tenant's copies of the same file have other names.
"""

import hmac
from hashlib import sha256

MOST_DAYS = 3650
"""Ten years."""
SHORTEST_SECRET = 16
"""Bytes."""


def check_secret(secret: bytes) -> None:
    """Raise ValueError for a secret that could be guessed."""
    if len(secret) < SHORTEST_SECRET:
        raise ValueError(f"a secret needs {SHORTEST_SECRET} bytes or more, not {len(secret)}")


def mapped_uid(secret: bytes, uid: str) -> str:
    """Return the UID that stands for this one: 2.25 and 128 bits (PS3.5 B.2), at most 44 characters."""
    return f"2.25.{int.from_bytes(_digest(secret, 'uid', uid)[:16], 'big')}"


def mapped_patient(secret: bytes, patient: str) -> str:
    """Return the patient ID that stands for this one."""
    return f"P{_digest(secret, 'patient', patient)[:8].hex().upper()}"


def days_back(secret: bytes, patient: str) -> int:
    """Return by how many days (1 to 3650) the dates of this patient go back; not whole weeks, the weekday goes too."""
    return int.from_bytes(_digest(secret, "days", patient)[:8], "big") % MOST_DAYS + 1


def _digest(secret: bytes, what: str, value: str) -> bytes:
    check_secret(secret)
    return hmac.new(secret, f"{what}\0{value.strip()}".encode(), sha256).digest()
