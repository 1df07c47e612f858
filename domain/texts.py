"""Texts that strangers sent, made fit for a database, an event or an error document."""


def printable(text: str, most: int) -> str:
    """Return a text of at most `most` characters that every database and every JSON reader takes.

    NUL is nothing that PostgreSQL stores, and half of a surrogate pair is nothing that UTF-8 can say: a message that
    quotes them would itself be refused.
    """
    short = text if len(text) <= most else f"{text[: most - 1]}…"
    return short.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")
