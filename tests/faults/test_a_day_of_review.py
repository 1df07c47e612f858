"""A day of a small platform: 200 mixed jobs, three reviewers at once, all killed and started again at noon."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select

from domain.access import Scope
from domain.audit import Action, Actor
from domain.jobs import JobState
from storage import audit, configurations
from storage.configurations import Name
from storage.keys import create
from storage.review_tables import review_decisions, reviews
from storage.session import read, write
from storage.tables import jobs, results
from tests.support.drill import QUICK
from tests.support.invariant import needs
from tests.support.pairings import REDIS, on
from tests.support.system import TENANT, System, picture
from tests.support.waiting import eventually, wait_for_port
from workers.supervisor import free_port

pytestmark = [pytest.mark.service, pytest.mark.fault]

JOBS = 200
REVIEWERS = ("ann", "bob", "eve")
POLICY = {
    "labels": {
        "pit": {
            "title": "a pit",
            "action": "flag",
            "thresholds": {"review": 0.5, "act": 0.95},
            "signals": [{"kind": "detect", "classes": ["pit"]}],
        },
        "offer": {
            "title": "an offer",
            "action": "block",
            "thresholds": {"review": 0.5, "act": 0.8},
            "signals": [{"kind": "text", "where": ["post"], "phrases": ["free pills"]}],
        },
        "link": {
            "title": "a link",
            "action": "escalate",
            "thresholds": {"review": 0.5, "act": 0.8},
            "signals": [{"kind": "text", "where": ["post"], "contacts": ["link"]}],
        },
    }
}
"""The drill sees a pit of 0.9 in every picture: in doubt, unless the post says something worse."""
CAREFUL = {"name": "careful", "classes": ["pit"], "min_score": 0.95, "review_score": 0.5}
"""A recipe to which the same pit is in doubt."""
POSTS = ("", "fr€€ p1lls for all", "see shop.example/a")


def requests() -> Iterator[tuple[dict[str, Any], bytes]]:
    """Yield the day's jobs: inspections by two recipes, moderations of three kinds of posts."""
    for at in range(JOBS):
        if at % 2:
            params = {"policy": "house", "text": POSTS[at // 2 % 3]}
            yield {"application": "moderation", "params": params}, picture(QUICK, at)
        else:
            params = {"recipe": CAREFUL} if at % 4 else {}
            yield {"application": "inspection", "params": params}, picture(QUICK, at)


class Day:
    """The installation, its gateway's address, and what the reviewers were told that they had decided."""

    def __init__(self, one: System) -> None:
        self.one, self.port = one, free_port()
        self.decided: list[tuple[str, str]] = []
        self.over = threading.Event()

    def open(self) -> None:
        """Start everything."""
        self.one.start("serve", "--port", str(self.port))
        wait_for_port(self.port)
        self.one.start("dispatch")
        self.one.start("worker")

    def kill(self) -> None:
        """Take the power away from every process at once."""
        for process in self.one.processes:
            process.kill()
        for process in self.one.processes:
            process.wait(10)

    def client(self, name: str, *scopes: Scope) -> httpx.Client:
        key = write(self.one.engine, create, TENANT, name, scopes).key
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", headers={"Authorization": f"Bearer {key}"}, timeout=30
        )

    def review(self, name: str) -> None:
        """Claim and decide until the day is over and nothing waits any more; a call that fails is made good later."""
        random = Random(name)
        with self.client(name, Scope.REVIEW) as client:
            while True:
                try:
                    item = client.post("/v1/reviews:next", json={"seconds": 3})
                    if item.status_code == 204 and self.over.is_set():
                        return
                    if item.status_code == 200:
                        self._decide(client, name, item.json(), random)
                except httpx.HTTPError:
                    threading.Event().wait(0.1)

    def _decide(self, client: httpx.Client, name: str, item: dict[str, Any], random: Random) -> None:
        told = {"verb": random.choice(["approve", "reject"]), "reason": "looked-at", "claim": item["claim"]}
        answer = client.post(f"/v1/reviews/{item['id']}/decide", json=told)
        if answer.status_code == 200:
            self.decided.append((item["id"], name))

    def submit(self, client: httpx.Client, at: int, request: dict[str, Any], data: bytes) -> UUID:
        """Hand a job in until it is accepted, under a key that makes it one job however often it is sent."""
        while True:
            try:
                answer = client.post(
                    "/v1/jobs",
                    data={"request": json.dumps(request)},
                    files=[("images", ("a.png", data, "image/png"))],
                    headers={"Idempotency-Key": f"job-{at}"},
                )
                if answer.status_code < 500:
                    assert answer.status_code in {200, 202}, answer.text
                    return UUID(answer.json()["id"])
            except httpx.HTTPError:
                threading.Event().wait(0.1)


@on(REDIS)
@pytest.mark.timeout(240)
def test_a_day_of_three_reviewers_loses_nothing_and_decides_nothing_twice(one: System) -> None:
    # given a policy, and three reviewers who begin with the day
    house = Name(tenant=TENANT, application="moderation", kind="policy", name="house")
    write(one.engine, configurations.add, house, POLICY, Actor(name="ann", tenant=TENANT), "")
    write(one.engine, configurations.activate, house, 1, Actor(name="ann", tenant=TENANT), "agreed on")
    day = Day(one)
    day.open()
    people = [threading.Thread(target=day.review, args=(name,), daemon=True) for name in REVIEWERS]
    for person in people:
        person.start()

    # when 200 jobs come in, and all processes are killed in the middle of it
    submitted = []
    with day.client("producer", Scope.SUBMIT, Scope.READ) as producer:
        for at, (request, data) in enumerate(requests()):
            if at == JOBS // 2:
                day.kill()
                day.open()
            submitted.append(day.submit(producer, at, request, data))
    one.wait_for_the_end(90)
    day.over.set()
    for person in people:
        person.join(60)
        assert not person.is_alive()

    # then every job has its one end, and every result that asks for a person one item, decided once
    rows = {row.id: row for row in read(one.engine, lambda connection: connection.execute(select(jobs)).all())}
    assert set(rows) == set(submitted)
    assert {row.state for row in rows.values()} == {JobState.SUCCEEDED}
    bodies = read(one.engine, lambda c: dict(c.execute(select(results.c.job_id, results.c.body)).all()))
    items = {row.id: row for row in read(one.engine, lambda connection: connection.execute(select(reviews)).all())}
    wanted = {job_id for job_id, body in bodies.items() if needs(rows[job_id].application, body)}
    assert Counter(row.job_id for row in items.values()) == Counter(wanted)
    assert {row.queue for row in items.values()} == {"undecided", "grey-band", "escalated"}
    taken = read(one.engine, lambda connection: connection.execute(select(review_decisions)).all())
    assert Counter(row.review_id for row in taken) == Counter(items.keys())
    # and what each reviewer was told stands as they were told it
    by_item = {str(row.review_id): row.reviewer_name for row in taken}
    assert all(by_item[item] == name for item, name in day.decided)
    assert len(day.decided) >= len(items) - len(REVIEWERS), "at noon each may have missed the answer to one"
    found = read(one.engine, audit.verify)
    assert found.breaks == []
    decided = [row for row in read(one.engine, audit.entries) if row.action == Action.REVIEW_DECIDED]
    assert len(decided) == len(items)
    eventually(lambda: not [row for row in items.values() if row.decided_at is None], 1, "nothing waits")
