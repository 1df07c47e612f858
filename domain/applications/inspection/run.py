"""An inspection: look at each picture, leave out what is not inspected, measure the rest, decide."""

from collections.abc import Iterator, Mapping, Sequence

from domain.applications.application import Case
from domain.applications.inspection.compare import (
    compared,
    failed_to_compare,
    inspected_pictures,
    reasons_in_comparisons,
)
from domain.applications.inspection.decide import decide, reasons_in_defects, reasons_in_quality
from domain.applications.inspection.measure import Seen, inspected, measured, seen, sort_out, whole
from domain.applications.inspection.parameters import InspectionParameters
from domain.applications.inspection.recipe import Verdict
from domain.applications.inspection.result import (
    Comparison,
    Defect,
    Ignored,
    InspectionResult,
    PictureQuality,
    Reason,
    Regions,
    UsedRecipe,
)
from domain.errors import InvalidParameters, RegistrationFailed
from domain.vision import Picture, Quality, Vision


def run(case: Case[InspectionParameters]) -> InspectionResult:
    """Inspect a part.

    Raises InvalidParameters where the recipe looks for a class that the model does not know, or the reference is none
    of the pictures.
    """
    asked, vision = case.parameters, case.vision
    asked.check_images(len(case.pictures))
    _check_classes(asked, vision)
    pictures = inspected_pictures(case.pictures, asked.reference)
    comparisons, golden = compared(vision, case.pictures, asked.reference, asked.recipe.reference)
    found: list[Seen] = []
    for image, picture in pictures.items():
        if asked.reference is None or image in golden:
            try:
                found += _seen(asked, vision, image, picture, golden.get(image))
            except RegistrationFailed as failed:
                comparisons = failed_to_compare(comparisons, image, failed.message)
    quality = [vision.quality(picture) for picture in case.pictures]
    kept, ignored = sort_out(found, asked)
    defects = measured(kept, asked)
    reasons = [
        *reasons_in_defects(asked.recipe, defects),
        *reasons_in_quality(asked.recipe.quality, quality),
        *reasons_in_comparisons(comparisons),
        *_reasons_in_regions(asked, pictures),
    ]
    return _result(asked, defects, ignored, quality, comparisons, reasons)


def _seen(
    asked: InspectionParameters, vision: Vision, image: int, picture: Picture, golden: Picture | None
) -> list[Seen]:
    """Return what the detector finds in a picture, compared with its reference where there is one."""
    least = asked.recipe.review_score
    return seen(image, picture, vision.detect(picture, reference=golden, model=asked.model, min_score=least))


def _check_classes(asked: InspectionParameters, vision: Vision) -> None:
    """Refuse to look for what the model cannot see: it would never be found, and the part accepted."""
    known = vision.classes(model=asked.model)
    strange = [name for name in asked.recipe.classes if name not in known]
    if strange:
        raise InvalidParameters(
            f"recipe {asked.recipe.name!r} looks for the class {strange[0]!r}, which the detector "
            f"{asked.model or '(default)'} does not know; it knows: {', '.join(known)}",
            unknown=strange,
            known=list(known),
        )


def _reasons_in_regions(asked: InspectionParameters, pictures: Mapping[int, Picture]) -> Iterator[Reason]:
    """Yield a reason where a polygon misses the pictures, so that nothing could have been found there."""
    for image, picture in pictures.items():
        if not inspected(whole(picture), asked):
            yield Reason(
                rule="region",
                outcome=Verdict.UNDECIDED,
                image=image,
                sentence=f"nothing of picture {image + 1} ({picture.width}x{picture.height} pixels) is inspected: "
                f"`roi` and `ignore` leave none of it",
            )
    for rule in asked.recipe.rules:
        zone = asked.recipe.zones[rule.zone] if rule.zone else None
        if zone and not any(whole(picture).share_inside([zone]) for picture in pictures.values()):
            yield Reason(
                rule="region",
                outcome=Verdict.UNDECIDED,
                sentence=f"rule {rule.name!r} speaks of the zone {rule.zone!r}, which lies outside every picture",
            )


def _result(
    asked: InspectionParameters,
    defects: tuple[Defect, ...],
    ignored: Ignored,
    quality: Sequence[Quality],
    comparisons: Sequence[Comparison],
    reasons: Sequence[Reason],
) -> InspectionResult:
    verdict, ordered = decide(reasons)
    unfit = {reason.image for reason in ordered if reason.rule == "quality"}
    recipe = asked.recipe
    return InspectionResult(
        verdict=verdict,
        reasons=ordered,
        defects=defects,
        counts={label: sum(one.certain and one.label == label for one in defects) for label in recipe.classes},
        ignored=ignored,
        quality=tuple(
            PictureQuality(image=image, measures=measures, passed=image not in unfit)
            for image, measures in enumerate(quality)
        ),
        comparisons=tuple(comparisons),
        recipe=UsedRecipe(name=recipe.name, version=recipe.version, digest=recipe.digest),
        calibration=asked.calibration,
        regions=Regions(roi=asked.roi, ignore=asked.ignore, zones=dict(recipe.zones)),
        part=asked.part,
        serial=asked.serial,
        station=asked.station,
        lot=asked.lot,
    )
