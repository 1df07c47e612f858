"""Which inspections a person must decide, those that the machine left undecided; and what a model learns from them."""

from collections.abc import Iterator

from domain.applications.application import Lesson, Thing
from domain.applications.inspection.recipe import Verdict
from domain.applications.inspection.result import InspectionResult
from domain.reviews import ReviewNeed


def review(result: InspectionResult) -> ReviewNeed | None:
    """Ask a person where it could not be told what becomes of the part."""
    if result.verdict is not Verdict.UNDECIDED:
        return None
    undecided = [reason for reason in result.reasons if reason.outcome is Verdict.UNDECIDED]
    return ReviewNeed(
        queue="undecided",
        reasons=tuple(dict.fromkeys(_code(reason.rule) for reason in undecided)) or ("undecided",),
        summary=" ".join(reason.sentence for reason in undecided)[:400],
    )


def lessons(result: InspectionResult) -> Iterator[Lesson]:
    """Yield the defects of each inspected picture; golden references teach nothing."""
    references = {comparison.reference for comparison in result.comparisons}
    for picture in result.quality:
        if picture.image not in references:
            found = [defect for defect in result.defects if defect.image == picture.image]
            things = tuple(Thing(label=one.label, box=one.box, mask=one.mask) for one in found)
            yield Lesson(image=picture.image, things=things)


def _code(rule: str) -> str:
    """Return a rule's name as a code; the recipe's own rules may be called anything."""
    plain = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in rule.lower()).strip("-")
    return plain[:64] or "rule"
