"""Translations against the right ones."""

from collections.abc import Sequence

from sacrebleu.metrics.chrf import CHRF


def chrf(translated: Sequence[str], right: Sequence[str]) -> float:
    """Return chrF2 over all texts together, 0 to 100 (Popović 2015), as sacrebleu computes it by default.

    Character n-grams up to 6 without blanks, recall weighed twice. Raises ValueError where there are no texts.
    """
    if not len(translated) == len(right) > 0:
        raise ValueError(f"{len(translated)} translations of {len(right)} texts")
    return float(CHRF().corpus_score(list(translated), [list(right)]).score)


def sentence_chrf(translated: str, right: str) -> float:
    """Return chrF2 of one text, 0 to 100: to find the worst ones; it does not average to that of all."""
    return float(CHRF().sentence_score(translated, [right]).score)
