"""The families that learn: a file of the family's name for each, with a function `learner`."""

from pkgutil import iter_modules

BESIDE = frozenset({"learner", "scratch", "serving"})
"""Files here that are no family."""


def families() -> list[str]:
    """Return the families that learn. Imports none of them."""
    return sorted(found.name for found in iter_modules(__path__) if found.name not in BESIDE)
