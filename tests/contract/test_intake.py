"""The Celery producer: an upstream system that sends `sightline.submit`, on every broker."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from celery import Celery
from kombu import Exchange, Queue
from sqlalchemy import select

from domain.jobs import JobState
from storage.jobs import JobView, latest
from storage.session import read, write
from storage.tables import events
from storage.tenants import configure
from tests.support.drill import QUICK
from tests.support.invariant import invariant
from tests.support.system import TENANT, System
from tests.support.waiting import eventually
from workers.intake import take_in

pytestmark = pytest.mark.service


@contextmanager
def upstream(one: System) -> Iterator[Celery]:
    """A producer that knows no more of Sightline than the task's name and the queue's."""
    prefix = one.settings.queue_prefix
    app = Celery("mes", broker=one.settings.broker_url, set_as_current=False)
    app.conf.broker_transport_options = (
        {} if one.settings.broker_url.startswith("amqp") else {"global_keyprefix": prefix}
    )
    name = f"{prefix}intake.{TENANT}"
    app.conf.task_queues = [Queue(name, Exchange(f"{prefix}sightline", type="direct"), name, no_declare=True)]
    yield app
    app.close()


def send(app: Celery, **message: object) -> None:
    app.send_task("sightline.submit", kwargs=message, queue=app.conf.task_queues[0].name, ignore_result=True)


def kept(one: System, key: str) -> list[JobView]:
    return read(one.engine, latest, TENANT, idempotency_key=key)


def rejections(one: System) -> list[dict[str, object]]:
    query = select(events.c.body).where(events.c.type == "intake.rejected").order_by(events.c.id)
    return read(one.engine, lambda connection: list(connection.execute(query).scalars()))


def test_a_producers_job_runs_once_however_often_it_is_sent_and_its_mistakes_are_told(one: System) -> None:
    # given a picture that is stored already, and a tenant that has enabled its intake
    (seed,) = one.submit(QUICK)
    sha256 = read(one.engine, latest, TENANT)[0].images[0]
    write(one.engine, configure, TENANT, intake_enabled=True)
    one.start("intake")
    one.start("dispatch")
    one.start("worker")

    # when the same job is sent three times, and then four that cannot be accepted
    with upstream(one) as app:
        # The intake looks for newly enabled tenants every two seconds; until then a message waits in its queue.
        for _ in range(3):
            send(app, application="inspection", images=[sha256], idempotency_key="part-1")
        send(app, application="inspection", images=[sha256])
        send(app, application="inspektion", images=[sha256], idempotency_key="part-2")
        send(app, application="inspection", images=["0" * 64], idempotency_key="part-3")
        send(app, application="inspection", images=[sha256], params={"recipe": "none"}, idempotency_key="part-4")
        eventually(
            lambda: bool(kept(one, "part-1")) and len(rejections(one)) == 4, 20, f"all are dealt with\n{one.logs()}"
        )

    # then one job ran, and each rejection says which and why
    one.wait_for_the_end(15)
    (job,) = kept(one, "part-1")
    assert job.state is JobState.SUCCEEDED
    told = {body["idempotency_key"]: body["code"] for body in rejections(one)}
    assert told == {
        None: "invalid_request",
        "part-2": "unknown_application",
        "part-3": "not_found",
        "part-4": "invalid_parameters",
    }
    invariant(one, [seed, job.id])


def test_what_is_sent_as_soon_as_the_intake_is_ready_is_not_lost(one: System) -> None:
    # given a tenant that has enabled its intake, and an intake that has just said that it is ready
    one.submit(QUICK)
    sha256 = read(one.engine, latest, TENANT)[0].images[0]
    write(one.engine, configure, TENANT, intake_enabled=True)
    with upstream(one) as app:
        one.start("intake")
        # when the tenant sends at once, before anything consumes its queue
        send(app, application="inspection", images=[sha256], idempotency_key="early")
        # then it is taken in
        eventually(lambda: bool(kept(one, "early")), 20, f"it is taken in\n{one.logs()}")


def test_a_tenant_that_enables_it_while_workers_serve_loses_no_submission_to_them(one: System) -> None:
    # given a worker and an intake that serve already
    one.submit(QUICK)
    sha256 = read(one.engine, latest, TENANT)[0].images[0]
    one.start("worker")
    one.start("intake")

    # when the tenant enables its intake and sends
    write(one.engine, configure, TENANT, intake_enabled=True)
    with upstream(one) as app:

        def first_is_kept() -> bool:
            # Sent again and again: RabbitMQ drops what comes before an intake has made the queue.
            send(app, application="inspection", images=[sha256], idempotency_key="first")
            time.sleep(0.5)
            return bool(kept(one, "first"))

        eventually(first_is_kept, 20, "the queue is consumed")
        for at in range(20):
            send(app, application="inspection", images=[sha256], idempotency_key=f"part-{at}")

        # then every one becomes a job
        eventually(lambda: all(kept(one, f"part-{at}") for at in range(20)), 10, f"all are kept\n{one.logs()}")
    one.start("dispatch")
    one.wait_for_the_end(15)
    assert one.states() == {"succeeded": 22}


def test_a_tenant_that_has_not_enabled_it_has_its_messages_refused(one: System) -> None:
    one.submit(QUICK)
    message = {"application": "inspection", "images": read(one.engine, latest, TENANT)[0].images}

    take_in(one.engine, TENANT, {**message, "idempotency_key": "not-enabled"}, 100)

    assert [body["code"] for body in rejections(one)] == ["invalid_request"]
    assert kept(one, "not-enabled") == []
