"""The life of a report: draft, reviewed, signed or amended, or rejected; and who may do what. No storage here.

    draft ──review──► reviewed ──sign──► signed      (version 1)
      ▲ ▲────revise──────┘  │            amended     (version 2, 3, …: one that points back to a signed one)
      │                     ▼
      └────────reject────► rejected

A report is a row of versions. A version's content is fixed when it is signed, and nothing is done to it after: a
correction is a new version, which points back, and is reviewed and signed in turn. A signature is made by nothing but
`sign`, which asks for the scope `sign` itself, held by the key; being an administrator does not stand in for it.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, Field, StringConstraints, model_validator

from domain.access import Principal, Scope
from domain.errors import Forbidden, InvalidRequest, TransitionRefused
from domain.geometry import Value

UNVERIFIED: Literal["AI draft, unverified"] = "AI draft, unverified"
"""What every rendering of an unsigned report says. No setting changes it or leaves it out."""
STATEMENT = "I have looked at the pictures and at this report, and I take responsibility for what it says."
"""What is signed."""

Line = Annotated[
    str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$")
]
"""A text of one line that is not blank."""
Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class ReportState(StrEnum):
    """Where a version is in its life."""

    DRAFT = "draft"
    """the machine's, or changed since it was reviewed"""
    REVIEWED = "reviewed"
    """a person has read it; nobody answers for it yet"""
    SIGNED = "signed"
    """a named clinician answers for it"""
    AMENDED = "amended"
    """signed, and in the place of the signed version that it points back to"""
    REJECTED = "rejected"
    """it is not to be used"""


VERIFIED = frozenset({ReportState.SIGNED, ReportState.AMENDED})
OPEN = frozenset({ReportState.DRAFT, ReportState.REVIEWED})
"""In which something can still be done to a version."""


class Person(Value):
    """Who did something: a person by name, with their own key."""

    name: Line
    key_id: UUID


class Act(Value):
    """Something that a person did to a version."""

    by: Person
    at: AwareDatetime


class Rejection(Act):
    """Why a version is not to be used."""

    reason: Line


class Resolution(Act):
    """How a person settled a discrepancy."""

    discrepancy: Line
    sentence: Line


class Signature(Act):
    """Who answers for which content."""

    content_hash: Hash
    statement: str = STATEMENT


class Version(Value):
    """A version of a report. `content` is canonical JSON, so that equal contents have equal hashes."""

    number: int = Field(ge=1)
    state: ReportState = ReportState.DRAFT
    content: str
    content_hash: Hash
    amends: int | None = Field(default=None, ge=1)
    """the signed version that it is to take the place of"""
    blocking: tuple[str, ...] = ()
    """the ids of discrepancies that must be resolved"""
    resolutions: tuple[Resolution, ...] = ()
    reviewed: Act | None = None
    signature: Signature | None = None
    rejection: Rejection | None = None

    @property
    def verified(self) -> bool:
        """Whether a clinician has signed it."""
        return self.state in VERIFIED

    @property
    def banner(self) -> str | None:
        """What every rendering of it must say; None where it is signed."""
        return None if self.verified else UNVERIFIED

    @property
    def unresolved(self) -> tuple[str, ...]:
        """The ids of blocking discrepancies that nobody has resolved."""
        settled = {resolution.discrepancy for resolution in self.resolutions}
        return tuple(one for one in self.blocking if one not in settled)

    @property
    def body(self) -> dict[str, Any]:
        """The content, as a copy of its own."""
        told: dict[str, Any] = json.loads(self.content)
        return told

    @model_validator(mode="after")
    def _whole(self) -> Self:
        """Refuse a version that nothing here could have made, say a row that was changed by hand."""
        if hashlib.sha256(self.content.encode()).hexdigest() != self.content_hash:
            raise ValueError("the content of the version is not what its hash says")
        if self.verified != (self.signature is not None):
            raise ValueError("a signed version has a signature, and no other has")
        if self.signature is not None and self.signature.content_hash != self.content_hash:
            raise ValueError("the signature is for another content")
        if self.verified and (self.unresolved or self.reviewed is None):
            raise ValueError("a signed version was reviewed, and nothing of it is unresolved")
        if self.state in VERIFIED and (self.state is ReportState.AMENDED) != (self.amends is not None):
            raise ValueError("a version is amended when it points back, and signed when it does not")
        if self.amends is not None and self.amends >= self.number:
            raise ValueError("a version points back to an earlier one")
        return self


