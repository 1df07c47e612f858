"""The report: one HTML file that holds its pictures and needs nothing else, not even a network."""

import base64
import io
import json
from collections.abc import Sequence
from datetime import datetime
from html import escape
from itertools import groupby
from pathlib import Path
from string import Template
from typing import Any

from PIL import Image, ImageOps

from gateway.demo.trial import Trial
from storage.jobs import ModelCallView

PAGE = Path(__file__).parent / "report.html"
WIDEST = 800
MOST_ITEMS = 12
"""Longer lists of a result are cut in the report; the whole result is in the database, and was in the answer."""


def write_report(path: Path, trials: Sequence[Trial], began: datetime, seconds: float) -> None:
    """Write the report."""
    unexpected = [trial for trial in trials if not trial.expected]
    sections = [_section(name, list(group)) for name, group in groupby(trials, lambda trial: trial.application.name)]
    page = Template(PAGE.read_text("utf-8"))
    html = page.substitute(
        tone="bad" if unexpected else "good",
        verdict=f"{len(unexpected)} of {len(trials)} jobs not as expected" if unexpected else "All as expected",
        jobs=len(trials),
        expected=len(trials) - len(unexpected),
        seconds=f"{seconds:.1f}",
        median=_milliseconds(_median([ms for trial in trials if (ms := trial.milliseconds) is not None])),
        began=escape(began.strftime("%d %B %Y, %H:%M %Z").strip()),
        contents="".join(_link(trial) for trial in trials),
        sections="\n".join(sections),
    )
    path.write_text(html, "utf-8")


def _section(name: str, trials: list[Trial]) -> str:
    cards = "\n".join(map(_card, trials))
    summary = escape(trials[0].application.summary)
    return f'<section id="{escape(name)}"><h2>{escape(name)}</h2><p class="lead">{summary}</p>{cards}</section>'


def _link(trial: Trial) -> str:
    tone = "good" if trial.expected else "bad"
    name = f"{trial.application.name} / {trial.sample.name}"
    cells = (
        f'<a href="#{_anchor(trial)}">{escape(name)}</a>',
        escape(trial.headline),
        escape(trial.ended),
        f'<span class="badge {tone}">{"as expected" if trial.expected else "differs"}</span>',
        _milliseconds(trial.milliseconds),
    )
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _card(trial: Trial) -> str:
    tone = "good" if trial.expected else "bad"
    badge = f'<span class="badge {tone}">{"as expected" if trial.expected else "differs"}</span>'
    differences = "".join(f"<li>{escape(each)}</li>" for each in trial.differences)
    calls = trial.result.model_calls if trial.result else []
    pictures = "".join(_figures(trial, at) for at in range(len(trial.sample.images)))
    return f"""<article id="{_anchor(trial)}">
<div class="pictures">{pictures}</div>
<div class="told">
<h3>{escape(trial.sample.name)}</h3>
<p class="headline">{escape(trial.headline)}</p>
<p class="facts">{badge}<span>{escape(trial.ended)}</span><span>{_milliseconds(trial.milliseconds)}</span></p>
{f'<ul class="differences">{differences}</ul>' if differences else ""}
{_pairs(trial.sample.parameters)}
{_calls(calls)}
{_body(trial)}
</div></article>"""


def _figures(trial: Trial, at: int) -> str:
    """Return a picture as it was sent and as it was answered, side by side."""
    sent = _figure(trial.sample.images[at].read_bytes(), f"as sent: {trial.sample.images[at].name}")
    if at >= len(trial.pictures):
        return f'{sent}<p class="nothing">No answer: the job is {escape(trial.ended)}.</p>'
    return sent + _figure(trial.pictures[at], f"as answered: {trial.headline}")


def _figure(data: bytes, caption: str) -> str:
    with Image.open(io.BytesIO(data)) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    upright.thumbnail((WIDEST, WIDEST))
    out = io.BytesIO()
    upright.save(out, "JPEG", quality=86)
    source = "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode("ascii")
    told = escape(caption)
    size = f'width="{upright.width}" height="{upright.height}"'
    return f'<figure><img src="{source}" {size} alt="{told}"><figcaption>{told}</figcaption></figure>'


def _pairs(told: dict[str, Any]) -> str:
    if not told:
        return '<p class="quiet">parameters: all defaults</p>'
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(_short(value))}</dd>" for name, value in told.items())
    return f"<dl>{rows}</dl>"


def _calls(calls: Sequence[ModelCallView]) -> str:
    if not calls:
        return '<p class="quiet">no model was asked</p>'
    rows = "".join(
        f"<tr><td>{escape(call.capability)}</td><td>{escape(call.model)}</td><td>{escape(call.revision[:12])}</td>"
        f"<td>{escape(call.device)} {escape(call.dtype)}</td><td>{call.batch_size}</td><td>{call.ran_ms:.0f}</td></tr>"
        for call in calls[:MOST_ITEMS]
    )
    heads = "".join(f"<th>{head}</th>" for head in ("asked to", "model", "revision", "device", "batch", "ms"))
    more = f'<p class="quiet">and {len(calls) - MOST_ITEMS} more calls</p>' if len(calls) > MOST_ITEMS else ""
    return f'<div class="scroll"><table class="calls"><tr>{heads}</tr>{rows}</table></div>{more}'


def _body(trial: Trial) -> str:
    if trial.result is None:
        return ""
    told = escape(json.dumps(_cut(trial.result.body), indent=2, ensure_ascii=False))
    return f"<details><summary>the result as JSON</summary><pre>{told}</pre></details>"


def _cut(value: Any) -> Any:  # noqa: ANN401  (any JSON value)
    """Return a value with its long lists cut: a mask has thousands of runs."""
    if isinstance(value, dict):
        return {name: _cut(each) for name, each in value.items()}
    if isinstance(value, list):
        kept = [_cut(each) for each in value[:MOST_ITEMS]]
        return [*kept, f"... {len(value) - MOST_ITEMS} more"] if len(value) > MOST_ITEMS else kept
    return value


def _short(value: Any) -> str:  # noqa: ANN401
    told = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return told if len(told) <= 120 else f"{told[:120]}…"


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"


def _median(values: list[float]) -> float | None:
    return sorted(values)[len(values) // 2] if values else None


def _anchor(trial: Trial) -> str:
    return escape(f"{trial.application.name}-{trial.sample.name}")
