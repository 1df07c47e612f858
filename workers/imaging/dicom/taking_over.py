"""Building a dataset out of those elements of another that may stay, each by the rule of the profile."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Any

from pydicom import DataElement, Dataset
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag
from pydicom.uid import UID

from workers.imaging.dicom.dates import checked_time, earlier_date, earlier_datetime
from workers.imaging.dicom.pixel_header import PIXELS
from workers.imaging.dicom.profile import Attribute, Change, Done, Options, Rule, profile
from workers.imaging.dicom.pseudonyms import mapped_uid
from workers.imaging.dicom.syntaxes import registered_name

NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?")
LONGEST_NUMBER = 16
"""Characters of a DS (PS3.5 6.2)."""
AGE = re.compile(r"\d{3}[DWMY]")
OLDEST = 90
"""Years: the older are so few that an age tells who it is; all are said to be 90 (45 CFR 164.514(b)(2)(i)(C))."""
REWRITTEN = {
    *PIXELS,
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
}
"""Written anew with the pixels."""
ENTRIES_OF_NONE = 1 << 16
"""What a table's descriptor means by 0 entries (PS3.3 C.11.1.1)."""
MOST_NESTED = 16
"""Sequences within sequences; functional groups need four."""


class Log:
    """Counts what was done, by place."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, Done]] = Counter()

    def note(self, path: str, tag: BaseTag, done: Done) -> None:
        """Count one element."""
        self._counts[path, "" if tag.is_private else keyword_for_tag(tag), done] += 1

    def changes(self) -> tuple[Change, ...]:
        """Return what was done, by place."""
        return tuple(
            Change(path=path, keyword=keyword, done=done, count=count)
            for (path, keyword, done), count in sorted(self._counts.items())
        )


@dataclass(frozen=True)
class Take:
    """With what elements are taken over: secret, options, days to go back, what samples are, and the log."""

    secret: bytes
    options: Options
    days: int
    signed: bool
    palette: bool
    """Whether samples are indices into a palette."""
    log: Log


def taken_over(dataset: Dataset, take: Take) -> Dataset:
    """Return a new dataset of what may stay. It has every attribute that the profile requires, if only empty."""
    copy = _taken(dataset, take, "")
    for keyword in profile(take.options.characteristics).required:
        if keyword not in copy:
            setattr(copy, keyword, "")
    return copy


def _taken(dataset: Dataset, take: Take, within: str) -> Dataset:
    chosen, copy = profile(take.options.characteristics), Dataset()
    for tag in sorted(dataset.keys()):
        keyword, path = keyword_for_tag(tag), f"{within}({tag.group:04X},{tag.element:04X})"
        if keyword in REWRITTEN and not within:
            continue
        attribute = None if tag.is_private else chosen.attributes.get(keyword)
        value = None if attribute is None else _value(dataset, tag, attribute, take, path)
        if value is not None:
            copy.add_new(tag, _vr(dataset, tag, take.signed), value)
        elif keyword in chosen.required and not within:
            take.log.note(path, tag, Done.REPLACED if keyword == "PatientID" else Done.EMPTIED)
        else:
            take.log.note(path, tag, Done.REMOVED)
    return copy


def _value(dataset: Dataset, tag: BaseTag, attribute: Attribute, take: Take, path: str) -> Any:  # noqa: ANN401
    """Return what stays of an element's value, or None where nothing does; note what was changed."""
    try:
        element = dataset[tag]
    except Exception:
        # The converters of pydicom raise ValueError, TypeError and more for a value that is none of its VR: it goes.
        return None
    if attribute.rule is Rule.SEQUENCES:
        return _items(element, take, path)
    if attribute.rule is Rule.TABLES:
        return _table(dataset, element, take)
    kept, done = _rule(attribute, element, take)
    values = _several(element)
    result = [kept(value) for value in values]
    if attribute.rule in {Rule.TERMS, Rule.AGES}:
        result = [value for value in result if value]
    if not result or any(value is None for value in result):
        return None
    if done is not None and result != values:
        take.log.note(path, tag, done)
    return result if len(result) > 1 else result[0]


def _rule(attribute: Attribute, element: DataElement, take: Take) -> tuple[Callable[[Any], Any], Done | None]:
    """Return what becomes of a single value, and what the log calls it where it becomes another."""
    shift = take.options.dates == "shift"
    moved = Done.SHIFTED if shift else Done.EMPTIED
    match attribute.rule:
        case Rule.NUMBERS:
            return _number, None
        case Rule.UIDS:
            return lambda value: _uid(value, take.secret), Done.MAPPED
        case Rule.DATES if element.VR == "DT":
            times = take.options.times
            return lambda value: earlier_datetime(str(value), take.days, times=times) if shift else "", moved
        case Rule.DATES:
            return lambda value: earlier_date(str(value), take.days) if shift else "", moved
        case Rule.TIMES:
            return lambda value: checked_time(str(value)) if shift and take.options.times else "", Done.EMPTIED
        case Rule.AGES:
            return _age, Done.REPLACED
    return lambda value: str(value) if str(value) in attribute.terms else None, Done.REPLACED


def _items(element: DataElement, take: Take, path: str) -> list[Dataset] | None:
    if element.VR != "SQ" or path.count(">") >= MOST_NESTED:
        return None
    return [_taken(item, take, f"{path}>") for item in element.value]


def _table(dataset: Dataset, element: DataElement, take: Take) -> Any:  # noqa: ANN401
    """Return a table as it stands, where its picture uses it and it is as long as its descriptor says."""
    if element.VR not in {"OB", "OW", "US", "SS"} or (element.keyword != "LUTData" and not take.palette):
        return None
    if element.keyword.startswith("Segmented"):  # run lengths: only expanding them would tell how long they may be
        return element.value
    descriptor = dataset.get(element.keyword.removesuffix("Data") + "Descriptor") or [-1]
    entries = int(descriptor[0]) or ENTRIES_OF_NONE
    units = len(element.value) if isinstance(element.value, bytes | MultiValue | list) else 1
    return element.value if units in {entries, entries + 1, 2 * entries} else None


def _several(element: DataElement) -> list[Any]:
    value = element.value
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, MultiValue | list | tuple) else [value]


def _number(value: object) -> int | float | str | None:
    """Return a number, or the text of one as it stands, or the tag of a public attribute; None for anything else."""
    if isinstance(value, BaseTag):
        return None if value.is_private else int(value)
    if type(value) is int or (type(value) is float and isfinite(value)):
        return value
    said = str(value).strip()
    return said if len(said) <= LONGEST_NUMBER and NUMBER.fullmatch(said) else None


def _uid(value: object, secret: bytes) -> str | None:
    said = str(value).strip()
    return said if registered_name(UID(said)) else mapped_uid(secret, said) if said else None


def _age(value: object) -> str | None:
    said = str(value).strip()
    if not AGE.fullmatch(said):
        return None
    return f"{OLDEST:03}Y" if said.endswith("Y") and int(said[:3]) >= OLDEST else said


def _vr(dataset: Dataset, tag: BaseTag, signed: bool) -> str:
    """Return the dictionary's VR; where it leaves a choice, the element's own, or what the samples' sign says."""
    said = dictionary_VR(tag)
    if " or " not in said:
        return said
    own = str(dataset[tag].VR)
    return own if own in said.split(" or ") else "SS" if signed else "US"
