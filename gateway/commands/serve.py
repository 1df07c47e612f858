"""`sightline serve`: the gateway as a process."""

import signal
import sys
from types import FrameType
from typing import Annotated

import typer

from gateway.commands.options import Data
from storage.processes import log_as_json, process
from storage.settings import load_settings

DRAIN_S = 10


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free one.")] = 8700,
    data: Data = None,
) -> None:
    """Run the gateway: HTTP and the event feed. Needs no torch."""
    settings = load_settings(data=data)
    with process("serve", settings.run_folder, f"{host}:{port}"):
        log_as_json()
        # uvicorn ends in order on a signal and then raises it again; unhandled, it would skip what follows here.
        signal.signal(signal.SIGTERM, _end)
        import uvicorn  # after the process has its title: this and FastAPI take half a second

        from gateway.api.app import create_app
        from gateway.api.limits import MAX_HEAD_BYTES
        from gateway.connections import Connection

        uvicorn.run(
            create_app(settings),
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            server_header=False,
            http=Connection,
            ws="none",
            h11_max_incomplete_event_size=MAX_HEAD_BYTES,
            timeout_graceful_shutdown=DRAIN_S,
        )


def _end(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)
