"""Judging a set of pictures with the findings that a drafted report is to tell."""

from domain.vision import Capability
from workers.labelled import LabelledDraft
from workers.training.evaluating.examinee import Examinee
from workers.training.evaluating.judged import Case, Judged
from workers.training.evaluating.labels import rates
from workers.training.measures.drafts import Told, compare
from workers.training.measures.told_findings import told_findings
from workers.training.sets.lines import Lines


def judge(examinee: Examinee, found: Lines, names: frozenset[str]) -> Judged:
    """Let the model draft a report on each picture, and compare the findings of these names that it tells.

    A model that cannot draft is asked, with the instruction as the question.
    """
    capability = examinee.asked(found.place, Capability.DRAFT, Capability.ASK)
    word = "instruction" if capability is Capability.DRAFT else "question"
    lines = [line for line in found.lines if isinstance(line, LabelledDraft)]
    asks = (examinee.ask(capability, line.image, **{word: line.question}) for line in lines)
    got = list(examinee.answers(asks))
    texts = ["" if one is None else one if isinstance(one, str) else one.text for one in got]
    told = [told_findings(text, names) for text in texts]
    right = [frozenset(Told(one.finding, one.side) for one in line.findings) for line in lines]
    drafts = compare(told, right)
    return Judged(
        count=len(lines),
        metrics={
            "finding_precision": drafts.findings.precision.share,
            "finding_recall": drafts.findings.recall.share,
            "finding_f1": drafts.findings.f1,
            "laterality": drafts.laterality.share,
            "normals_kept": drafts.normals.share,
            "failed": got.count(None) / len(got),
        },
        intervals={
            "finding_precision": drafts.findings.precision.interval,
            "finding_recall": drafts.findings.recall.interval,
            "laterality": drafts.laterality.interval,
            "normals_kept": drafts.normals.interval,
        },
        per_class={name: rates(one) for name, one in drafts.per_finding.items()},
        settings={"normals": drafts.normals.count, "sided_findings": drafts.laterality.count},
        cases=[
            Case(line.image.name, len(one ^ other), _listed(other), f"{_listed(one)}: {text}", line.image)
            for line, text, one, other in zip(lines, texts, told, right, strict=True)
        ],
    )


def _listed(findings: frozenset[Told]) -> str:
    return ", ".join(sorted(f"{one.side} {one.finding}".strip() for one in findings)) or "no finding"
