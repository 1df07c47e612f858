"""Files of one examination, in the order in which people look at them."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from math import inf

from workers.imaging.dicom.reading import Instance


@dataclass(frozen=True)
class Study:
    """The instances of one study, by series, then by instance number, then along the normal of the slices."""

    uid: str
    instances: tuple[Instance, ...]


def studies(instances: Iterable[Instance]) -> tuple[Study, ...]:
    """Part instances by their StudyInstanceUID. What has no number comes after what has one."""
    ordered = sorted(instances, key=_place)
    return tuple(Study(uid, tuple(group)) for uid, group in groupby(ordered, key=lambda instance: instance.study))


def _place(instance: Instance) -> tuple[str, float, str, float, float, str]:
    number = inf if instance.number is None else instance.number
    series = inf if instance.series_number is None else instance.series_number
    position = 0.0 if instance.position is None else instance.position
    return instance.study, series, instance.series, number, position, instance.uid
