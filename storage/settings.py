"""Settings, read once by each process's composition root and handed on. The only file that knows the environment.

Order of precedence: arguments, `SIGHTLINE_*` variables, the TOML file that `SIGHTLINE_CONFIG` names, the defaults.
"""

import os
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from domain.errors import InvalidRequest
from domain.images import ImageLimits
from storage.sealing import parse_key

ANSWER_S = 20.0
"""How long PostgreSQL may take for one answer, and SQLite's lock to come free.

Twice what PostgreSQL waits for a lock, and a third of a lease: a worker whose line is dead has time to renew by another
one.
"""


class Settings(BaseSettings):
    """Everything that an installation may set."""

    model_config = SettingsConfigDict(env_prefix="SIGHTLINE_", env_nested_delimiter="__", extra="ignore", frozen=True)

    data: Path = Field(default=Path("sightline-data"), description="the folder of a one-machine installation")
    database_url: str = Field(default="", description="default: SQLite in DATA")
    database_answer_s: float = Field(default=ANSWER_S, ge=2, description="when the database counts as not answering")
    broker_url: str = Field(default="", description="redis:// or amqp://; `sightline up` brings its own by default")
    images_url: str = Field(default="", description="any fsspec URL; default: the folder DATA/images")
    models: str = Field(default="embedded", description="profile name or path of a models.toml")
    url: str = Field(default="http://127.0.0.1:8700", description="where the gateway is reached")
    key: SecretStr | None = Field(default=None, description="API key of the command; default: DATA/admin.key")
    queue_prefix: str = Field(default="", description="before every queue name, to share a broker")

    lease_seconds: float = Field(default=60.0, gt=0, description="how long a silent worker keeps its jobs")
    drain_seconds: float = Field(default=60.0, ge=0, description="how long SIGTERM waits for what runs")
    rering_seconds: float = Field(default=30.0, gt=0, description="when an unclaimed job is rung for again")
    job_threads: int = Field(default=8, ge=1, description="jobs that one worker runs at a time")
    memory_mb: int = Field(default=6144, ge=1, description="budget for models on the CPU")
    device_memory_mb: int | None = Field(
        default=None, ge=1, description="budget for models on each accelerator; default: 70 % of what it has"
    )
    call_limit_s: float | None = Field(default=None, gt=0, description="overrides every model's own limit")
    decode_limit_s: float = Field(default=60.0, gt=0, description="when a decode that still runs is taken for hung")
    job_limit_s: float = Field(default=900.0, gt=0, description="when a job that still runs is taken for hung")
    stall_limit_s: float = Field(default=120.0, gt=0, description="when a worker in which nothing moves is ended")
    process_memory_mb: int | None = Field(
        default=None, ge=1, description="a worker that holds more is ended; default: 90 % of the machine or container"
    )
    max_attempts: int = Field(default=5, ge=1)
    retry_delay_s: float = Field(default=1.0, ge=0)
    backlog_limit: int = Field(default=200_000, ge=1, description="waiting and running jobs of one tenant")
    image_limits: ImageLimits = Field(default_factory=ImageLimits)
    max_request_bytes: int = Field(default=256 * 1024 * 1024, gt=0)
    keep_unnamed_images_s: float = Field(default=86_400.0, ge=0, description="images that no job names")
    originals_key: SecretStr | None = Field(
        default=None, description="seals originals of patient data: 32 bytes in base64; default: DATA/originals.key"
    )
    keep_originals: bool = Field(default=False, description="keep originals, sealed, once their copies are stored")
    patient_characteristics: bool = Field(
        default=False, description="copies tell the patient's age (at most 90), sex, size and weight"
    )

    @field_validator("originals_key")
    @classmethod
    def _whole_key(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None:
            parse_key(key.get_secret_value())
        return key

    @model_validator(mode="after")
    def _places(self) -> Self:
        data = self.data.absolute()
        object.__setattr__(self, "data", data)
        if not self.database_url:
            object.__setattr__(self, "database_url", f"sqlite:///{data / 'sightline.db'}")
        if not self.images_url:
            object.__setattr__(self, "images_url", str(data / "images"))
        return self

    def doubts(self) -> list[str]:
        """Return what a worker should be warned of: settings that are sound each by itself, and not together."""
        found = []
        if self.database_answer_s > self.lease_seconds / 3:
            found.append(
                f"DATABASE_ANSWER_S ({self.database_answer_s:g}) is more than a third of LEASE_SECONDS"
                f" ({self.lease_seconds:g}): a worker whose line is dead may lose its lease before it has another"
            )
        if self.stall_limit_s <= self.lease_seconds:
            found.append(
                f"STALL_LIMIT_S ({self.stall_limit_s:g}) is not above LEASE_SECONDS ({self.lease_seconds:g}):"
                " a worker that was stopped for a while is ended although its lease holds"
            )
        return found

    @property
    def run_folder(self) -> Path:
        """Where processes leave their pid files and workers their notes."""
        return self.data / "run"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the TOML file behind the environment."""
        file = os.environ.get("SIGHTLINE_CONFIG")
        sources = (init_settings, env_settings)
        return (*sources, TomlConfigSettingsSource(settings_cls, Path(file))) if file else sources


def load_settings(**arguments: object) -> Settings:
    """Read the settings; arguments that are None count as not given.

    Raises InvalidRequest that names the setting and what is wrong with it.
    """
    file = os.environ.get("SIGHTLINE_CONFIG")
    if file and not Path(file).is_file():
        raise InvalidRequest(f"SIGHTLINE_CONFIG={file!r} is not a file")
    try:
        return Settings(**{name: value for name, value in arguments.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, told['loc']))}: {told['msg']}" for told in error.errors())
        raise InvalidRequest(f"settings: {said}") from error


def environment_for(settings: Settings, **changes: str) -> dict[str, str]:
    """Return the environment in which a child process finds the same settings, with some changed."""
    told = {
        "SIGHTLINE_DATA": str(settings.data),
        "SIGHTLINE_DATABASE_URL": settings.database_url,
        "SIGHTLINE_BROKER_URL": settings.broker_url,
        "SIGHTLINE_IMAGES_URL": settings.images_url,
        "SIGHTLINE_URL": settings.url,
    }
    return {**os.environ, **told, **changes}
