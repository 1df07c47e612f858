"""Loaded by processes that are watched: notes every address that they connect to or ask for, a line each."""

import os
import sys


def note(event: str, arguments: tuple[object, ...]) -> None:
    """Write down whom this process wants to reach, before it tries."""
    if event in {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}:
        asked = arguments[0] if event.startswith("socket.get") else arguments[1]
        with open(os.environ["SIGHTLINE_TEST_AUDIT"], "a") as file:  # noqa: PTH123  (as early and as little as can be)
            file.write(f"{event} {asked!r} {' '.join(sys.argv)!r}\n")


if "SIGHTLINE_TEST_AUDIT" in os.environ:
    sys.addaudithook(note)
