"""How long the gateway takes to answer, asked by a client in a process of its own, over one connection.

    python -m tests.measurements.api_latency --rounds 80 --at URL KEY SHA256 [--at URL KEY SHA256 ...]

A round asks each gateway for each thing in turn, so that whatever else the machine does falls on all of them. SHA256 is
a stored image of the key's tenant, to submit. Prints JSON: for each gateway and request, milliseconds until the
whole answer was there: the median, the 95th percentile, the largest, and each.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from statistics import median, quantiles
from typing import Any

import httpx

KINDS = ("submit", "get", "list", "list queued", "metrics", "readyz")
PAUSE_S = 0.01
"""between two requests: what is measured is an answer, not how much one client can ask"""


class Asker:
    """Asks one gateway."""

    def __init__(self, url: str, key: str, sha256: str) -> None:
        # A proxy of the environment has no business on the loopback.
        self._client = httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30, trust_env=False
        )
        self._request = {"application": "inspection", "images": [sha256], "lane": "bulk"}
        self._job = ""
        self.took: dict[str, list[float]] = {kind: [] for kind in KINDS}

    def ask(self, kind: str) -> None:
        """Send one request and note how long its answer took; a refusal ends the measurement."""
        begun = time.perf_counter()
        answer = self._send(kind)
        self.took[kind].append((time.perf_counter() - begun) * 1000)
        answer.raise_for_status()
        if kind == "submit":
            self._job = answer.json()["id"]

    def _send(self, kind: str) -> httpx.Response:
        if kind == "submit":
            return self._client.post("/v1/jobs", json=self._request)
        paths = {"get": f"/v1/jobs/{self._job}", "list": "/v1/jobs", "list queued": "/v1/jobs?state=queued"}
        return self._client.get(paths.get(kind, f"/{kind}"))


def summary(took: Sequence[float]) -> dict[str, Any]:
    """Return the median, the 95th percentile and the largest, and all of them."""
    return {
        "p50": round(median(took), 1),
        "p95": round(quantiles(took, n=20)[-1], 1),
        "max": round(max(took), 1),
        "n": len(took),
        "all": [round(ms, 1) for ms in took],
    }


def main(arguments: Sequence[str]) -> None:
    """Ask, then tell."""
    parser = argparse.ArgumentParser(description="time the gateway's answers")
    parser.add_argument("--rounds", type=int, default=80)
    parser.add_argument("--at", nargs=3, action="append", metavar=("URL", "KEY", "SHA256"), required=True)
    told = parser.parse_args(arguments)
    askers = [Asker(*at) for at in told.at]
    for _ in range(told.rounds):
        for kind in KINDS:
            for asker in askers:
                asker.ask(kind)
                time.sleep(PAUSE_S)
    print(json.dumps([{kind: summary(took) for kind, took in asker.took.items()} for asker in askers]))


if __name__ == "__main__":
    main(sys.argv[1:])
