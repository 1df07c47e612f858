"""What may be said with the pictures: by which policy, where they are to be shown, and what they came with."""

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from domain.applications.application import Parameters
from domain.applications.moderation.policy import DEFAULT_SURFACE, Policy
from domain.reviews import Name

MOST_TEXT = 20_000

ContentType = Literal["app", "audio", "image", "product", "synthetic_media", "text", "video"]
"""What is moderated, as the DSA's transparency database tells kinds of content apart."""


def _which(told: object) -> str:
    """Tell a policy's name from a policy, so that an error speaks of the one that was meant."""
    return "name" if isinstance(told, str) else "inline"


Held = Annotated[Annotated[Name, Tag("name")] | Annotated[Policy, Tag("inline")], Discriminator(_which)]


class ModerationParameters(Parameters):
    """The parameters of a moderation; a bare picture is held to the policy `default`."""

    policy: Held = Field(default="default", description="the name of a policy that is kept, or a policy")
    policy_version: int | None = Field(
        default=None, ge=0, description="a version of the kept policy; left out, the active one"
    )
    surface: Name = Field(
        default=DEFAULT_SURFACE, description="where the content is to be shown: one of the policy's surfaces"
    )
    text: str = Field(default="", max_length=MOST_TEXT, description="the post's own text, held to the same policy")
    content_id: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")] | None = Field(
        default=None, description="the content's id in the sender's own system, kept with the result"
    )
    content_date: date | None = Field(default=None, description="when it was posted; a statement of reasons needs it")
    content_type: tuple[ContentType, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=7,
        description="what it is, for a statement of reasons; left out, `image`, with `text` where there is some",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if isinstance(self.policy, Policy):
            if self.policy_version is not None:
                raise ValueError("`policy_version` goes with the name of a policy that is kept, not with a policy")
            if self.surface not in self.policy.surface_names:
                known = ", ".join(self.policy.surface_names)
                raise ValueError(f"the policy has no surface {self.surface!r}; there are: {known}")
        return self
