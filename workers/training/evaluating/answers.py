"""Judging a set of questions about pictures."""

from domain.vision import Answer, Capability
from workers.labelled import LabelledQuestion
from workers.training.evaluating.examinee import Examinee
from workers.training.evaluating.judged import Case, Confusion, Judged
from workers.training.measures import answers as measures
from workers.training.measures.calibration import BINS, expected_error
from workers.training.measures.intervals import ratio_bootstrap
from workers.training.measures.labels import Rate, confusion
from workers.training.sets.lines import Lines

MOST_SHOWN = 40
"""A confusion matrix of more different answers says nothing to anybody."""
NO_ANSWER = "(no answer)"


def judge(examinee: Examinee, found: Lines) -> Judged:
    """Ask every question, among its options where it has some; a question that the model fails on has no answer."""
    capability = examinee.asked(found.place, Capability.ASK)
    lines = [line for line in found.lines if isinstance(line, LabelledQuestion)]
    asks = (examinee.ask(capability, line.image, question=line.question, options=line.options) for line in lines)
    got = list(examinee.answers(asks))
    texts = ["" if answer is None else answer.text for answer in got]
    hits = [measures.is_exact(text, line.answer) for text, line in zip(texts, lines, strict=True)]
    alike = [measures.similarity(text, line.answer) for text, line in zip(texts, lines, strict=True)]
    exact = Rate(sum(hits), len(hits))
    metrics: dict[str, float | None] = {
        "exact_match": exact.share,
        "anls": sum(alike) / len(alike),
        "failed": got.count(None) / len(got),
    }
    scored = [(score, hit) for answer, hit in zip(got, hits, strict=True) if (score := _score(answer)) is not None]
    if scored and (examinee.scores_tell or any(line.options for line in lines)):
        metrics["calibration_error"] = expected_error([score for score, _ in scored], [hit for _, hit in scored])
    kinds = sorted({line.kind for line in lines if line.kind})
    return Judged(
        count=len(lines),
        metrics=metrics,
        intervals={"exact_match": exact.interval, "anls": ratio_bootstrap(alike, [1] * len(alike))},
        per_class={kind: _of_kind(kind, lines, hits, alike) for kind in kinds},
        settings={"anls_threshold": measures.THRESHOLD, "calibration_bins": BINS},
        confusion=_confusion(texts, [line.answer for line in lines]),
        cases=[
            Case(line.image.name, 1 - one, line.answer, text or NO_ANSWER, line.image, line.question)
            for line, text, one in zip(lines, texts, alike, strict=True)
        ],
    )


def _score(answer: Answer | None) -> float | None:
    """Return how sure the model is of its answer: of the option that it chose, or of its own words."""
    if answer is None:
        return None
    return max(one.score for one in answer.options) if answer.options else answer.score


def _of_kind(kind: str, lines: list[LabelledQuestion], hits: list[bool], alike: list[float]) -> dict[str, float | None]:
    places = [index for index, line in enumerate(lines) if line.kind == kind]
    exact = Rate(sum(hits[index] for index in places), len(places))
    low, high = exact.interval
    return {
        "count": len(places),
        "exact_match": exact.share,
        "exact_match_low": low,
        "exact_match_high": high,
        "anls": sum(alike[index] for index in places) / len(places),
    }


def _confusion(texts: list[str], right: list[str]) -> Confusion | None:
    """Return what was answered in place of what, where the right answers are few; others are one column."""
    wanted = sorted({measures.plain(one) for one in right})
    if len(wanted) > MOST_SHOWN:
        return None
    other = "(other)"
    told = [plain if (plain := measures.plain(one)) in wanted else other for one in texts]
    labels = (*wanted, other)
    return Confusion(labels, labels, confusion(told, [measures.plain(one) for one in right], labels))
