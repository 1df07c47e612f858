"""A report as plain text."""

from gateway.reports.rendered import Rendered
from gateway.reports.sections import about, sections, title


def as_text(told: Rendered) -> str:
    """Return the report as text; of an unsigned version its first and last line say that it is unverified."""
    banner = [] if told.version.banner is None else [told.version.banner]
    lines = [*banner, title(told), *map(_one_line, about(told))]
    for section in sections(told):
        lines += ["", section.title, *(f"  {_one_line(line)}" for line in section.lines)]
    return "\n".join([*lines, *(["", *banner] if banner else [])]) + "\n"


def _one_line(text: str) -> str:
    """Return a text without line breaks: an indication must not be able to draw a line of its own, say a signature."""
    return " ".join(text.split())
