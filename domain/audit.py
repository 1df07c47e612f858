"""What goes into the audit log, and how its rows are chained. No storage here.

A row's hash covers all that it says and the hash of the row before it (as in Schneier and Kelsey, 1999, without their
keys): a row that is changed, removed or put in breaks the chain from there on. Rows cut off at the end, or a chain that
was computed anew from its beginning, are told only by a hash that was written down elsewhere: `sightline audit head`.
"""

import hashlib
import json
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict


class Action(StrEnum):
    """What was done. The names are stable."""

    KEY_CREATED = "key.created"
    KEY_REVOKED = "key.revoked"
    KEY_USED = "key.used"
    """written once for each key, gateway and some seconds, however many requests it was used for"""
    REVIEW_CLAIMED = "review.claimed"
    REVIEW_RELEASED = "review.released"
    REVIEW_DECIDED = "review.decided"
    REVIEW_APPEALED = "review.appealed"
    REVIEWS_EXPORTED = "reviews.exported"
    """what people decided was written out, pictures and all"""
    ORIGINAL_SEEN = "original.seen"
    """somebody looked at a picture as it is, which is shown blurred otherwise"""
    RESTRICTED_SEEN = "restricted.seen"
    """somebody looked at what is for few eyes"""
    BANK_CHANGED = "bank.changed"
    """a hash bank was made or set, or hashes came into it or went; which hashes, its own history tells"""
    REPORT_SEEN = "report.seen"
    """somebody read a report"""
    REPORT_REVIEWED = "report.reviewed"
    REPORT_REVISED = "report.revised"
    REPORT_RESOLVED = "report.resolved"
    REPORT_REJECTED = "report.rejected"
    REPORT_SIGNED = "report.signed"
    REPORT_AMENDED = "report.amended"
    """a version was begun in the place of a signed one; that one is signed in turn"""
    CONFIGURATION_ADDED = "configuration.added"
    CONFIGURATION_ACTIVATED = "configuration.activated"


class Actor(BaseModel):
    """Who did it: an API key, or somebody at the machine's own command line."""

    model_config = ConfigDict(frozen=True)

    name: str
    key_id: UUID | None = None
    tenant: str | None = None


class AuditEntry(BaseModel):
    """A row of the log."""

    model_config = ConfigDict(frozen=True)

    seq: int
    at: datetime
    tenant: str | None
    actor: str
    key_id: UUID | None
    action: str
    subject: str
    """what it was done to: `review 0192…`, `key 0192…`"""
    facts: dict[str, Any]
    previous: str
    hash: str


def chained(entry: AuditEntry) -> str:
    """Return the SHA-256, in hexadecimal, of a row's content and the hash before it, as canonical JSON."""
    told = entry.model_dump(mode="json", exclude={"hash"})
    told["at"] = entry.at.astimezone(UTC).isoformat(timespec="microseconds")
    text = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
