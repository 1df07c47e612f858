"""Where a frame's attributes stand: in its own functional group, in the shared one, or in the dataset itself."""

from collections.abc import Iterator

from pydicom import Dataset


def places(dataset: Dataset, index: int, macro: str) -> Iterator[Dataset]:
    """Yield where attributes of a frame (from 0) may be, the most particular first (PS3.3 C.7.6.16).

    `macro` is the sequence of a functional group that holds them, such as PixelMeasuresSequence. The dataset itself
    comes last: classic objects have them there.
    """
    own = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    for group in [*own[index : index + 1], *shared[:1]]:
        yield from (group.get(macro) or [])[:1]
    yield dataset
