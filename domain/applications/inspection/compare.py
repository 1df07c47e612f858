"""Comparing pictures with a golden reference: which picture is which, how well they fit, and what makes that doubtful.

Nothing is decided by a comparison that failed: it leaves the part undecided, with the reason.
"""

from collections.abc import Iterator, Sequence

from domain.applications.inspection.recipe import ReferenceLimits, Verdict
from domain.applications.inspection.result import Comparison, Reason
from domain.errors import RegistrationFailed
from domain.vision import Picture, Registration, Vision


def inspected_pictures(pictures: Sequence[Picture], reference: int | None) -> dict[int, Picture]:
    """Return the pictures that are inspected, by their places in the job: all but the reference."""
    return {image: picture for image, picture in enumerate(pictures) if image != reference}


def compared(
    vision: Vision, pictures: Sequence[Picture], reference: int | None, limits: ReferenceLimits
) -> tuple[list[Comparison], dict[int, Picture]]:
    """Lay the reference over each inspected picture; return how it fits, and it as it lies over the picture of a place.

    Of a picture that does not show the same, there is none. One beyond the limits is still compared: what is found so
    is there, what is not found is left to a person.
    """
    comparisons: list[Comparison] = []
    golden: dict[int, Picture] = {}
    if reference is None:
        return comparisons, golden
    for image, picture in inspected_pictures(pictures, reference).items():
        try:
            golden[image], fit = vision.align(picture, pictures[reference])
        except RegistrationFailed as failed:
            comparisons.append(Comparison(image=image, reference=reference, passed=False, problem=failed.message))
            continue
        problem = _problem(fit, limits)
        told = Comparison(image=image, reference=reference, registration=fit, passed=problem is None, problem=problem)
        comparisons.append(told)
    return comparisons, golden


def failed_to_compare(comparisons: Sequence[Comparison], image: int, problem: str) -> list[Comparison]:
    """Return the comparisons, that of a picture having failed: the detector could make nothing of the two."""
    failed = {"passed": False, "problem": problem}
    return [one.model_copy(update=failed) if one.image == image else one for one in comparisons]


def _problem(fit: Registration, limits: ReferenceLimits) -> str | None:
    if fit.correlation < limits.min_correlation:
        return f"the two correlate by {fit.correlation:.3g}, the recipe's limit is {limits.min_correlation:g}"
    if fit.covered < limits.min_covered:
        return f"it reaches {fit.covered:.1%} of the picture, the recipe's limit is {limits.min_covered:.1%}"
    return None


def reasons_in_comparisons(comparisons: Sequence[Comparison]) -> Iterator[Reason]:
    """Yield a reason for each picture whose comparison cannot be trusted."""
    for one in comparisons:
        if not one.passed:
            yield Reason(
                rule="reference",
                outcome=Verdict.UNDECIDED,
                image=one.image,
                sentence=f"picture {one.image + 1} could not be compared with its reference (picture "
                f"{one.reference + 1}): {one.problem}",
            )
