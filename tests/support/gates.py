"""Gates at which a drill stops, so that a test knows where a worker stands when it pulls the plug."""

from dataclasses import dataclass
from pathlib import Path

from tests.support.waiting import eventually


@dataclass(frozen=True)
class Gates:
    """`load`: while a model is loaded. `prepare`: claimed and decoded, before the model call. `run`: on the device."""

    folder: Path

    def hold(self, name: str) -> None:
        """Let whoever comes wait."""
        (self.folder / f"hold-{name}").touch()

    def reached(self, name: str, within_s: float = 15.0) -> None:
        """Wait until somebody stands at the gate."""
        eventually((self.folder / f"at-{name}").exists, within_s, f"somebody stands at the gate {name!r}")

    def open(self, name: str) -> None:
        """Let everybody pass."""
        (self.folder / f"hold-{name}").unlink()
        (self.folder / f"at-{name}").unlink(missing_ok=True)
