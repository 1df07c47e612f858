"""`python -m tests.measurements.translator_trust`: what the embedded translator tells, and what it keeps to itself.

For several thresholds of its `trust`: how much of held-out notices is told and how much of that is right to the letter,
and how many texts that are no notices of its world (`notices/outside.toml`) are told although nobody taught it them.
"""

import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from domain.vision import Translation
from workers.modelling.trust import TrustOptions
from workers.models.family import Ask, Told, load
from workers.registry import ModelSpec, load_profile
from workers.training.worlds.notices import drawing
from workers.training.worlds.notices.drawing import Share
from workers.training.worlds.notices.grammar import LANGUAGES
from workers.training.worlds.notices.pairs import Pair, held_out_pairs

COUNT, SEED = 600, 9_000_000
THRESHOLDS = ((0.0, 0.0), (0.5, 0.0), (0.0, 0.7), (0.5, 0.7), (0.5, 0.8), (0.5, 0.9))
OUTSIDE = Path(drawing.__file__).parent / "outside.toml"


@dataclass(frozen=True)
class Asked:
    """A text, its languages, and what is right to say: None where nothing is."""

    kind: str
    text: str
    source: str
    target: str
    right: str | None


def main() -> None:
    """Print a line for each pair of thresholds."""
    torch.set_num_threads(1)
    asked = [*_notices(), *_outside()]
    spec = next(row for row in load_profile("embedded").profile.models if row.name == "translator")
    print("least  back   " + "  ".join(f"{name:>26}" for name in ("combination", "template", "outside, told")))
    for least, back in THRESHOLDS:
        trust = TrustOptions(words="words.json", least=least, back=back)
        print(f"{least:5.2f} {back:5.2f}   " + "  ".join(f"{told:>26}" for told in _measured(spec, trust, asked)))


def _measured(spec: ModelSpec, trust: TrustOptions, asked: list[Asked]) -> list[str]:
    options = {**spec.options, "trust": trust.model_dump()}
    model = load(spec.model_copy(update={"options": options}))
    said = [(one, _said(model, one)) for one in asked]
    told, right, all_of = Counter(), Counter(), Counter(one.kind for one, _ in said)
    for one, text in said:
        told[one.kind] += text is not None
        right[one.kind] += text is not None and text == one.right
    inside = [
        f"{told[kind] / all_of[kind]:.3f} told, {right[kind] / max(told[kind], 1):.3f} right"
        for kind in (Share.COMBINATION.value, Share.TEMPLATE.value)
    ]
    strange = sorted(set(all_of) - {Share.COMBINATION.value, Share.TEMPLATE.value})
    return [*inside, " ".join(f"{kind} {told[kind]}/{all_of[kind]}" for kind in strange)]


def _said(model, one: Asked) -> str | None:
    prepared = model.prepare(Ask("translate", (), {"text": one.text, "source": one.source, "target": one.target}))
    [answer] = model.answers([prepared])
    value = answer.value if isinstance(answer, Told) else answer
    assert isinstance(value, Translation)
    return value.text


def _notices() -> Iterator[Asked]:
    for share in (Share.COMBINATION, Share.TEMPLATE):
        for pair in held_out_pairs(SEED, share, COUNT):
            yield _asked(share.value, pair)


def _asked(kind: str, pair: Pair) -> Asked:
    return Asked(kind, pair.source, pair.source_language, pair.target_language, pair.target)


def _outside() -> Iterator[Asked]:
    told = tomllib.loads(OUTSIDE.read_text("utf-8"))
    for source, kinds in told.items():
        for kind, texts in kinds.items():
            for at, text in enumerate(texts):
                others = [language for language in LANGUAGES if language != source]
                yield Asked(kind, text, source, others[at % len(others)], None)


if __name__ == "__main__":
    main()
