"""Judging a set of texts with their translations."""

from domain.vision import Capability
from workers.labelled import LabelledTranslation
from workers.models.family import Ask
from workers.training.evaluating.examinee import Examinee
from workers.training.evaluating.judged import Case, Judged
from workers.training.measures import answers, translations
from workers.training.measures.labels import Rate
from workers.training.sets.lines import Lines


def judge(examinee: Examinee, found: Lines) -> Judged:
    """Let the model translate every text; what it fails on, or refuses, is translated into nothing.

    Told by direction as well; `chrf_of_told` leaves out what has no translation.
    """
    capability = examinee.asked(found.place, Capability.TRANSLATE)
    lines = [line for line in found.lines if isinstance(line, LabelledTranslation)]
    asks = (Ask(capability, (), {"text": line.source, "source": line.from_, "target": line.to}) for line in lines)
    got = list(examinee.answers(asks))
    texts = ["" if one is None else one.text or "" for one in got]
    told = [(text, line.target) for text, line in zip(texts, lines, strict=True) if text]
    exact = [answers.is_exact(text, line.target) for text, line in zip(texts, lines, strict=True)]
    directions = sorted({(line.from_, line.to) for line in lines})
    return Judged(
        count=len(lines),
        metrics={
            "chrf": translations.chrf(texts, [line.target for line in lines]),
            "exact_match": sum(exact) / len(exact),
            "failed": got.count(None) / len(got),
            "refused": sum(one is not None and one.text is None for one in got) / len(got),
            "chrf_of_told": translations.chrf(*zip(*told, strict=True)) if told else None,
        },
        intervals={"exact_match": Rate(sum(exact), len(exact)).interval},
        per_class={f"{one}-{other}": _of(one, other, lines, texts) for one, other in directions},
        settings={"chrf_scale": 100},
        cases=[
            Case(line.source, 100 - translations.sentence_chrf(text, line.target), line.target, text)
            for line, text in zip(lines, texts, strict=True)
        ],
    )


def _of(source: str, target: str, lines: list[LabelledTranslation], texts: list[str]) -> dict[str, float | None]:
    places = [index for index, line in enumerate(lines) if (line.from_, line.to) == (source, target)]
    right = [lines[index].target for index in places]
    return {"count": len(places), "chrf": translations.chrf([texts[index] for index in places], right)}
