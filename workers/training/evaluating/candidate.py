"""From what a command names to the model that is meant: a row of the profile, a registered revision, or a file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from domain.errors import InvalidRequest, NotFound
from domain.vision import Capability
from storage import promotions, revisions
from storage.revisions import Facts, Revision
from storage.session import read
from storage.settings import Settings
from workers.database import database
from workers.hub import RECORD, digest
from workers.registered import checkpoint, row_of
from workers.registry import ModelSpec, load_profile
from workers.training.registering import DIGITS

CAPABILITIES: Mapping[str, tuple[Capability, ...]] = {
    "yolo": (Capability.DETECT,),
    "detection": (Capability.DETECT,),
    "grounding": (Capability.GROUND,),
    "dual_encoder": (Capability.CLASSIFY,),
    "chat_vlm": (Capability.ASK, Capability.CAPTION, Capability.DRAFT),
    "vqa_head": (Capability.ASK,),
    "text_recognition": (Capability.READ,),
    "seq2seq": (Capability.TRANSLATE,),
}
"""What a checkpoint of each family is asked, where it comes without a row or a record that says so."""
WEIGHTS = (RECORD, "*.pt", "*.safetensors", "config.json")
"""One of these makes a folder one of weights."""
UNKNOWN_LICENCE = "not stated: weights from a file"


@dataclass(frozen=True)
class Candidate:
    """A model to be judged: the row that loads it, and the registered revision that it is, if it is one."""

    name: str
    spec: ModelSpec
    registered: Revision | None = None


def candidate(named: str, settings: Settings, family: str | None = None) -> Candidate:
    """Find the model that `named` means: `NAME` of a row or a training, `NAME@REVISION`, or a path of weights.

    A name that no row has, and whose training no revision is promoted of, means its newest one. Raises InvalidRequest,
    NotFound or ModelUnavailable with what there is instead.
    """
    path = weights(named, settings)
    if path is not None:
        return _of_path(path, family)
    if family is not None:
        raise InvalidRequest(
            f"--family says what a file or folder of weights is, and {named} is none; where a model is called so too, "
            f"write ./{named}"
        )
    name, _, wanted = named.partition("@")
    rows = {spec.name: spec for spec in load_profile(settings.models).profile.models}
    row = rows.get(name)
    if row is not None and not row.registered:
        return Candidate(name, _unchanged(row, wanted))
    revision = _revision(settings, name if row is None else row.registered, wanted, known=sorted(rows))
    served = row_of(revision, settings.data)
    if row is not None:
        served = row.model_copy(update={"source": served.source, "revision": served.revision})
    return Candidate(name, served, revision)


def weights(named: str, settings: Settings) -> Path | None:
    """Return the path of weights that `named` means; None where it means none.

    A row of the profile or a training of that name goes before what lies in the working directory: only with a `/` in
    it, or as a file that ends as weights do, it is a path for sure.
    """
    path = Path(named)
    if not path.exists() or "/" in named or (path.is_file() and path.suffix in {".pt", ".safetensors"}):
        return path if path.exists() else None
    holds = path.is_file() or any(next(path.glob(pattern), None) for pattern in WEIGHTS)
    return path if holds and not _known(named, settings) else None


def _known(name: str, settings: Settings) -> bool:
    if any(spec.name == name for spec in load_profile(settings.models).profile.models):
        return True
    with database(settings) as engine:
        return bool(read(engine, revisions.listing, name))


def _unchanged(row: ModelSpec, wanted: str) -> ModelSpec:
    if not row.revision.removeprefix("sha256:").startswith(wanted.removeprefix("sha256:")):
        raise InvalidRequest(f"the profile has {row.name} at {row.revision}, and no revision {wanted!r} is registered")
    return row


def _revision(settings: Settings, name: str, wanted: str, known: list[str]) -> Revision:
    with database(settings) as engine:
        if wanted:
            return read(engine, promotions.named, name, wanted)
        promoted = read(engine, promotions.current, [name]).get(name)
        if promoted is not None:
            return read(engine, revisions.exactly, name, promoted)
        found = read(engine, revisions.listing, name)
    if not found:
        raise NotFound(f"{name!r} is no file of weights, no model of the profile ({', '.join(known)}), and no training")
    return found[0]


def _of_path(path: Path, family: str | None) -> Candidate:
    """Return weights in a file or a folder; a folder of a registered revision says itself what it is."""
    files = checkpoint(path) if path.is_dir() else path
    revision = digest(files)[: len("sha256:") + DIGITS]
    if (path / RECORD).is_file():
        facts = _facts(path / RECORD)
        told = {"family": facts.family, "capabilities": facts.capabilities, "licence": facts.licence}
        return Candidate(str(path), _spec(files, revision, {**told, "options": facts.options}))
    family = family or ("yolo" if files.suffix == ".pt" else "")
    if family not in CAPABILITIES:
        raise InvalidRequest(f"{path}: say what it is with --family: {', '.join(CAPABILITIES)}")
    kind = {"family": family, "capabilities": CAPABILITIES[family], "licence": UNKNOWN_LICENCE}
    return Candidate(str(path), _spec(files, revision, kind))


def _spec(files: Path, revision: str, told: Mapping[str, object]) -> ModelSpec:
    return ModelSpec.model_validate({"name": "candidate", "source": str(files), "revision": revision, **told})


def _facts(record: Path) -> Facts:
    try:
        return Facts.model_validate_json(record.read_bytes())
    except ValidationError as error:
        raise InvalidRequest(f"{record} is no record of a revision: {error}") from error
