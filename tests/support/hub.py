"""A model hub on loopback that holds folders, and answers what the hub's library asks: a commit, files, checksums."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """Repositories by id, each a folder; what was asked for, and which files come damaged."""

    url: str
    repositories: dict[str, Path]
    licence: str = "apache-2.0"
    damaged: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    def environment(self, home: Path) -> dict[str, str]:
        """What a process needs to talk to it, and to keep what it fetches in that folder."""
        return {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}


@contextmanager
def hub(**repositories: Path) -> Iterator[Hub]:
    """Serve folders as `toys/NAME`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.hub = Hub(  # type: ignore[attr-defined]
        f"http://127.0.0.1:{server.server_port}", {f"toys/{name}": path for name, path in repositories.items()}
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.hub  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def hub(self) -> Hub:
        return self.server.hub  # type: ignore[attr-defined,no-any-return]

    def do_GET(self) -> None:
        """Answer."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """Answer without the body."""
        self._answer(body=False)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _answer(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        for name, folder in self.hub.repositories.items():
            if path.startswith(f"/api/models/{name}/tree/"):
                return self._send(json.dumps(list(map(_listed, _files(folder)))).encode(), "application/json", body)
            if path.startswith(f"/api/models/{name}"):
                return self._send(json.dumps(self._told(name, folder)).encode(), "application/json", body)
            if path.startswith(f"/{name}/resolve/{COMMIT}/"):
                file = folder / path.removeprefix(f"/{name}/resolve/{COMMIT}/")
                return self._send_file(file, body) if file.is_file() else self.send_error(404)
        return self.send_error(404)

    def _told(self, name: str, folder: Path) -> dict[str, Any]:
        siblings = [{"rfilename": file.name} for file in _files(folder)]
        return {"id": name, "sha": COMMIT, "siblings": siblings, "cardData": {"license": self.hub.licence}}

    def _send_file(self, file: Path, body: bool) -> None:
        data = file.read_bytes()
        if file.name in self.hub.damaged:
            data = data[:-1] + bytes([data[-1] ^ 1])
        self._send(data, "application/octet-stream", body, ETag=f'"{_oid(file)}"', **{"X-Repo-Commit": COMMIT})

    def _send(self, data: bytes, kind: str, body: bool, **headers: str) -> None:
        self.send_response(200)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(data)


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.is_file())


def _listed(file: Path) -> dict[str, Any]:
    return {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": _oid(file)}


def _oid(file: Path) -> str:
    """Return the name that git gives a file's content."""
    data = file.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
