"""What is asked for when a restriction is to be stated: the facts that no result knows.

Names and choices are those of the DSA transparency database's API as documented for its version of July 2025.
"""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from domain.geometry import Value

Source = Literal["SOURCE_ARTICLE_16", "SOURCE_TRUSTED_FLAGGER", "SOURCE_TYPE_OTHER_NOTIFICATION", "SOURCE_VOLUNTARY"]
"""How the provider came to look at it: by a notice, a trusted flagger, another notification, or of its own accord."""
Puid = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,500}$")]
Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]


class Asked(Value):
    """What a platform says of a restriction that is to be stated."""

    puid: Puid
    """the platform's own unique id for the statement"""
    applied_on: date
    """the day from which the restriction holds"""
    source: Source = "SOURCE_VOLUNTARY"
    territories: tuple[Country, ...] | None = Field(default=None, min_length=1)
    """where it holds; None leaves it out"""
