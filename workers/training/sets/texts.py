"""Reading the texts that sets consist of."""

from pathlib import Path

from domain.errors import InvalidRequest


def text_of(file: Path) -> str:
    """Return a file's text, with or without a byte order mark. Raises InvalidRequest where it is none in UTF-8."""
    try:
        return file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{file} is no text in UTF-8: {error}; save it as UTF-8") from error
