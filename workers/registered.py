"""Where the revisions of trained models lie, and what a profile's row means that names one.

`source = "registered:NAME"` with `revision = "promoted"` is whichever revision is promoted when it is asked; with a
revision's own `sha256:…` it is that one.
"""

from collections.abc import Callable
from pathlib import Path

from domain.errors import InvalidRequest, ModelUnavailable
from storage.promotions import PROMOTED, current
from storage.revisions import Revision
from storage.session import Engine, read
from workers.registry import ModelSpec


def home(data: Path, name: str, revision: str) -> Path:
    """Return the folder of a revision."""
    return data / "models" / name / revision.removeprefix("sha256:")


def checkpoint(folder: Path) -> Path:
    """Return what a family loads of a revision's folder: its only .pt file, or else itself.

    Raises InvalidRequest where it holds neither one .pt file nor safetensors.
    """
    files = sorted(folder.glob("*.pt"))
    whole = any(folder.rglob("*.safetensors"))
    if len(files) + whole != 1:
        raise InvalidRequest(f"{folder} is to hold one .pt file, or a checkpoint in safetensors; it holds {len(files)}")
    return files[0] if files else folder


def row_of(revision: Revision, data: Path) -> ModelSpec:
    """Return a row that serves this revision, for where no profile names it, as in an evaluation.

    Raises ModelUnavailable where its files are not on this machine.
    """
    facts = revision.facts
    row = ModelSpec(
        name=revision.name,
        family=facts.family,
        capabilities=facts.capabilities,
        source=f"registered:{revision.name}",
        revision=revision.revision,
        licence=facts.licence,
        options=facts.options,
    )
    return located(row, data, lambda name: None)


def located(spec: ModelSpec, data: Path, promoted: Callable[[str], str | None]) -> ModelSpec:
    """Return a row with the files and the revision that it means now; any other row as it is.

    `promoted` tells the revision that is promoted of a name. Raises ModelUnavailable, with what to do, where none is,
    or its files are not on this machine.
    """
    name = spec.registered
    if not name:
        return spec
    revision = promoted(name) if spec.revision == PROMOTED else spec.revision
    if revision is None:
        raise ModelUnavailable(
            f"model {spec.name!r}: no revision of {name!r} is promoted; `sightline models revisions {name}` shows "
            f"what there is, `sightline models promote {name} REVISION` has one served"
        )
    folder = home(data, name, revision)
    if not folder.is_dir():
        raise ModelUnavailable(
            f"model {spec.name!r}: revision {revision} of {name!r} is not on this machine; copy {folder} to it"
        )
    return spec.model_copy(update={"source": str(checkpoint(folder)), "revision": revision})


def locating(engine: Engine, data: Path) -> Callable[[ModelSpec], ModelSpec]:
    """Return what tells the files and the revision that a row means, by what is promoted when it is asked."""

    def promoted(name: str) -> str | None:
        return read(engine, current, [name]).get(name)

    return lambda spec: located(spec, data, promoted)
