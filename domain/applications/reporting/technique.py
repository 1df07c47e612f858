"""What a text says of how the pictures were taken: the modality, and whether a contrast agent was given."""

import re
from collections.abc import Iterable

from domain.applications.reporting.vocabulary import plain, vocabulary


def told_modalities(text: str) -> tuple[frozenset[str], ...]:
    """Return the modalities that a text names, each as the DICOM codes that read alike."""
    known = vocabulary().technique.modalities
    return tuple(frozenset(codes.split()) for codes, words in known.items() if _says(text, words))


def told_contrast(text: str) -> bool | None:
    """Return whether a text says that a contrast agent was given; None where it says nothing, or both."""
    known = vocabulary().technique.contrast
    without, with_ = _says(text, known["without"]), _says(text, known["with"])
    return None if without == with_ else with_


def _says(text: str, words: Iterable[str]) -> bool:
    return re.search(rf"\b(?:{'|'.join(re.escape(plain(word)) for word in words)})\b", plain(text)) is not None
