"""What a job is given of a tenant who has nothing of its own."""

from domain.applications.application import BankMatch, Configured
from domain.vision import Hashes


class NoMemory:
    """A tenant who has no translation memory."""

    def recall(self, text: str, source: str, target: str) -> str | None:
        return None


class NoConfigurations:
    """A tenant whose application runs under no configuration, and so asks for none."""

    def find(self, kind: str, name: str, version: int | None = None) -> Configured:
        raise AssertionError(f"nobody asks for the {kind} {name!r} here")


class NoBanks:
    """A tenant who has no hash bank."""

    def matches(self, hashes: Hashes) -> tuple[BankMatch, ...]:
        return ()
