"""Hashes as they are handed on between platforms: ThreatExchange's signal types, and the texts they are written in.

Read are two forms, told apart by the first line.

*CSV* with a header that names `signal_type` and `signal_str`; it is what `threatexchange dataset -P --csv` prints, and
what is written here. `tags`, parted by spaces, become labels. Rows whose `category` says other than `POSITIVE_CLASS`
are left out: they tell of what a hash is not, or of what nobody has looked at.

*Plain*: a hash in each line, as PDQ's own tools print it: `HASH`, `HASH,QUALITY,FILE` or `hash=HASH,quality=QUALITY`;
or, as `threatexchange dataset -P -S` does, `TYPE HASH`. A PDQ hash whose quality is told and below 50 is left out.

Types are `pdq` (256 bits), `sha256`, and of our own `phash` (64 bits, as `imagehash` has it); ThreatExchange's
indicator types `HASH_PDQ` and `HASH_SHA256` are read too. Types for videos and texts are none of a picture's.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import chain
from typing import NamedTuple

from domain.errors import InvalidRequest

MOST_SIGNALS = 1_000_000
"""In one import."""
LEAST_QUALITY = 50
"""Below it a PDQ hash says too little to be matched; PDQ's authors discard it."""
MOST_LABELS = 20
MOST_LABEL = 64
POSITIVE = "POSITIVE_CLASS"
SHOWN = 80
"""So many characters of a line are told in an error."""


class Kind(StrEnum):
    """What a hash is computed by."""

    PDQ = "pdq"
    PHASH = "phash"
    SHA256 = "sha256"

    @property
    def digits(self) -> int:
        """How many hexadecimal digits it has."""
        return 16 if self is Kind.PHASH else 64


NAMES = {**{kind.value: kind for kind in Kind}, "HASH_PDQ": Kind.PDQ, "HASH_SHA256": Kind.SHA256}
_HASH = re.compile("[0-9a-f]+")
_QUALITY = re.compile(r"(?:^|,)quality=(\d{1,3})(?:,|$)|^(\d{1,3})(?:,|$)")


class Signal(NamedTuple):
    """A hash, in small hexadecimal digits, and what is said of it."""

    kind: Kind
    value: str
    labels: tuple[str, ...] = ()


class Signals(NamedTuple):
    """What a file holds, and how many of its hashes were left out."""

    signals: list[Signal]
    left_out: int


def checked(kind: Kind, value: str, labels: Sequence[str] = ()) -> Signal:
    """Return a hash in small digits with its labels.

    Raises InvalidRequest where it is none of that kind, or a label is empty, too long, or has spaces or what cannot be
    printed.
    """
    found = value.strip().lower()
    if len(found) != kind.digits or not _HASH.fullmatch(found):
        raise InvalidRequest(f"{value[:SHOWN]!r} is no {kind} hash; one has {kind.digits} hexadecimal digits")
    if len(labels) > MOST_LABELS:
        raise InvalidRequest(f"{len(labels)} labels; a hash may have {MOST_LABELS}")
    for label in labels:
        if not 0 < len(label) <= MOST_LABEL or not label.isprintable() or " " in label:
            raise InvalidRequest(f"{label[:SHOWN]!r} is no label: 1 to {MOST_LABEL} printable characters, no space")
    return Signal(kind, found, tuple(labels))


def parse(lines: Iterable[str], kind: Kind = Kind.PDQ) -> Signals:
    """Read hashes; in a plain file those without a type are of that `kind`.

    Raises InvalidRequest that names the first bad line and its value (`details`: `line`, `value`), and on more than
    `MOST_SIGNALS`.
    """
    rest = iter(lines)
    first = next(rest, "").removeprefix("\ufeff")
    whole = chain([first], rest)
    signals, left_out = [], 0
    for row in _csv_rows(whole) if {"signal_type", "signal_str"} <= {*first.strip().split(",")} else _plain_rows(whole):
        signal = _signal(row, kind)
        if row.wanted:
            signals.append(signal)
        else:
            left_out += 1
        if len(signals) > MOST_SIGNALS:
            raise InvalidRequest(f"more than {MOST_SIGNALS} hashes; import them in parts")
    return Signals(signals, left_out)


def as_csv(bank: str, signals: Iterable[Signal], *, header: bool = True) -> Iterator[str]:
    """Write hashes line by line as `threatexchange dataset -P --csv` does; the bank stands as the collaboration."""
    if header:
        yield _row("signal_type", "signal_str", "collab", "category", "tags")
    for signal in signals:
        yield _row(signal.kind, signal.value, bank, POSITIVE, " ".join(signal.labels))


def as_plain(signals: Iterable[Signal]) -> Iterator[str]:
    """Write hashes line by line as `threatexchange dataset -P -S` does: the type and the hash."""
    return (f"{signal.kind} {signal.value}\n" for signal in signals)


class _Row(NamedTuple):
    """What a line says of a hash; the type is empty where none is named."""

    line: int
    type: str
    value: str
    labels: tuple[str, ...]
    wanted: bool


def _csv_rows(lines: Iterable[str]) -> Iterator[_Row]:
    reader = csv.DictReader(lines)
    try:
        for row in reader:
            tags, category = (row.get("tags") or "").split(), row.get("category")
            wanted = not category or category == POSITIVE
            yield _Row(reader.line_num, row["signal_type"] or "-", row["signal_str"] or "", tuple(tags), wanted)
    except csv.Error as error:
        raise _bad(reader.line_num + 1, str(error), "") from error


def _plain_rows(lines: Iterable[str]) -> Iterator[_Row]:
    for at, line in enumerate(lines, 1):
        if line.strip():
            told, _, more = line.strip().partition(",")
            named, _, value = told.removeprefix("hash=").rpartition(" ")
            quality = _QUALITY.search(more)
            wanted = quality is None or int(quality[1] or quality[2]) >= LEAST_QUALITY
            yield _Row(at, named, value, (), wanted)


def _signal(row: _Row, kind: Kind) -> Signal:
    if row.type and row.type not in NAMES:
        raise _bad(row.line, f"{row.type[:SHOWN]!r} is no type of hash; there are: {', '.join(NAMES)}", row.type)
    try:
        return checked(NAMES.get(row.type, kind), row.value, row.labels)
    except InvalidRequest as error:
        raise _bad(row.line, error.message, row.value) from error


def _bad(line: int, wrong: str, value: str) -> InvalidRequest:
    problems = [{"field": f"line {line}", "problem": wrong}]
    return InvalidRequest(f"line {line}: {wrong}", line=line, value=value[:SHOWN], problems=problems)


def _row(*cells: str) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue()