class Report(Value):
    """A report: its versions, the oldest first."""

    versions: tuple[Version, ...] = Field(min_length=1)

    @property
    def newest(self) -> Version:
        """The version that something may be done to."""
        return self.versions[-1]

    @property
    def state(self) -> ReportState:
        """That of the newest version."""
        return self.newest.state

    @property
    def in_force(self) -> Version | None:
        """The newest signed version, which stands while a later one is not signed; None where there is none."""
        return next((version for version in reversed(self.versions) if version.verified), None)

    @model_validator(mode="after")
    def _numbered(self) -> Self:
        if [version.number for version in self.versions] != list(range(1, len(self.versions) + 1)):
            raise ValueError("versions are counted from 1, without gaps")
        return self


def canonical(content: Mapping[str, Any]) -> str:
    """Return a content as JSON with sorted keys and without blanks, as it is hashed. Raises ValueError on NaN."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def content_hash(content: Mapping[str, Any]) -> str:
    """Return the SHA-256, in hexadecimal, of a content as canonical JSON in UTF-8."""
    return hashlib.sha256(canonical(content).encode()).hexdigest()


def drafted(content: Mapping[str, Any], blocking: Sequence[str]) -> Report:
    """Return the report that begins with a machine's draft; `blocking` are the ids of its blocking discrepancies."""
    return Report(versions=(_version(1, content, blocking),))


def revise(report: Report, who: Principal, content: Mapping[str, Any], blocking: Sequence[str]) -> Report:
    """Put another content into the newest version, which must be reviewed again.

    A discrepancy that was there stays until it is resolved, though the new content may no longer speak of it. Raises
    Forbidden and TransitionRefused.
    """
    _may_review(who)
    old = _open(report, "revised")
    every = tuple(dict.fromkeys((*old.blocking, *blocking)))
    fresh = _version(old.number, content, every, amends=old.amends)
    return _with(report, fresh.model_copy(update={"resolutions": old.resolutions}))


def resolve(
    report: Report, who: Principal, person: Person, discrepancy: str, sentence: str, at: AwareDatetime
) -> Report:
    """Settle a blocking discrepancy in a sentence. Raises Forbidden, TransitionRefused and InvalidRequest."""
    _may_review(who)
    _own(who, person)
    old = _open(report, "resolved")
    if discrepancy not in old.unresolved:
        open_ = ", ".join(old.unresolved) or "none"
        raise InvalidRequest(f"{discrepancy!r} is nothing that is to be resolved; there are: {open_}")
    settled = Resolution(by=person, at=at, discrepancy=discrepancy, sentence=sentence)
    return _with(report, _evolved(old, resolutions=(*old.resolutions, settled)))


def review(report: Report, who: Principal, person: Person, at: AwareDatetime) -> Report:
    """Note that a person has read the draft. Raises Forbidden and TransitionRefused."""
    _may_review(who)
    _own(who, person)
    old = _open(report, "reviewed")
    if old.state is not ReportState.DRAFT:
        raise TransitionRefused(f"version {old.number} is reviewed already", state=old.state.value)
    return _with(report, _evolved(old, state=ReportState.REVIEWED, reviewed=Act(by=person, at=at)))


