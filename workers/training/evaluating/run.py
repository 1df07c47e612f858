"""One evaluation: a candidate is loaded, answers a set, and is judged by what the set asks for."""

from collections.abc import Sequence
from typing import cast

from domain.images import ImageLimits
from storage import revisions
from storage.session import write
from storage.settings import Settings
from workers.database import database
from workers.judging import Look
from workers.labelled import LabelledDraft, LabelledPicture
from workers.models import family
from workers.training.coco import Dataset
from workers.training.evaluating import answers, drafts, labels, objects, phrases, reading, translation
from workers.training.evaluating.candidate import Candidate
from workers.training.evaluating.examinee import Examinee
from workers.training.evaluating.judged import Advance, Judged
from workers.training.evaluating.objects import Criteria
from workers.training.evaluating.paper import Paper
from workers.training.evaluating.report import Named, told
from workers.training.measures.evaluation import Evaluation, Kind
from workers.training.sets.hashing import data_hash
from workers.training.sets.lines import Lines


def evaluate(
    candidate: Candidate,
    paper: Paper,
    criteria: Criteria,
    limits: ImageLimits,
    command: str,
    advance: Advance = lambda: None,
) -> tuple[Evaluation, Judged]:
    """Load the model as a worker would, let it answer, and return its figures and what they were made of.

    Raises InvalidRequest where the set lacks a picture, or the model cannot do what the set asks, ModelUnavailable
    where it cannot be loaded.
    """
    known = data_hash(paper.part)  # first, as it opens each file: one that is missing is told of at once
    loaded = family.load(candidate.spec)
    try:
        judged = judge(Examinee(loaded, candidate.spec, Look(limits), advance), paper, criteria)
    finally:
        loaded.close()
    named = Named(candidate.name, candidate.spec.revision, command)
    return told(paper, known, judged, paper.part.kind, named), judged


def judge(examinee: Examinee, paper: Paper, criteria: Criteria) -> Judged:
    """Judge by what the set asks for. Names to choose among are those of the whole set, whatever part is judged."""
    part = paper.part
    match part.kind:
        case Kind.BOXES:
            return objects.judge(examinee, cast("Dataset", part), criteria)
        case Kind.PHRASES:
            return phrases.judge(examinee, cast("Lines", part), criteria.iou)
        case Kind.LABELS:
            return labels.judge(examinee, cast("Lines", part), _labels(cast("Lines", paper.whole)))
        case Kind.ANSWERS:
            return answers.judge(examinee, cast("Lines", part))
        case Kind.READING:
            return reading.judge(examinee, cast("Lines", part))
        case Kind.TRANSLATION:
            return translation.judge(examinee, cast("Lines", part))
        case Kind.DRAFTS:
            return drafts.judge(examinee, cast("Lines", part), _findings(cast("Lines", paper.whole)))
        case _:
            raise AssertionError(f"no set is read as {part.kind}")


def _labels(whole: Lines) -> Sequence[str]:
    return sorted({line.label for line in whole.lines if isinstance(line, LabelledPicture)})


def _findings(whole: Lines) -> frozenset[str]:
    drafted = (line for line in whole.lines if isinstance(line, LabelledDraft))
    return frozenset(one.finding for line in drafted for one in line.findings)


def keep(evaluation: Evaluation, candidate: Candidate, settings: Settings) -> None:
    """Keep an evaluation with the registered revision that it is of; of any other model, nothing is kept."""
    if candidate.registered is None:
        return
    measured = revisions.Measured(
        dataset=evaluation.dataset,
        data_hash=evaluation.data_hash,
        metrics={name: value for name, value in evaluation.metrics.items() if value is not None},
        report=evaluation.model_dump(mode="json"),
    )
    with database(settings) as engine:
        write(engine, revisions.attach, candidate.registered, measured)
