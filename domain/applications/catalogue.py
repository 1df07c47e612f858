"""Which applications there are: every folder beside this file that has a `contract.py`."""

from functools import cache
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

from domain.applications.application import Application
from domain.errors import UnknownApplication


@cache
def applications() -> MappingProxyType[str, Application[Any, Any]]:
    """Return the applications by name, in alphabetical order."""
    here = Path(__file__).parent
    found = {}
    for contract in sorted(here.glob("*/contract.py")):
        application: Application[Any, Any] = import_module(f"{__package__}.{contract.parent.name}.contract").APPLICATION
        found[application.name] = application
    return MappingProxyType(found)


def application(name: str) -> Application[Any, Any]:
    """Return the application of that name.

    Raises UnknownApplication, which lists those that exist.
    """
    try:
        return applications()[name]
    except KeyError:
        raise UnknownApplication(
            f"there is no application {name!r}; there are: {', '.join(applications())}", application=name
        ) from None
