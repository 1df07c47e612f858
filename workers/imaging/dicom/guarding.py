"""What pydicom and its decoders raise, warn of and log: kept from people, because it quotes what the file holds."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from domain.errors import DicomUnreadable, SightlineError


@contextmanager
def guarded(message: str, **details: Any) -> Iterator[None]:  # noqa: ANN401  (any JSON value)
    """Turn every exception inside into DicomUnreadable with that message; say nothing of what caused it.

    pydicom quotes values in its exceptions, warnings and log lines ("Invalid value for VR DA: ..."), and it converts an
    element only when it is asked for. So each access to a dataset stands inside this, and the cause is not chained.
    SightlineError and MemoryError pass.
    """
    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
    logging.getLogger("highdicom").setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (SightlineError, MemoryError):
        raise
    except Exception:
        # Parsers and decoders raise ValueError, struct.error, KeyError, RecursionError and more for damaged files.
        raise DicomUnreadable(message, **details) from None
    except BaseException as error:
        # pylibjpeg-rle, in Rust, panics on data that unpack to too much. Its exception is no Exception and cannot be
        # imported: it is told by its module.
        if type(error).__module__ != "pyo3_runtime":
            raise
        raise DicomUnreadable(message, **details) from None
