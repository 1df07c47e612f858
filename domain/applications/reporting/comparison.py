"""The draft beside the prior report, finding by finding.

What the prior does not say, or does not say clearly, is not taken for an answer. A size is put beside the other;
nobody judges here whether it grew.
"""

from collections.abc import Iterator, Mapping, Sequence

from domain.applications.reporting.intended_use import IntendedUse
from domain.applications.reporting.reading import Claim, Sentence
from domain.applications.reporting.result import Change, Compared, Told, named

SAYINGS: Mapping[Change, str] = {
    Change.NEW: "is new: the prior report says that there was none",
    Change.NOT_IN_PRIOR: "is not spoken of in the prior report",
    Change.UNCHANGED: "was there in the prior report too",
    Change.OTHER_SIDE: "is told on the other side than in the prior report",
    Change.NO_LONGER_SEEN: "was there in the prior report and is no longer seen",
    Change.NOT_ASSESSED: "was there in the prior report; whether it still is was not assessed",
}

Before = Sequence[tuple[Claim, str]]
"""What the prior report says to be there, each with its sentence."""


def compared(use: IntendedUse, found: Sequence[Told], prior: Sequence[Sentence]) -> tuple[Compared, ...]:
    """Compare; `prior` is the prior report as it was read."""
    told = [(claim, sentence.text) for sentence in prior for claim in sentence.claims if claim.finding in use.findings]
    before = [(claim, text) for claim, text in told if claim.present]
    denied = {claim.finding: text for claim, text in told if not claim.present}
    return (*_now(found, before, denied), *_before(found, before))


def _now(found: Sequence[Told], before: Before, denied: Mapping[str, str]) -> Iterator[Compared]:
    for one in found:
        if not one.present:
            continue
        same = [(claim, text) for claim, text in before if claim.finding == one.finding]
        alike = [(claim, text) for claim, text in same if _same_side(claim, one)]
        if alike:
            claim, text = alike[0]
            yield _told(one, Change.UNCHANGED, text, claim.size_mm)
        elif same:
            yield _told(one, Change.OTHER_SIDE, same[0][1])
        elif one.finding in denied:
            yield _told(one, Change.NEW, denied[one.finding])
        else:
            yield _told(one, Change.NOT_IN_PRIOR, None)


def _before(found: Sequence[Told], before: Before) -> Iterator[Compared]:
    """Yield what was there and is not told now, at least not on that side."""
    for claim, text in before:
        now = [one for one in found if one.finding == claim.finding]
        if any(one.present and _answers(claim, one, before) for one in now):
            continue  # it was compared from the other end
        gone = tuple(one.id for one in now if not one.present)
        change = Change.NO_LONGER_SEEN if gone else Change.NOT_ASSESSED
        name = f"{claim.side} {claim.finding}" if claim.side else claim.finding
        yield Compared(
            finding=claim.finding,
            side=claim.side,
            change=change,
            findings=gone,
            prior_mm=claim.size_mm,
            said=text,
            sentence=f"{name.capitalize()} {SAYINGS[change]}.",
        )


def _answers(claim: Claim, one: Told, before: Before) -> bool:
    """Say whether a finding of now was compared with that of the prior: on its side, or for want of another."""
    own = any(other.finding == one.finding and _same_side(other, one) for other, _ in before)
    return _same_side(claim, one) or not own


def _same_side(claim: Claim, one: Told) -> bool:
    return claim.side is None or one.side is None or claim.side == one.side


def _told(one: Told, change: Change, said: str | None, prior_mm: float | None = None) -> Compared:
    now_mm = one.measurement.length_mm if one.measurement else None
    sizes = f" ({prior_mm:g} mm then, {now_mm:g} mm now)" if prior_mm is not None and now_mm is not None else ""
    return Compared(
        finding=one.finding,
        side=one.side,
        change=change,
        findings=(one.id,),
        prior_mm=prior_mm,
        now_mm=now_mm,
        said=said,
        sentence=f"{named(one).capitalize()} {SAYINGS[change]}{sizes}.",
    )
