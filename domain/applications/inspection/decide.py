"""Defects and a recipe -> the verdict, with its reasons.

Every rule is weighed and the most severe outcome wins: REJECT over REWORK over UNDECIDED over ACCEPT. REJECT stands
above UNDECIDED because rules only ever fire on certain defects and a further defect cannot undo them: whatever the
doubt would turn out to be, the part stays rejected. (REWORK likewise; and the part is inspected again after it.) The
doubt is listed among the reasons all the same. ACCEPT is what is left when no reason was found, and nothing else.
"""

from collections.abc import Iterator, Sequence

from domain.applications.inspection.recipe import Limit, QualityLimits, Recipe, Rule, Verdict
from domain.applications.inspection.result import Defect, Reason
from domain.applications.inspection.sentences import fired_sentence
from domain.vision import Quality

SEVERITY = (Verdict.ACCEPT, Verdict.UNDECIDED, Verdict.REWORK, Verdict.REJECT)


def severity(verdict: Verdict) -> int:
    """Return the rank of a verdict: 0 for ACCEPT, 3 for REJECT."""
    return SEVERITY.index(verdict)


def decide(reasons: Sequence[Reason]) -> tuple[Verdict, tuple[Reason, ...]]:
    """Return the verdict and its reasons, the most severe first, else in the order given."""
    ordered = tuple(sorted(reasons, key=lambda reason: -severity(reason.outcome)))
    return (ordered[0].outcome if ordered else Verdict.ACCEPT), ordered


def reasons_in_defects(recipe: Recipe, defects: Sequence[Defect]) -> Iterator[Reason]:
    """Yield what the defects say against the part: by the rules in their order, for want of a rule, and in doubt."""
    certain = [defect for defect in defects if defect.certain]
    for rule in recipe.rules:
        yield from _weigh(rule, recipe, certain)
    yield from _uncovered(recipe, certain)
    yield from _doubtful(recipe, [defect for defect in defects if not defect.certain])


def _weigh(rule: Rule, recipe: Recipe, certain: Sequence[Defect]) -> Iterator[Reason]:
    """Yield the rule's outcome where it fires, or UNDECIDED where it could fire and no calibration says whether."""
    concerned = [
        defect
        for defect in certain
        if defect.label in recipe.concerned(rule) and (rule.zone is None or rule.zone in defect.zones)
    ]
    answers = {defect.id: _keeps_all(rule.limits, defect) for defect in concerned}
    sure = tuple(name for name, answer in answers.items() if answer)
    possible = tuple(name for name, answer in answers.items() if answer is not False)
    if len(sure) > rule.max_count:
        told = fired_sentence(rule, [defect for defect in concerned if defect.id in sure])
        yield Reason(rule=rule.name, outcome=Verdict(rule.outcome), defects=sure, sentence=told)
    elif len(possible) > rule.max_count:
        yield Reason(
            rule=rule.name,
            outcome=Verdict.UNDECIDED,
            defects=possible,
            sentence=f"rule {rule.name!r} measures in millimetres, and this job has no calibration: "
            f"{', '.join(possible)} cannot be measured; send `calibration`, or give the rule a limit in pixels too",
        )


def _keeps_all(limits: Sequence[Limit], defect: Defect) -> bool | None:
    """Say whether a defect keeps all limits; None where that depends on a calibration that there is not."""
    answers = [_keeps(limit, defect) for limit in limits]
    if False in answers:
        return False
    return None if None in answers else True


def _keeps(limit: Limit, defect: Defect) -> bool | None:
    in_mm = defect.area_mm2 if limit.quantity == "area" else defect.length_mm
    in_px = defect.area_px if limit.quantity == "area" else defect.length_px
    if limit.mm is not None and in_mm is not None:
        return _compare(limit, in_mm, limit.mm)
    return None if limit.px is None else _compare(limit, in_px, limit.px)


def _compare(limit: Limit, value: float, bound: float) -> bool:
    return value >= bound if limit.bound == "min" else value <= bound


def _uncovered(recipe: Recipe, certain: Sequence[Defect]) -> Iterator[Reason]:
    """Yield a reason for each class that was found and that no rule speaks of: silence is no consent."""
    covered = {label for rule in recipe.rules for label in recipe.concerned(rule)}
    for label in recipe.classes:
        found = tuple(defect.id for defect in certain if defect.label == label)
        if found and label not in covered:
            yield Reason(
                rule="no-rule",
                outcome=Verdict.UNDECIDED,
                defects=found,
                sentence=f"no rule of recipe {recipe.name!r} speaks of the class {label!r} ({', '.join(found)}): "
                f"write one, or take the class out of the recipe",
            )


def _doubtful(recipe: Recipe, doubtful: Sequence[Defect]) -> Iterator[Reason]:
    if doubtful:
        told = ", ".join(f"{defect.id} ({defect.label}, score {defect.score:.2f})" for defect in doubtful)
        yield Reason(
            rule="grey-band",
            outcome=Verdict.UNDECIDED,
            defects=tuple(defect.id for defect in doubtful),
            sentence=f"neither clearly a defect nor clearly none: {told}; scores from {recipe.review_score:g} up to "
            f"{recipe.min_score:g} are left to a person",
        )


def reasons_in_quality(limits: QualityLimits, pictures: Sequence[Quality]) -> Iterator[Reason]:
    """Yield what makes a picture unfit to be judged."""
    for image, of in enumerate(pictures):
        checks = (
            ("too dark", "brightness", of.brightness < limits.min_brightness, of.brightness, limits.min_brightness),
            ("too bright", "brightness", of.brightness > limits.max_brightness, of.brightness, limits.max_brightness),
            ("without contrast", "contrast", of.contrast < limits.min_contrast, of.contrast, limits.min_contrast),
            ("blurred", "sharpness", of.sharpness < limits.min_sharpness, of.sharpness, limits.min_sharpness),
        )
        for what, measure, failed, value, limit in checks:
            if failed:
                told = f"picture {image + 1} is {what}: its {measure} is {value:.4g}, the recipe's limit {limit:g}"
                yield Reason(rule="quality", outcome=Verdict.UNDECIDED, image=image, sentence=told)
