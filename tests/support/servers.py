"""Servers of a test's own, from the installed binaries, on free ports: to be killed, stopped and started again."""

import os
import shutil
import signal
import subprocess
import weakref
from pathlib import Path
from tempfile import mkdtemp

import psycopg

from tests.support.absent import absent
from tests.support.waiting import eventually, wait_for_port
from workers.supervisor import free_port


def _binary(name: str, *folders: Path) -> str:
    found = shutil.which(name, path=os.pathsep.join([*map(str, folders), os.environ.get("PATH", "")]))
    return found or absent(f"{name} is not installed")


class PrivateRedis:
    """A redis-server of its own. With `durable` it keeps every command on disk (appendfsync always)."""

    def __init__(self, folder: Path, *, durable: bool = False, **options: str) -> None:
        self._binary, self.port = _binary("redis-server"), free_port()
        told = {"port": str(self.port), "bind": "127.0.0.1", "save": "", "dir": str(folder), **options}
        if durable:
            told |= {"appendonly": "yes", "appendfsync": "always"}
        self._arguments = [word for name, value in told.items() for word in (f"--{name}", value)]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; without `durable` there is nothing in it."""
        self.process = subprocess.Popen([self._binary, *self._arguments], stdout=subprocess.DEVNULL)
        wait_for_port(self.port)

    def kill(self) -> None:
        """Kill it with all it holds in memory."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)


class PrivateRabbitMQ:
    """A RabbitMQ node of its own. Starting takes some seconds."""

    def __init__(self, folder: Path) -> None:
        # Debian's scripts under /usr/sbin change to the user and the folders of the one server that it installs.
        self._server, self._control = (
            _binary(name, Path("/usr/lib/rabbitmq/bin")) for name in ("rabbitmq-server", "rabbitmqctl")
        )
        self.port, dist = free_port(), free_port()
        self.node = f"sightline-{self.port}@localhost"
        home = folder / "rabbitmq"
        home.mkdir(mode=0o777)
        self._environment = {
            **os.environ,
            "HOME": str(home),  # where the node's cookie lies
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(dist),
            "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
            "RABBITMQ_PID_FILE": str(home / "pid"),
            "RABBITMQ_CONFIG_FILE": str(home / "none"),
        }
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it takes connections. What was durable is still there."""
        # A group of its own: the script's Erlang machine is a grandchild.
        self._process = subprocess.Popen(
            [self._server], env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0
        )
        wait_for_port(self.port, 60)
        self.control("await_startup")

    def control(self, *arguments: str) -> None:
        """Run an administrative command."""
        command = [self._control, "-q", "-n", self.node, *arguments]
        subprocess.run(command, env=self._environment, check=True, capture_output=True, timeout=60)

    def kill(self) -> None:
        """Kill it, and wait until its port and its name are free again."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)
            eventually(lambda: not self._alive(), 10, "the node has ended")

    def _alive(self) -> bool:
        try:
            self.control("ping")
        except subprocess.CalledProcessError:
            return False
        return True


class PrivatePostgreSQL:
    """A PostgreSQL cluster of its own, in one folder, with the database `sightline`, not migrated."""

    def __init__(self, folder: Path | None = None, **options: str) -> None:
        places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
        self._bin = Path(_binary("initdb", *places)).parent
        home = folder or Path(mkdtemp(prefix="sightline-postgresql-"))
        if folder is None:
            # PostgreSQL refuses to run as root, and pytest closes its own folder to other users again whenever another
            # session starts on this machine: so a server that is started again must not lie there.
            weakref.finalize(self, shutil.rmtree, home, ignore_errors=True)
        self._data, self.port = home / "postgresql", free_port()
        self._data.mkdir()
        self._options = {"port": str(self.port), "listen_addresses": "127.0.0.1", "fsync": "off", **options}
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/sightline"
        self._as = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self._as:
            for above in (self._data, *self._data.parents):
                if above.stat().st_uid == 0 and not above.stat().st_mode & 0o001:
                    above.chmod(above.stat().st_mode | 0o011)
            shutil.chown(self._data, "postgres")
        self._run("initdb", "-D", str(self._data), "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8")
        self.start()
        with psycopg.connect(self.url.replace("/sightline", "/postgres"), autocommit=True) as connection:
            connection.execute("CREATE DATABASE sightline")

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        options = " ".join(f"-c {name}={value}" for name, value in self._options.items())
        told = f"{options} -c unix_socket_directories={self._data}"
        self._run("pg_ctl", "-D", str(self._data), "-o", told, "-l", str(self._data / "log"), "-w", "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop it: `immediate` is a crash, `fast` ends sessions in order."""
        self._run("pg_ctl", "-D", str(self._data), "-m", mode, "-w", "stop", check=False)

    def signal_all(self, number: int) -> None:
        """Send a signal to the postmaster and all its children, such as SIGSTOP."""
        postmaster = int((self._data / "postmaster.pid").read_text().splitlines()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        for pid in [postmaster, *map(int, children)]:
            os.kill(pid, number)

    def _run(self, command: str, *arguments: str, check: bool = True) -> None:
        told = [*self._as, str(self._bin / command), *arguments]
        done = subprocess.run(
            told, capture_output=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60
        )
        if check and done.returncode:
            log = self._data / "log"
            raise AssertionError(f"{command} ended with {done.returncode}: {log.read_text() if log.exists() else ''}")
