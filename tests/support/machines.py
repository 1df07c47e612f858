"""Another machine on the network, whose cable can be pulled: a network namespace. Packets are really dropped then."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

from tests.support.absent import absent


@dataclass(frozen=True)
class Machine:
    """A network namespace, and where it reaches this machine."""

    name: str
    cable: str
    host: str
    """this machine's address, as the other one sees it"""

    @property
    def before(self) -> tuple[str, ...]:
        """What goes before a command that is to run there."""
        return ("ip", "netns", "exec", self.name)

    def unplug(self) -> None:
        """Drop every packet, either way, and tell nobody."""
        _ip("link", "set", self.cable, "down")

    def plug(self) -> None:
        """Undo it."""
        _ip("link", "set", self.cable, "up")


@contextmanager
def another_machine() -> Iterator[Machine]:
    """A machine of its own network; see `absent` where the kernel lets nobody make one."""
    tag = uuid4().hex[:6]
    net = f"10.213.{int(tag[:2], 16)}"
    made = Machine(f"sl-{tag}", f"slh-{tag}", f"{net}.1")
    inside = f"sln-{tag}"
    try:
        _ip("netns", "add", made.name)
    except (OSError, subprocess.CalledProcessError) as error:
        absent(f"network namespaces cannot be made here: {error}")
    try:
        _ip("link", "add", made.cable, "type", "veth", "peer", "name", inside, "netns", made.name)
        _ip("address", "add", f"{made.host}/24", "dev", made.cable)
        _ip("link", "set", made.cable, "up")
        for told in (
            ("address", "add", f"{net}.2/24", "dev", inside),
            ("link", "set", inside, "up"),
            ("link", "set", "lo", "up"),
        ):
            _ip("-n", made.name, *told)
        yield made
    finally:
        _ip("netns", "delete", made.name)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=10)
