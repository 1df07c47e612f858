"""Where checkpoints come from: the model hub, asked for a commit and for files once, and folders told by their digest.

Only the commands `sightline models pin` and `sightline models pull` connect to anything; loading a model never does.
HF_HUB_OFFLINE is respected: with it, both say so and touch nothing.
"""

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled

from domain.errors import ModelUnavailable
from workers.registry import ModelSpec

COMMIT = re.compile("[0-9a-f]{40}")
KEPT = (".safetensors", ".json", ".txt", ".model", ".jinja", ".spm", ".bpe")
"""The endings of the files that loading reads: weights as safetensors, configuration, tokenizers, templates."""
DIGITS = 16
"""The fewest hex digits of a SHA-256 that pin something."""
RECORD = "revision.json"
"""Beside a checkpoint that was trained here: how it came to be. Loading does not read it, so it is not digested."""
ABSENT = (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError)
"""What the hub's library raises where files are not on this machine."""


def is_pinned(spec: ModelSpec) -> bool:
    """Say whether a hub row names a commit."""
    return COMMIT.fullmatch(spec.revision) is not None


def fetched(spec: ModelSpec) -> Path:
    """Return where the pinned files of a hub row lie on this machine.

    Raises ModelUnavailable with what to do where the row is not pinned or its files are not here.
    """
    _must_be_pinned(spec)
    try:
        return Path(snapshot_download(spec.hub_id, revision=spec.revision, local_files_only=True))
    except ABSENT as error:
        raise ModelUnavailable(
            f"model {spec.name!r}: {spec.hub_id} at {spec.revision[:12]} is not on this machine; "
            f"`sightline models pull {spec.name}` fetches it"
        ) from error


def digest(path: Path) -> str:
    """Return `sha256:` of a file, or of a folder's files that loading reads: each one's name and bytes, by name."""
    total = hashlib.sha256()
    if path.is_file():
        return f"sha256:{_of_file(path)}"
    read = (file for file in path.rglob("*") if file.suffix in KEPT and file != path / RECORD and file.is_file())
    for file in sorted(read):
        total.update(f"{file.relative_to(path)}\0{_of_file(file)}\n".encode())
    return f"sha256:{total.hexdigest()}"


def verify(spec: ModelSpec, path: Path) -> None:
    """Raise ModelUnavailable where a file, or a folder's files, are not what the row's revision pins."""
    kind, _, digits = spec.revision.partition(":")
    found = digest(path)
    if kind != "sha256" or len(digits) < DIGITS:
        raise ModelUnavailable(
            f"model {spec.name!r}: the revision {spec.revision!r} pins nothing; give {found[: 7 + DIGITS]!r}, or let "
            f"`sightline models pin {spec.name}` write it"
        )
    if not found.startswith(spec.revision):
        raise ModelUnavailable(
            f"model {spec.name!r}: {path} is {found[: 7 + DIGITS]}…, not the pinned {spec.revision}; restore the files "
            f"or, if the change is meant, pin the new revision"
        )


class OnTheHub(NamedTuple):
    """What the hub says of a repository."""

    commit: str
    licence: str
    """as its card states it; empty where it does not"""


def ask(spec: ModelSpec) -> OnTheHub:
    """Ask the hub for the newest commit of a row's repository. Raises ModelUnavailable where it cannot be asked."""
    try:
        told = HfApi().model_info(spec.hub_id, timeout=20)
    except Exception as error:  # its errors are those of whichever HTTP library it uses in this version
        raise _away(spec, error) from error
    if not told.sha:
        raise ModelUnavailable(f"model {spec.name!r}: the hub names no commit of {spec.hub_id}")
    return OnTheHub(told.sha, str(getattr(told.card_data, "license", None) or ""))


def pull(spec: ModelSpec) -> Path:
    """Fetch the pinned files, with the hub library's progress bars, and compare them with the hub's checksums.

    Raises ModelUnavailable where the row is not pinned, the hub cannot be reached, or a file is not what it should be.
    """
    _must_be_pinned(spec)
    try:
        path = snapshot_download(spec.hub_id, revision=spec.revision, allow_patterns=[f"*{ending}" for ending in KEPT])
        checked = HfApi().verify_repo_checksums(spec.hub_id, revision=spec.revision)
    except Exception as error:  # its errors are those of whichever HTTP library it uses in this version
        raise _away(spec, error) from error
    if checked.mismatches:
        wrong = ", ".join(sorted(mismatch["path"] for mismatch in checked.mismatches))
        raise ModelUnavailable(f"model {spec.name!r}: damaged files in {path}: {wrong}; delete them and pull again")
    return Path(path)


def _must_be_pinned(spec: ModelSpec) -> None:
    if not is_pinned(spec):
        raise ModelUnavailable(
            f"model {spec.name!r}: the revision {spec.revision!r} is no commit; "
            f"`sightline models pin {spec.name}` asks the hub for it and writes it into the profile"
        )


def _away(spec: ModelSpec, error: Exception) -> ModelUnavailable:
    why = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else f"{type(error).__name__}: {error}"
    told = " ".join(why.split())[:300]
    return ModelUnavailable(f"model {spec.name!r}: the hub cannot be reached for {spec.hub_id} ({told})")


def _of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
