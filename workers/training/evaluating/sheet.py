"""The worst answers as one HTML page that needs nothing else: each picture with what is there and what was said."""

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

from PIL import Image, ImageDraw

from domain.errors import InvalidInput
from workers.judging import Look
from workers.training.evaluating.judged import Case, Judged, Marked
from workers.training.measures.evaluation import Evaluation

MOST = 48
"""So many cases are shown."""
SIDE = 320
"""The longest side of a picture as it is shown."""
QUALITY = 80
RIGHT, WRONG, MISSED = "#1a7f37", "#cf222e", "#bf8700"
"""The colours of boxes: found and right, found and not there, there and not found."""

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1f2328;
  background: #fff; }
h1 { font-size: 1.4rem; margin-bottom: .2rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
p.about { color: #59636e; margin-top: 0; overflow-wrap: anywhere; }
.figures { columns: 22rem; }
table { border-collapse: collapse; } td, th { padding: .15rem .8rem .15rem 0; text-align: left; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
ol { display: grid; grid-template-columns: repeat(auto-fill, minmax(18rem, 1fr)); gap: 1.2rem; padding: 0;
  list-style: none; }
li { border: 1px solid #d1d9e0; border-radius: .4rem; padding: .7rem; overflow-wrap: anywhere; }
img { display: block; width: 100%; margin-bottom: .5rem; } dl { margin: 0; }
dt { color: #59636e; font-size: .8rem; } dd { margin: 0 0 .3rem; white-space: pre-wrap; }
.key span { margin-right: 1rem; font-weight: 600; }
"""


def page(evaluation: Evaluation, judged: Judged, look: Look) -> str:
    """Return the page: the figures, and the answers that are not right, the worst first."""
    worst = sorted((case for case in judged.cases if case.badness > 0), key=lambda case: -case.badness)
    title = f"{escape(evaluation.model)} on {escape(evaluation.dataset)}"
    about = f"{evaluation.revision} · {evaluation.split} · {evaluation.command}"
    shown = "".join(_case(case, look) for case in worst[:MOST])
    counted = f"{len(worst)} of {len(judged.cases)} answers are not right"
    counted += f"; the {MOST} worst are shown" if len(worst) > MOST else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style></head><body><h1>{title}</h1><p class='about'>{escape(about)}</p>"
        f"{_figures(evaluation)}<h2>{counted}</h2>{_key(worst)}<ol>{shown}</ol></body></html>"
    )


def _figures(evaluation: Evaluation) -> str:
    rows = []
    for name, value in evaluation.metrics.items():
        told = "none" if value is None else f"{value:.4g}"
        interval = evaluation.intervals.get(name)
        between = f"{interval[0]:.3g} to {interval[1]:.3g}" if interval else ""
        rows.append(f"<tr><td>{escape(name)}</td><td class='number'>{told}</td><td>{between}</td></tr>")
    head = "<tr><th>figure</th><th></th><th>95% interval</th></tr>"
    return f"<div class='figures'><table>{head}{''.join(rows)}</table></div>"


def _key(cases: Sequence[Case]) -> str:
    if not any(case.marked for case in cases):
        return ""
    told = ((RIGHT, "found, right"), (WRONG, "found, not there"), (MISSED, "there, not found"))
    return f"<p class='key'>{''.join(f'<span style=color:{colour}>{words}</span>' for colour, words in told)}</p>"


def _case(case: Case, look: Look) -> str:
    rows = [("question", case.question)] if case.question else []
    rows += [("right", case.right), ("answered", case.answered or "nothing")]
    told = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    picture = _picture(case.picture, case.marked, look) if case.picture else ""
    return f"<li>{picture}<dl><dt>{escape(case.name)}</dt>{told}</dl></li>"


def _picture(path: Path, marked: Sequence[Marked], look: Look) -> str:
    """Return a small JPEG of what the model was shown, within the page, with the boxes drawn; none of what is none."""
    try:
        upright = Image.fromarray(look(path))
    except InvalidInput as error:
        return f"<p>{escape(error.message)}</p>"
    width = upright.width
    upright.thumbnail((SIDE, SIDE))
    _mark(upright, marked, upright.width / width)
    file = io.BytesIO()
    upright.save(file, "JPEG", quality=QUALITY)
    return f'<img alt="{escape(path.name)}" src="data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}">'


def _mark(image: Image.Image, marked: Sequence[Marked], scale: float) -> None:
    draw = ImageDraw.Draw(image)
    for one in marked:
        if one.there and one.right:
            continue  # the box that found it is drawn
        colour = MISSED if one.there else RIGHT if one.right else WRONG
        x0, y0, x1, y1 = (value * scale for value in one.box.xyxy)
        draw.rectangle((x0, y0, max(x1, x0), max(y1, y0)), outline=colour, width=2)
        draw.text((x0 + 2, max(y0 - 12, 0)), one.label, fill=colour, stroke_width=2, stroke_fill="white")
