"""A confusion matrix as a picture."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from workers.training.evaluating.judged import Confusion

NUMBERED = 25
"""Up to so many labels, each cell tells its number."""
LONGEST = 24
"""So many characters of a label are shown."""
PLAIN: Mapping[str, Any] = {"parse_math": False}
"""Of texts that are data: matplotlib takes what stands between two dollars for a formula."""


def draw(confusion: Confusion, title: str, out: Path) -> None:
    """Write the matrix as a PNG: a row for what is, a column for what it was called, shaded by its share of the row."""
    counts = confusion.counts
    rows, columns = ([_short(label) for label in labels] for labels in (confusion.rows, confusion.columns))
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    figure = Figure(figsize=(_inches(columns), _inches(rows)), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right", rotation_mode="anchor", **PLAIN)
    axes.set_yticks(range(len(rows)), rows, **PLAIN)
    axes.set(xlabel="called", ylabel="is")
    axes.set_title(title, fontsize=10, wrap=True, **PLAIN)
    if len(columns) <= NUMBERED:
        for row, column in zip(*counts.nonzero(), strict=True):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour, fontsize=8)
    figure.savefig(out, dpi=110)


def _inches(labels: list[str]) -> float:
    return min(max(3.0 + 0.45 * len(labels), 5.0), 24.0)


def _short(label: str) -> str:
    return label if len(label) <= LONGEST else f"{label[: LONGEST - 1]}…"
