"""Which policies a set is held to: one that an installation keeps or that ships, and a draft from a file."""

import json
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from domain.applications.moderation.policy import Label, Policy, succeeds
from domain.errors import InvalidRequest
from domain.problems import field_problems
from storage import configurations
from storage.configurations import Name
from storage.session import Engine, read
from workers.training.sets.moderated import ModeratedPicture


class Held(NamedTuple):
    """A policy, and which one it is in words."""

    policy: Policy
    told: str

    def labels(self, picture: ModeratedPicture) -> dict[str, Label]:
        """Return the labels that count where a picture is shown, by id."""
        return self.policy.on(picture.surface)


def kept(engine: Engine, tenant: str, name: str, version: int | None = None) -> Held:
    """Return a tenant's policy, the active version where none is named.

    Raises InvalidParameters that lists what there is, InvalidRequest where its content is no policy (any more).
    """
    of = Name(tenant=tenant, application="moderation", kind="policy", name=name)
    found = read(engine, configurations.find, of, version)
    told = f"version {found.version} of the policy {name!r}"
    return Held(_policy(found.body, told), told)


def drafted(file: Path) -> Held:
    """Return the policy that a TOML or JSON file holds. Raises InvalidRequest that names each field and its problem."""
    try:
        text = file.read_text("utf-8")
        body = json.loads(text) if file.suffix.lower() == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"{file} cannot be read as TOML or JSON: {error}") from error
    return Held(_policy(body, str(file)), f"the draft {file.name}")


def check(pictures: Iterable[ModeratedPicture], policies: Sequence[Held]) -> None:
    """Raise InvalidRequest, with what there is, where a label is none of any policy, or a surface is not one's."""
    ids = list(dict.fromkeys(id_ for held in policies for id_ in held.policy.labels))
    for one in pictures:
        strange = [label for label in one.labels if label not in ids]
        if strange:
            raise InvalidRequest(f"{one.image}: there is no label {strange[0]!r}; the policy's are: {', '.join(ids)}")
        for held in policies:
            if one.surface not in held.policy.surface_names:
                known = ", ".join(held.policy.surface_names)
                raise InvalidRequest(f"{one.image}: {held.told} has no surface {one.surface!r}; there are: {known}")


def cannot_follow(before: Held, draft: Held) -> str | None:
    """Say why a draft could not be kept as the next version; None where it could."""
    try:
        succeeds(before.policy, draft.policy)
    except ValueError as error:
        return f"{draft.told} cannot follow {before.told}: {error}"
    return None


def _policy(body: Any, what: str) -> Policy:  # noqa: ANN401  (whatever a file holds)
    try:
        return Policy.model_validate(body)
    except ValidationError as error:
        problems = field_problems(error, Policy)
        said = "; ".join(f"{problem['field'] or 'policy'}: {problem['problem']}" for problem in problems)
        raise InvalidRequest(f"{what} is no policy: {said}", problems=problems) from error
