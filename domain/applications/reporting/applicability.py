"""Whether a draft may be made of the pictures: what is known of them is held to the intended use.

What the file says counts, else what the order says, else it is unknown; and unknown is outside the intended use.
Where the file and the order differ, each is held to it here; that they differ is told by `discrepancies.py`.
"""

from collections.abc import Callable, Iterator, Sequence

from domain.applications.reporting.intended_use import IntendedUse
from domain.applications.reporting.parameters import ReportingParameters
from domain.applications.reporting.result import Abstention
from domain.studies import StudyFacts

Facts = StudyFacts | None
Check = tuple[str, str, tuple[object, ...], Callable[[object], bool], str]
"""A code, what it is called, what is told of it, whether that is allowed, and what is."""


def abstentions(use: IntendedUse, order: ReportingParameters, facts: Sequence[Facts]) -> tuple[Abstention, ...]:
    """Return every reason why the pictures are outside the intended use; `facts` has an entry for each picture."""
    found = []
    if len(facts) > use.max_pictures:
        told = f"{len(facts)} pictures were sent, and {use.title.lower()} are drafted from at most {use.max_pictures}"
        found.append(Abstention(code="pictures", sentence=told))
    for image, one in enumerate(facts):
        found += _of_picture(use, order, one, image)
    return tuple(found)


def _of_picture(use: IntendedUse, order: ReportingParameters, facts: Facts, image: int) -> Iterator[Abstention]:
    for code, name, told, allows, allowed in _checks(use, order, facts):
        known = [value for value in told if value not in {None, ""}]
        wrong = [value for value in known if not allows(value)]
        if not known:
            yield Abstention(
                code=f"{code}-unknown",
                image=image,
                sentence=f"neither the file nor the order tells the {name} of picture {image + 1}; needed: {allowed}",
            )
        elif wrong:
            yield Abstention(
                code=code,
                image=image,
                sentence=f"the {name} of picture {image + 1} is {_written(wrong[0])}; drafts are made for {allowed}",
            )


def _checks(use: IntendedUse, order: ReportingParameters, facts: Facts) -> Iterator[Check]:
    for code, name, field, allowed in (
        ("modality", "modality", "modality", use.modalities),
        ("body-part", "body part", "body_part", use.body_parts),
        ("view", "view", "view", use.views),
    ):
        told = (_of(facts, field), getattr(order, field))
        yield code, name, told, _among(allowed), " or ".join(allowed)
    ages = f"ages from {use.min_age_years:g} to {use.max_age_years:g} years"
    yield "age", "patient's age", (_of(facts, "age_years"), order.age_years), _within(use), ages
    if use.contrast is not None:
        agent = "pictures with a contrast agent" if use.contrast else "pictures without a contrast agent"
        told = (_of(facts, "contrast"), order.contrast)
        if any(value is not None for value in told):  # most files of projections do not say it: then none was given
            yield "contrast", "contrast", told, lambda value: value is use.contrast, agent


def _of(facts: Facts, field: str) -> object:
    value = getattr(facts, field) if facts is not None else None
    return value.strip().upper() if isinstance(value, str) else value


def _among(allowed: Sequence[str]) -> Callable[[object], bool]:
    return lambda value: value in allowed


def _within(use: IntendedUse) -> Callable[[object], bool]:
    return lambda value: isinstance(value, float) and use.min_age_years <= value <= use.max_age_years


def _written(value: object) -> str:
    if isinstance(value, bool):
        return "with a contrast agent" if value else "without a contrast agent"
    return f"{value:g} years" if isinstance(value, float) else str(value)
