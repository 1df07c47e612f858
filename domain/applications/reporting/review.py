"""What is asked of people about a draft: always something. No draft is ever done by itself."""

from domain.applications.reporting.result import ReportingResult
from domain.reviews import ReviewNeed

DRAFT, DISCREPANCY, ABSTAINED, FAILURES = "draft", "discrepancy", "abstained", "failed"
"""The queues: drafts, drafts with something to be resolved, pictures without a draft, jobs that ended in an error."""
MOST_SUMMARY = 400


def review(result: ReportingResult) -> ReviewNeed:
    """Ask a person to read the draft, or to read the pictures themselves where there is none."""
    blocking = [one for one in result.discrepancies if one.blocking]
    if result.abstained:
        codes = [reason.code for reason in result.abstained]
        return _need(ABSTAINED, codes, [reason.sentence for reason in result.abstained], priority=1)
    if blocking:
        return _need(DISCREPANCY, [one.code for one in blocking], [one.sentence for one in blocking], priority=2)
    told = f"{len(result.present)} findings, {result.removed_count} statements removed"
    return _need(DRAFT, ["unverified"], [told], priority=0)


def _need(queue: str, codes: list[str], sentences: list[str], priority: int) -> ReviewNeed:
    summary = "; ".join(sentences)
    short = summary if len(summary) <= MOST_SUMMARY else f"{summary[: MOST_SUMMARY - 1]}…"
    return ReviewNeed(queue=queue, reasons=tuple(dict.fromkeys(codes)), summary=short, priority=priority)
