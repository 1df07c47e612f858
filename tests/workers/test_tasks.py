"""The doorbell task: what it hears, and what it lets go."""

from typing import Any
from uuid import uuid4

import pytest

from workers.celery_app import IDS_PER_MESSAGE, MESSAGE_VERSION
from workers.tasks import parse_ring


def test_a_doorbell_names_jobs() -> None:
    # given a message of this version
    ids = [uuid4(), uuid4()]
    # when it is read
    # then its ids are heard
    assert parse_ring(MESSAGE_VERSION, [str(job_id) for job_id in ids]) == ids


AN_ID = "01a1fbec-96e9-736c-adc5-0984666d614d"


@pytest.mark.parametrize(
    ("version", "ids"),
    [
        (None, []),
        (MESSAGE_VERSION + 1, [AN_ID]),
        ("1", [AN_ID]),
        ({"a": 1}, [AN_ID]),
        (MESSAGE_VERSION, None),
        (MESSAGE_VERSION, AN_ID),
        (MESSAGE_VERSION, {"id": AN_ID}),
        (MESSAGE_VERSION, 7),
        (MESSAGE_VERSION, [AN_ID] * (10 * IDS_PER_MESSAGE + 1)),
        (MESSAGE_VERSION, [None, 7, 1.5, True, "", "not-an-id", ["a"], {"a": 1}, b"bytes"]),
    ],
)
def test_a_message_that_cannot_be_a_doorbell_is_let_go(version: Any, ids: Any) -> None:
    # given a message that somebody else wrote
    # when it is read
    # then nothing is heard, and nothing is raised
    assert parse_ring(version, ids) == []


def test_the_good_ids_of_a_half_good_message_are_heard() -> None:
    # given a message with one id that is none
    job_id = uuid4()
    # when it is read
    # then the other is heard
    assert parse_ring(MESSAGE_VERSION, ["nonsense", str(job_id), None]) == [job_id]
