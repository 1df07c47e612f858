"""The broker of a one-machine installation, on loopback, keeping nothing on disk.

A private `redis-server` where there is one, otherwise a stand-in in this process that speaks its protocol. Either may
be lost with all its messages: the database rings again for what it forgets.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fakeredis import TcpFakeServer
from fakeredis._clients._tcp_server import TCPFakeRequestHandler
from redis.exceptions import ResponseError

from storage.processes import log_as_json, process


def run_broker(folder: Path, port: int, *, stand_in: bool) -> None:
    """Serve until a signal comes."""
    log_as_json()
    server = None if stand_in else shutil.which("redis-server")
    with process("broker", folder, f"127.0.0.1:{port}", becomes_another=server is not None):
        if server is not None:
            # The same process from now on, so the pid file stays true.
            os.execv(server, [server, *_redis_arguments(port)])  # noqa: S606  (its path was looked up, no shell)
        with TcpFakeServer(("127.0.0.1", port), server_type="redis") as fake:
            fake.RequestHandlerClass = AnswersErrors
            fake.daemon_threads = True
            fake.serve_forever()


class AnswersErrors(TCPFakeRequestHandler):
    """Tells a client of its error and goes on.

    fakeredis 2.40.0 closes the connection after an error. Every client meets one: EVALSHA of a script that is not there
    yet is an error on a real server too, to which the client answers with EVAL on the same connection.
    """

    def setup(self) -> None:
        """Let errors be answers."""
        super().setup()
        client: Any = self.current_client
        client.read_response = _errors_as_answers(client.read_response)


def _errors_as_answers(read: Callable[..., Any]) -> Callable[..., Any]:
    def answer(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401  (whatever a server answers)
        try:
            return read(*arguments, **named)
        except ResponseError as error:
            return error

    return answer


def _redis_arguments(port: int) -> list[str]:
    told = {
        "bind": "127.0.0.1",
        "port": str(port),
        "save": "",
        "appendonly": "no",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "loglevel": "warning",
        "proc-title-template": "sightline broker {listen-addr}",
    }
    return [argument for name, value in told.items() for argument in (f"--{name}", value)]
