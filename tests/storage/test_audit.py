"""The audit log on each database: complete in order, and broken by whatever is done to its rows."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, delete, insert, select, update

from domain.audit import Action, Actor
from storage import audit
from storage.audit import Head
from storage.review_tables import audit_head, audit_log
from storage.session import read, write

ANN = Actor(name="ann", tenant="acme")


@pytest.fixture
def log(engine: Engine) -> Engine:
    """A log of five rows."""
    for at in range(5):
        facts = {
            "reason": "because",
            "at": at,
            "share": 0.1,
            "text": "naïve — ✓",
            "nested": {"b": [1, None], "a": True},
        }
        write(engine, audit.record, ANN, Action.REVIEW_DECIDED, f"review {at}", **facts)
    return engine


def breaks(engine: Engine, noted: Head | None = None) -> list[int]:
    return sorted({found.seq for found in read(engine, audit.verify, noted).breaks})


def do(engine: Engine, statement: object) -> None:
    write(engine, lambda connection: connection.execute(statement))


def test_a_log_that_nobody_touched_is_sound(log: Engine):
    found = read(log, audit.verify)
    assert (found.rows, found.head.seq, found.breaks) == (5, 5, [])
    assert read(log, audit.verify, Head(seq=3, hash=read(log, audit.entries)[2].hash)).breaks == []


@pytest.mark.parametrize(
    "change",
    [
        {"actor": "bob"},
        {"tenant": None},
        {"action": "key.used"},
        {"subject": "review 9"},
        {"facts": {}},
        {"previous": "0" * 64},
        {"hash": "0" * 64},
        {"key_id": __import__("uuid").UUID(int=1)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_row_that_was_changed_breaks_the_chain(log: Engine, change):
    do(log, update(audit_log).where(audit_log.c.seq == 3).values(**change))
    assert 3 in breaks(log)


def test_a_moment_that_was_changed_breaks_the_chain(log: Engine):
    first = read(log, audit.entries)[0]
    do(log, update(audit_log).where(audit_log.c.seq == 3).values(at=first.at.replace(year=2001)))
    assert 3 in breaks(log)


def test_a_changed_row_with_a_hash_of_its_own_breaks_the_next(log: Engine):
    from domain.audit import chained

    third = read(log, audit.entries)[2].model_copy(update={"actor": "bob"})
    do(log, update(audit_log).where(audit_log.c.seq == 3).values(actor="bob", hash=chained(third)))
    assert breaks(log) == [4]


@pytest.mark.parametrize("seq", [1, 3, 5])
def test_a_row_that_was_removed_is_missed(log: Engine, seq: int):
    do(log, delete(audit_log).where(audit_log.c.seq == seq))
    assert breaks(log) == [min(seq + 1, 5)]


def test_a_row_that_was_put_in_is_found(log: Engine):
    copied = read(log, audit.entries)[-1].model_dump()
    do(log, insert(audit_log).values(**{**copied, "seq": 6}))
    assert breaks(log) == [5, 6]


def test_a_log_cut_off_together_with_its_head_is_told_by_a_head_that_was_noted(log: Engine):
    noted = read(log, audit.head)
    fourth = read(log, audit.entries)[3]
    do(log, delete(audit_log).where(audit_log.c.seq == 5))
    do(log, update(audit_head).values(seq=4, hash=fourth.hash))
    assert breaks(log) == []
    assert breaks(log, noted) == [5]


def test_rows_written_at_once_stand_one_behind_the_other(engine: Engine):
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda at: write(engine, audit.record, ANN, Action.KEY_USED, f"key {at}"), range(30)))
    assert [row.seq for row in read(engine, audit.entries)] == list(range(1, 31))
    assert breaks(engine) == []


def test_an_act_that_is_rolled_back_leaves_no_row(engine: Engine):
    def act(connection: object) -> None:
        audit.record(connection, ANN, Action.KEY_USED, "key 1")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        write(engine, act)
    assert read(engine, lambda connection: connection.execute(select(audit_log)).all()) == []
    assert read(engine, audit.head) == Head(seq=0, hash="")


def test_rows_are_found_by_tenant_action_and_place(log: Engine):
    write(log, audit.record, Actor(name="bob", tenant="globex"), Action.KEY_USED, "key 1")
    assert [row.actor for row in read(log, audit.entries, tenant="globex")] == ["bob"]
    assert len(read(log, audit.entries, action=Action.REVIEW_DECIDED, after=2)) == 3
    assert len(read(log, audit.entries, limit=4)) == 4
