"""Judging a set of pictures with a text: what is read, or else the caption, or else which of the texts is chosen."""

from collections.abc import Sequence

from domain.vision import Capability, TextRegion
from workers.labelled import LabelledText
from workers.training.evaluating.choosing import chosen
from workers.training.evaluating.examinee import Examinee
from workers.training.evaluating.judged import Case, Judged
from workers.training.measures import answers, translations
from workers.training.measures import reading as measures
from workers.training.measures.calibration import BINS, expected_error
from workers.training.measures.intervals import ratio_bootstrap
from workers.training.measures.labels import Rate
from workers.training.sets.lines import Lines

SAME_LINE = 0.5
"""A region whose middle lies within this share of the one before it, from its top, stands in the same line."""


def judge(examinee: Examinee, found: Lines) -> Judged:
    """Let the model read each picture, or describe it where it cannot read, or else choose among all the texts."""
    capability = examinee.asked(found.place, Capability.READ, Capability.CAPTION, Capability.CLASSIFY)
    lines = [line for line in found.lines if isinstance(line, LabelledText)]
    if capability is Capability.CLASSIFY:
        return _choices(examinee, lines)
    got = list(examinee.answers(examinee.ask(capability, line.image) for line in lines))
    if capability is Capability.CAPTION:
        return _captions(lines, got)
    compared = [measures.edits(in_order(one or ()), line.text) for one, line in zip(got, lines, strict=True)]
    rates = measures.rates(compared)
    exact = Rate(sum(one.exact for one in compared), len(compared))
    metrics: dict[str, float | None] = {
        "cer": rates.cer,
        "wer": rates.wer,
        "word_accuracy": rates.word_accuracy,
        "exact": rates.exact,
        "failed": got.count(None) / len(got),
    }
    scored = [(one[0].confidence, hit.exact) for one, hit in zip(got, compared, strict=True) if one and len(one) == 1]
    if examinee.scores_tell and scored:
        metrics["calibration_error"] = expected_error([score for score, _ in scored], [hit for _, hit in scored])
    return Judged(
        count=len(lines),
        metrics=metrics,
        intervals={
            "cer": ratio_bootstrap([one.characters for one in compared], [one.length for one in compared]),
            "wer": ratio_bootstrap([one.words for one in compared], [one.word_count for one in compared]),
            "word_accuracy": ratio_bootstrap(
                [one.words_right for one in compared], [one.word_count for one in compared]
            ),
            "exact": exact.interval,
        },
        settings={"calibration_bins": BINS, "calibration_lines": len(scored)},
        cases=[
            Case(line.image.name, one.characters / max(one.length, 1), line.text, in_order(regions or ()), line.image)
            for line, regions, one in zip(lines, got, compared, strict=True)
        ],
    )


def in_order(regions: Sequence[TextRegion]) -> str:
    """Return what regions say as it is read: line by line from the top, from left to right."""
    ordered: list[list[TextRegion]] = []
    for region in sorted(regions, key=lambda one: one.quad.box.centre[1]):
        box = ordered[-1][0].quad.box if ordered else None
        if box is not None and abs(region.quad.box.centre[1] - box.centre[1]) < SAME_LINE * box.height:
            ordered[-1].append(region)
        else:
            ordered.append([region])
    lines = (sorted(line, key=lambda one: one.quad.box.x0) for line in ordered)
    return " ".join(region.text for line in lines for region in line)


def _captions(lines: Sequence[LabelledText], got: Sequence[str | None]) -> Judged:
    texts, right = [one or "" for one in got], [line.text for line in lines]
    exact = Rate(sum(answers.is_exact(one, other) for one, other in zip(texts, right, strict=True)), len(right))
    return Judged(
        count=len(lines),
        metrics={
            "chrf": translations.chrf(texts, right),
            "exact_match": exact.share,
            "failed": list(got).count(None) / len(got),
        },
        intervals={"exact_match": exact.interval},
        cases=[
            Case(line.image.name, 100 - translations.sentence_chrf(text, line.text), line.text, text, line.image)
            for line, text in zip(lines, texts, strict=True)
        ],
    )


def _choices(examinee: Examinee, lines: Sequence[LabelledText]) -> Judged:
    """Let the model choose among the texts of all pictures for each (zero-shot, Radford et al. 2021, section 3.1)."""
    texts = list(dict.fromkeys(line.text for line in lines))
    best, among_all = chosen(examinee, [line.image for line in lines], texts)
    hits = [one is not None and one.name == line.text for one, line in zip(best, lines, strict=True)]
    right = Rate(sum(hits), len(hits))
    metrics: dict[str, float | None] = {"zero_shot_accuracy": right.share, "failed": best.count(None) / len(best)}
    scored = [(one.score, hit) for one, hit in zip(best, hits, strict=True) if one is not None]
    if examinee.scores_tell and scored and among_all:
        metrics["calibration_error"] = expected_error([score for score, _ in scored], [hit for _, hit in scored])
    return Judged(
        count=len(lines),
        metrics=metrics,
        intervals={"zero_shot_accuracy": right.interval},
        settings={"texts": len(texts), "calibration_bins": BINS},
        cases=[
            Case(
                line.image.name,
                0 if hit else (one.score if one else 0) + 1,
                line.text,
                one.name if one else "",
                line.image,
            )
            for line, one, hit in zip(lines, best, hits, strict=True)
        ],
    )
