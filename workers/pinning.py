"""Writing revisions and options into a profile, with its comments and its order left as they are."""

from collections.abc import Mapping
from typing import NamedTuple

import tomlkit

from domain.errors import ModelUnavailable
from workers.hub import ask, digest
from workers.registry import ModelSpec


class Revision(NamedTuple):
    """What pins a model now, and what its reader should know."""

    revision: str
    remark: str = ""


def revision_now(spec: ModelSpec) -> Revision | None:
    """Return what pins a row: the hub's newest commit, or the digest of a file or folder; None of other sources.

    Raises ModelUnavailable where the hub cannot be reached, or the files are not there.
    """
    if spec.hub_id:
        told = ask(spec)
        differs = told.licence and told.licence.lower() not in spec.licence.lower()
        return Revision(told.commit, f"the hub states the licence {told.licence!r}" if differs else "")
    if ":" in spec.source and not spec.source.startswith("embedded:"):
        return None  # a package or a server, which no command of ours can pin
    if not spec.path.exists():
        raise ModelUnavailable(f"model {spec.name!r}: {spec.path} does not exist")
    return Revision(digest(spec.path))


def with_option(profile: str, model: str, name: str, value: float) -> str:
    """Return a profile's text with one option of one model set."""
    document = tomlkit.parse(profile)
    for row in document["models"]:
        if row["name"] == model:
            row.setdefault("options", tomlkit.inline_table())[name] = value
    return tomlkit.dumps(document)


def pinned(profile: str, revisions: Mapping[tuple[str, str], str]) -> str:
    """Return a profile's text with these revisions in place of its own.

    They are by a model's name and that of one of its checkpoints, as `ModelSpec.checkpoints` has it.
    """
    document = tomlkit.parse(profile)
    rows = {row["name"]: row for row in document["models"]}
    for (model, checkpoint), revision in revisions.items():
        row = rows[model]
        (row["options"][checkpoint] if checkpoint else row)["revision"] = revision
    return tomlkit.dumps(document)
