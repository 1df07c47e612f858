"""Dates moved back by a number of days. What is no date becomes nothing: it could be a name."""

import re
from datetime import date, timedelta

DATE = re.compile(r"(\d{4})(\d{2})(\d{2})")
OLD_DATE = re.compile(r"(\d{4})\.(\d{2})\.(\d{2})")
"""As ACR-NEMA wrote it (PS3.5 6.2, note on DA)."""
TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?")


def earlier_date(value: str, days: int) -> str:
    """Return a DA so many days earlier, or an empty one where it is no date or none is so early."""
    found = DATE.fullmatch(value.strip()) or OLD_DATE.fullmatch(value.strip())
    if found is None:
        return ""
    try:
        moved = date(*(int(part) for part in found.groups())) - timedelta(days=days)
    except (ValueError, OverflowError):
        return ""
    return f"{moved.year:04}{moved.month:02}{moved.day:02}"


def earlier_datetime(value: str, days: int, *, times: bool) -> str:
    """Return a DT so many days earlier, with its time where `times` says so, always without its time zone."""
    moment = re.split(r"[+-]", value.strip(), maxsplit=1)[0]
    moved = earlier_date(moment[:8], days)
    return moved + checked_time(moment[8:]) if moved and times else moved


def checked_time(value: str) -> str:
    """Return a TM, or an empty one where it is no time."""
    return value.strip() if TIME.fullmatch(value.strip()) else ""
