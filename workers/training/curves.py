"""A picture of how a training went: its losses and its measures over time."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from workers.training.loop import Fitted, Round

SIZE = (10.0, 4.2)
"""in inches, at 120 pixels each"""


def draw_curves(fitted: Fitted, title: str, watched: str, path: Path) -> None:
    """Write a PNG: on the left the losses, on the right the measures, with the round that was kept marked."""
    figure = Figure(figsize=SIZE, dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    losses, measures = figure.subplots(1, 2)
    _curves(losses, fitted.rounds, [_above_zero(one.losses) for one in fitted.rounds])
    losses.set(title="losses, on what it learns from", yscale="log")
    _curves(measures, fitted.rounds, [one.measures for one in fitted.rounds])
    measures.set(title="measures, on the validation share")
    best = fitted.best
    measures.axvline(best.seconds / 60, color="grey", linewidth=1, linestyle=":")
    measures.annotate(
        f"kept: {watched} {best.measures[watched]:.3f}",
        (best.seconds / 60, best.measures[watched]),
        xytext=(0.5, 0.04),
        textcoords="axes fraction",
        ha="center",
        arrowprops={"arrowstyle": "-", "color": "grey"},
    )
    figure.savefig(path)


def _curves(axes: Axes, rounds: Sequence[Round], told: Sequence[Mapping[str, float]]) -> None:
    minutes = [one.seconds / 60 for one in rounds]
    for name in dict.fromkeys(name for one in told for name in one):
        axes.plot(minutes, [one.get(name, float("nan")) for one in told], marker="o", markersize=3, label=name)
    axes.set_xlabel("minutes")
    axes.grid(visible=True, alpha=0.3)
    if axes.lines:
        axes.legend(fontsize=8)


def _above_zero(losses: Mapping[str, float]) -> dict[str, float]:
    """Return what an axis of powers can show."""
    return {name: value for name, value in losses.items() if value > 0}