def reject(report: Report, who: Principal, person: Person, reason: str, at: AwareDatetime) -> Report:
    """Say that the version is not to be used. Raises Forbidden and TransitionRefused."""
    _may_review(who)
    _own(who, person)
    old = _open(report, "rejected")
    told = Rejection(by=person, at=at, reason=reason)
    return _with(report, _evolved(old, state=ReportState.REJECTED, rejection=told))


def sign(
    report: Report,
    who: Principal,
    person: Person,
    *,
    read_hash: str,
    retyped: str,
    accession_number: str | None,
    at: AwareDatetime,
) -> Report:
    """Sign the newest version.

    `read_hash` is the hash of the content that the person has before them, `retyped` the accession number as they
    typed it. Raises Forbidden where the key itself does not hold the scope `sign` or is another person's,
    TransitionRefused where the version is not reviewed or something of it is not resolved, and InvalidRequest where the
    content is another one by now, or the accession number is another or not known.
    """
    if Scope.SIGN not in who.scopes:  # not `allows`: no other scope may ever come to stand for this one
        raise Forbidden("only a key that holds the scope 'sign' itself can sign", scope=Scope.SIGN.value)
    _own(who, person)
    old = _open(report, "signed")
    if old.state is not ReportState.REVIEWED:
        raise TransitionRefused(f"version {old.number} is not reviewed; review it first", state=old.state.value)
    if old.unresolved:
        told = f"version {old.number} has discrepancies that nobody has resolved: {', '.join(old.unresolved)}"
        raise TransitionRefused(told, state=old.state.value, unresolved=list(old.unresolved))
    if not hmac.compare_digest(read_hash.encode(), old.content_hash.encode()):
        raise InvalidRequest(f"version {old.number} has another content by now; read it again")
    expected = (accession_number or "").strip()
    if not expected or not hmac.compare_digest(retyped.strip().encode(), expected.encode()):
        raise InvalidRequest("the accession number is not that of this examination")
    state = ReportState.SIGNED if old.amends is None else ReportState.AMENDED
    signature = Signature(by=person, at=at, content_hash=old.content_hash)
    return _with(report, _evolved(old, state=state, signature=signature))


def amend(report: Report, who: Principal, content: Mapping[str, Any], blocking: Sequence[str]) -> Report:
    """Begin a new version in the place of the one in force, which stays as it is, and stands until that one is signed.

    Raises Forbidden, and TransitionRefused where nothing is signed or a version is being worked on.
    """
    _may_review(who)
    stands = report.in_force
    if stands is None or report.state in OPEN:
        told = "nothing is signed yet" if stands is None else f"version {report.newest.number} is not finished"
        raise TransitionRefused(f"only a signed report can be amended; {told}", state=report.state.value)
    fresh = _version(report.newest.number + 1, content, blocking, amends=stands.number)
    return Report(versions=(*report.versions, fresh))


def _version(number: int, content: Mapping[str, Any], blocking: Sequence[str], amends: int | None = None) -> Version:
    told = canonical(content)
    digest = hashlib.sha256(told.encode()).hexdigest()
    return Version(number=number, content=told, content_hash=digest, blocking=tuple(blocking), amends=amends)


def _evolved(old: Version, **changes: object) -> Version:
    """Return a version with changes, validated anew."""
    return Version.model_validate({**dict(old), **changes})


def _with(report: Report, version: Version) -> Report:
    return Report(versions=(*report.versions[:-1], version))


def _open(report: Report, done: str) -> Version:
    """Return the newest version, if anything can still be done to it."""
    newest = report.newest
    if newest.state not in OPEN:
        told = f"version {newest.number} is {newest.state.value} and cannot be {done}"
        raise TransitionRefused(told, state=newest.state.value)
    return newest


def _may_review(who: Principal) -> None:
    if Scope.SIGN not in who.scopes:
        who.require(Scope.REVIEW)


def _own(who: Principal, person: Person) -> None:
    """Refuse an act in another person's name."""
    if who.key_id != person.key_id:
        raise Forbidden("this key belongs to another person")
