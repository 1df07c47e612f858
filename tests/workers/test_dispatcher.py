"""What the dispatcher takes for a broker that is not there."""

from pathlib import Path
from uuid import uuid4

import pytest

from storage.settings import Settings
from tests.support.brokers import RABBITMQ, local_rabbitmq
from workers.celery_app import BROKER_ERRORS, MESSAGE_VERSION, RING, make_app

NOBODY = "127.0.0.1:1"


def ring(broker_url: str, folder: Path) -> None:
    settings = Settings(data=folder, broker_url=broker_url)
    app = make_app(settings, ["inspection.standard"])
    try:
        app.send_task(RING, args=[MESSAGE_VERSION, []], queue="inspection.standard", ignore_result=True)
    finally:
        app.close()


@pytest.mark.service
@pytest.mark.parametrize("url", [f"redis://{NOBODY}/0", f"amqp://guest:guest@{NOBODY}//"])
def test_a_broker_that_nobody_runs_is_one_of_the_expected_errors(url: str, tmp_path: Path) -> None:
    with pytest.raises(BROKER_ERRORS):
        ring(url, tmp_path)


@pytest.mark.service
def test_a_rabbitmq_that_refuses_is_one_of_the_expected_errors(tmp_path: Path) -> None:
    # given a RabbitMQ that answers
    with local_rabbitmq(tmp_path) as there:
        ring(there.url, tmp_path)
    # when its virtual host is gone, or the password is wrong
    for refused in (f"{RABBITMQ}/gone-{uuid4().hex[:8]}", RABBITMQ.replace("guest:guest", "guest:wrong") + "//"):
        # then the dispatcher goes on reaping and tries again, since it expects the error
        with pytest.raises(BROKER_ERRORS):
            ring(refused, tmp_path)
