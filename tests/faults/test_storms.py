"""Many faults at once, in an order that a seed gives. `SIGHTLINE_STORM_SEED` and `…_SECONDS` ask for another storm."""

import os
import random
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import PAIRS
from tests.support.invariant import invariant
from tests.support.outages import a_line_to
from tests.support.proxy import Proxy
from tests.support.storm import Storm
from tests.support.system import system

pytestmark = [pytest.mark.service, pytest.mark.fault, pytest.mark.timeout(240)]

SEED = int(os.environ.get("SIGHTLINE_STORM_SEED", "1"))
SECONDS = float(os.environ.get("SIGHTLINE_STORM_SECONDS", "12"))
CALM_S = 90.0
"""Lease, re-ring and the clients' own limits one after the other, then the suspects, each alone."""


@pytest.mark.parametrize(("database", "broker"), PAIRS, ids=["-".join(pair) for pair in PAIRS])
def test_faults_in_any_order_lose_nothing_and_double_nothing(
    database: str, broker: str, request: pytest.FixtureRequest, tmp_path: Path, recovery: Callable[[float], None]
) -> None:
    url: str = request.getfixturevalue(f"{database}_url")
    port = urlsplit(url).port or 5432
    line_to_database = Proxy(port) if database == "postgresql" else None
    with a_line_to(broker, tmp_path) as line, system(url, line.through.url, tmp_path, line.through.prefix) as one:
        if line_to_database is not None:
            one.extra["SIGHTLINE_DATABASE_URL"] = url.replace(f":{port}/", f":{line_to_database.port}/")
        storm = Storm(one, line, line_to_database, random.Random(SEED))

        storm.blow(SECONDS)
        recovery(storm.calm(CALM_S))

        invariant(one, storm.submitted)
    if line_to_database is not None:
        line_to_database.close()
