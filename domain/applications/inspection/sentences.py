"""What a fired rule says to people: which defects, against which limits, and how large each is."""

from collections.abc import Sequence

from domain.applications.inspection.recipe import Limit, Rule
from domain.applications.inspection.result import Defect


def fired_sentence(rule: Rule, fired: Sequence[Defect]) -> str:
    """Say why a rule fired: `1 defect (scratch, length at least 10 mm), none allowed: d1: scratch 12 mm`."""
    calibrated = fired[0].length_mm is not None
    terms = [" or ".join(rule.classes) if rule.classes else "of any class"]
    terms += [_limit(limit, calibrated) for limit in rule.limits]
    terms += [f"in zone {rule.zone!r}"] if rule.zone else []
    allowed = f"at most {rule.max_count} allowed" if rule.max_count else "none allowed"
    each = ", ".join(f"{defect.id}: {_size(defect)}" for defect in fired)
    return f"{len(fired)} {'defect' if len(fired) == 1 else 'defects'} ({', '.join(terms)}), {allowed}: {each}"


def _limit(limit: Limit, calibrated: bool) -> str:
    side = "at least" if limit.bound == "min" else "at most"
    squared = "²" if limit.quantity == "area" else ""
    if limit.mm is not None and (calibrated or limit.px is None):
        return f"{limit.quantity} {side} {limit.mm:g} mm{squared}"
    return f"{limit.quantity} {side} {limit.px:g} px{squared}"


def _size(defect: Defect) -> str:
    if defect.length_mm is None or defect.area_mm2 is None:
        return f"{defect.label} {defect.length_px:.0f} px long, {defect.area_px:.0f} px²"
    return f"{defect.label} {defect.length_mm:.3g} mm long, {defect.area_mm2:.3g} mm²"
