"""models.toml -> ModelSpec: which models there are, and which of them answers for a capability.

A profile is a TOML file. The ones that ship lie in `workers/profiles/`; `SIGHTLINE_MODELS` takes such a name or a path.
Reading a profile loads no model and no heavy library.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from domain.errors import InvalidRequest
from domain.vision import Capability

PROFILES = Path(__file__).parent / "profiles"
EMBEDDED = Path(__file__).parent / "embedded"


class ModelSpec(BaseModel):
    """One model, as a profile names it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern="^[a-z0-9][a-z0-9._-]{0,63}$")
    family: str = Field(
        pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$",
        description="a module of workers/models/, or the dotted path of a family of your own",
    )
    capabilities: tuple[Capability, ...] = Field(min_length=1)
    source: str = Field(
        description="embedded:NAME, registered:NAME, package:NAME, hub:OWNER/NAME, a URL, or a folder or file"
    )
    revision: str = Field(
        min_length=1,
        description="what pins the weights: the hub's commit, `sha256:` of the files, or `promoted` of registered ones",
    )
    licence: str = Field(min_length=1)
    licence_from: str = Field(default="", description="where the licence was read")
    reason: str = Field(default="", description="why this model")
    memory_mb: Annotated[int, Field(ge=0)] = Field(default=0, description="estimated; what it really took is measured")
    enabled: bool = Field(default=True, description="false: an example, listed and never loaded")
    device: str = "auto"
    dtype: str = "float32"
    max_batch: Annotated[int, Field(ge=1)] = 8
    max_pixels: Annotated[int, Field(ge=1)] = 32_000_000
    max_tokens: Annotated[int, Field(ge=1)] = 32_768
    max_wait_ms: Annotated[float, Field(ge=0)] = 8.0
    call_limit_s: Annotated[float, Field(gt=0)] = 120.0
    options: Mapping[str, Any] = Field(default_factory=dict)

    @property
    def hub_id(self) -> str:
        """OWNER/NAME of a hub's repository; empty for every other source."""
        return self.source.removeprefix("hub:") if self.source.startswith("hub:") else ""

    @property
    def registered(self) -> str:
        """NAME of a model that was trained here; empty for every other source."""
        return self.source.removeprefix("registered:") if self.source.startswith("registered:") else ""

    @property
    def path(self) -> Path:
        """The file or folder of an `embedded:` or local source."""
        kind, _, rest = self.source.partition(":")
        return EMBEDDED / rest if kind == "embedded" else Path(self.source)

    @property
    def checkpoints(self) -> Mapping[str, "ModelSpec"]:
        """All that loading it takes: itself under an empty name, and what options name, each under the option's.

        Such an option is a table with a `source` and a `revision` of its own, as a detector is that another model
        stands on.
        """
        tables = {name: told for name, told in self.options.items() if isinstance(told, Mapping) and "source" in told}
        others = {
            name: {"source": str(told["source"]), "revision": str(told.get("revision", "unpinned")), "options": {}}
            for name, told in tables.items()
        }
        return {"": self, **{name: self.model_copy(update=told) for name, told in others.items()}}


class Profile(BaseModel):
    """The models of an installation and the default for each capability."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: tuple[ModelSpec, ...]
    defaults: Mapping[Capability, str] = Field(default_factory=dict)
    preload: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [spec.name for spec in self.models]
        if len(names) != len(set(names)):
            raise ValueError(f"each model needs a name of its own: {names}")
        for capability, name in self.defaults.items():
            spec = next((spec for spec in self.models if spec.name == name and spec.enabled), None)
            if spec is None or capability not in spec.capabilities:
                raise ValueError(f"the default for {capability} is {name!r}, which is no model that can {capability}")
        unknown = set(self.preload) - {spec.name for spec in self.models if spec.enabled}
        if unknown:
            raise ValueError(f"preload names unknown models: {sorted(unknown)}")
        return self


@dataclass(frozen=True)
class Registry:
    """A profile, looked up by name and by capability."""

    profile: Profile

    @property
    def registered(self) -> tuple[ModelSpec, ...]:
        """The models that are served by a revision that was trained here."""
        return tuple(spec for spec in self.profile.models if spec.registered and spec.enabled)

    def find(self, capability: Capability, name: str | None = None) -> ModelSpec | None:
        """Return the model of that name, or the default for the capability; None where none is configured.

        Raises InvalidRequest where a named model does not exist or cannot do it.
        """
        wanted = name or self.profile.defaults.get(capability)
        if wanted is None:
            return None
        for spec in self.profile.models:
            if spec.name == wanted and spec.enabled and capability in spec.capabilities:
                return spec
        raise InvalidRequest(f"no model named {wanted!r} can {capability}; `sightline models list` shows what there is")


def load_profile(name_or_path: str, *, call_limit_s: float | None = None) -> Registry:
    """Read a profile by its shipped name (`embedded`) or by path; `call_limit_s` overrides every model's own.

    Raises InvalidRequest that names the file and the field.
    """
    shipped = PROFILES / f"{name_or_path}.toml"
    path = shipped if shipped.is_file() else Path(name_or_path)
    if not path.is_file():
        known = sorted(file.stem for file in PROFILES.glob("*.toml"))
        raise InvalidRequest(f"SIGHTLINE_MODELS={name_or_path!r} is neither a shipped profile {known} nor a file")
    try:
        profile = Profile.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise InvalidRequest(f"{path}: {error}") from error
    if call_limit_s is not None:
        limited = tuple(spec.model_copy(update={"call_limit_s": call_limit_s}) for spec in profile.models)
        profile = profile.model_copy(update={"models": limited})
    return Registry(profile)
