"""Hash banks on each database."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine

from domain.errors import Conflict, InvalidRequest, NotFound
from storage import banks
from storage.bank_reading import banks_of, newer
from storage.banks import Page
from storage.promotions import Why
from storage.session import read, write
from storage.signals import Kind, Signal

WHY = Why(by="ann", because="reported twice")


def pdq(number: int) -> Signal:
    return Signal(Kind.PDQ, f"{number:064x}")


@pytest.fixture
def bank(engine: Engine) -> str:
    """An empty bank of the tenant `acme`."""
    return write(engine, banks.create, "acme", "harmful").name


def values(engine: Engine, name: str = "harmful") -> list[str]:
    return [entry.value for entry in read(engine, banks.entries, "acme", name, Page())]


def test_a_bank_is_its_tenants_own_and_has_a_name_once(engine: Engine, bank: str) -> None:
    write(engine, banks.create, "rival", bank)
    write(engine, banks.add, "rival", bank, pdq(1), WHY)

    assert [(one.name, one.entries) for one in read(engine, banks.listing, "acme")] == [("harmful", 0)]
    with pytest.raises(Conflict):
        write(engine, banks.create, "acme", bank)
    with pytest.raises(NotFound):
        read(engine, banks.entries, "nobody", bank, Page())


@pytest.mark.parametrize("name", ["", "Capital", "a b", "x" * 65, "-a", "a\n"])
def test_a_name_that_cannot_be_one_is_refused(engine: Engine, name: str) -> None:
    with pytest.raises(InvalidRequest):
        write(engine, banks.create, "acme", name)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(engine: Engine, bank: str, share: float) -> None:
    with pytest.raises(InvalidRequest):
        write(engine, banks.configure, "acme", bank, share=share)
    with pytest.raises(InvalidRequest):
        write(engine, banks.create, "acme", "other", share=share)


def test_a_hash_comes_and_goes_and_comes_again_and_its_history_tells(engine: Engine, bank: str) -> None:
    # given a hash that was added, removed for a reason, and added again
    signal = Signal(Kind.PDQ, pdq(7).value, ("bridge",))
    write(engine, banks.add, "acme", bank, signal, WHY)
    write(engine, banks.remove, "acme", bank, Kind.PDQ, signal.value.upper(), Why(by="bob", because="a mistake"))
    assert values(engine) == []
    write(engine, banks.add, "acme", bank, signal, Why(by="eve"))
    # when its history is read
    newest, oldest = read(engine, banks.history, "acme", bank, Page(value=signal.value))
    # then each coming is a row of its own, with who and why
    assert (oldest.added_by, oldest.added_because, oldest.labels) == ("ann", "reported twice", ["bridge"])
    assert (oldest.removed_by, oldest.removed_because) == ("bob", "a mistake")
    assert oldest.removed_at is not None
    assert oldest.added_at <= oldest.removed_at <= newest.added_at
    assert (newest.added_by, newest.removed_at, newest.removed_by) == ("eve", None, None)
    assert values(engine) == [signal.value]
    assert read(engine, banks.listing, "acme")[0].entries == 1


def test_a_hash_is_in_a_bank_once_and_cannot_leave_it_twice(engine: Engine, bank: str) -> None:
    write(engine, banks.add, "acme", bank, pdq(1), WHY)
    with pytest.raises(Conflict):
        write(engine, banks.add, "acme", bank, pdq(1), WHY)
    write(engine, banks.remove, "acme", bank, Kind.PDQ, pdq(1).value, WHY)
    with pytest.raises(NotFound):
        write(engine, banks.remove, "acme", bank, Kind.PDQ, pdq(1).value, WHY)
    with pytest.raises(InvalidRequest):
        write(engine, banks.remove, "acme", bank, Kind.PHASH, pdq(1).value, WHY)


def test_the_same_digits_of_another_kind_are_another_hash(engine: Engine, bank: str) -> None:
    for kind in (Kind.PDQ, Kind.SHA256):
        write(engine, banks.add, "acme", bank, Signal(kind, pdq(1).value), WHY)

    assert [entry.kind for entry in read(engine, banks.entries, "acme", bank, Page(value=pdq(1).value))] == [
        Kind.SHA256,
        Kind.PDQ,
    ]
    assert len(read(engine, banks.entries, "acme", bank, Page(kind=Kind.PDQ))) == 1


def test_entries_come_in_pages_the_newest_first(engine: Engine, bank: str) -> None:
    write(engine, banks.import_signals, "acme", bank, [pdq(at) for at in range(5)], WHY)

    first = read(engine, banks.entries, "acme", bank, Page(limit=3))
    rest = read(engine, banks.entries, "acme", bank, Page(limit=3, before=first[-1].id))

    assert [int(entry.value, 16) for entry in (*first, *rest)] == [4, 3, 2, 1, 0]


def test_an_import_adds_what_is_not_there_and_counts_it(engine: Engine, bank: str, monkeypatch) -> None:
    # given a bank with two hashes, one of which was removed
    monkeypatch.setattr(banks, "CHUNK", 10)
    write(engine, banks.import_signals, "acme", bank, [pdq(1), pdq(2)], WHY)
    write(engine, banks.remove, "acme", bank, Kind.PDQ, pdq(2).value, WHY)
    # when a file comes with both, others, and one of them twice
    done = write(engine, banks.import_signals, "acme", bank, [*map(pdq, range(1, 26)), pdq(25)], WHY)
    # then each is there once
    assert (done.added, done.known) == (24, 2)
    assert sorted(int(value, 16) for value in values(engine)) == list(range(1, 26))
    assert read(engine, banks.listing, "acme")[0].entries == 25


def test_an_import_that_fails_half_way_leaves_nothing(engine: Engine, bank: str, monkeypatch) -> None:
    # given hashes of which the last cannot be stored
    monkeypatch.setattr(banks, "CHUNK", 2)
    broken = Signal(Kind.PDQ, pdq(9).value, labels=None)
    # when they are imported
    with pytest.raises(TypeError):
        write(engine, banks.import_signals, "acme", bank, [pdq(1), pdq(2), pdq(3), broken], WHY)
    # then the bank is as it was
    assert values(engine) == []
    assert read(engine, banks.listing, "acme")[0].entries == 0


def test_an_export_gives_every_hash_once_in_portions(engine: Engine, bank: str, monkeypatch) -> None:
    monkeypatch.setattr(banks, "CHUNK", 4)
    write(engine, banks.import_signals, "acme", bank, [pdq(at) for at in range(10)], WHY)
    write(engine, banks.add, "acme", bank, Signal(Kind.PHASH, "0" * 16), WHY)
    write(engine, banks.remove, "acme", bank, Kind.PDQ, pdq(3).value, WHY)

    found, after = [], 0
    while after is not None:
        signals, after = read(engine, banks.portion, "acme", bank, Kind.PDQ, after)
        found += signals

    assert found == [pdq(at) for at in range(10) if at != 3]


def test_restricted_banks_are_as_if_they_were_not_for_who_may_not_see_them(engine: Engine) -> None:
    write(engine, banks.create, "acme", "few-eyes", restricted=True)
    write(engine, banks.create, "acme", "open")
    write(engine, banks.add, "acme", "few-eyes", pdq(1), WHY)

    assert [bank.name for bank in read(engine, banks.listing, "acme", sees_restricted=False)] == ["open"]
    for call, *told in (
        (banks.entries, Page()),
        (banks.history, Page()),
        (banks.portion, None, 0),
        (banks.add, pdq(2), WHY),
        (banks.remove, Kind.PDQ, pdq(1).value, WHY),
        (banks.import_signals, [pdq(2)], WHY),
    ):
        with pytest.raises(NotFound):
            write(engine, call, "acme", "few-eyes", *told, sees_restricted=False)
    with pytest.raises(NotFound):
        write(engine, banks.configure, "acme", "few-eyes", share=0.5, sees_restricted=False)
    assert values(engine, "few-eyes") == [pdq(1).value]


def test_a_bank_can_be_restricted_any_time_and_opened_only_while_nothing_was_ever_in_it(
    engine: Engine, bank: str
) -> None:
    # given a restricted bank without entries
    assert write(engine, banks.configure, "acme", bank, restricted=True).restricted
    assert not write(engine, banks.configure, "acme", bank, restricted=False).restricted
    # when it gets one, even if that is removed again
    write(engine, banks.add, "acme", bank, pdq(1), WHY)
    write(engine, banks.configure, "acme", bank, restricted=True)
    write(engine, banks.remove, "acme", bank, Kind.PDQ, pdq(1).value, WHY)
    # then it stays restricted
    with pytest.raises(Conflict):
        write(engine, banks.configure, "acme", bank, restricted=False)
    assert read(engine, banks.listing, "acme")[0].restricted


def test_who_looks_again_reads_no_more_than_what_changed(engine: Engine, bank: str) -> None:
    # given somebody who knows the bank after three hashes
    write(engine, banks.import_signals, "acme", bank, [pdq(1), pdq(2), pdq(3)], WHY)
    [known] = read(engine, banks_of, "acme")
    assert len(read(engine, newer, known, -1).added[Kind.PDQ]) == 3 * 32
    # when one goes, one goes and comes again, one comes and goes, and one comes
    write(engine, banks.remove, "acme", bank, Kind.PDQ, pdq(1).value, WHY)
    write(engine, banks.remove, "acme", bank, Kind.PDQ, pdq(2).value, WHY)
    write(engine, banks.add, "acme", bank, pdq(2), WHY)
    write(engine, banks.add, "acme", bank, pdq(4), WHY)
    write(engine, banks.remove, "acme", bank, Kind.PDQ, pdq(4).value, WHY)
    write(engine, banks.add, "acme", bank, Signal(Kind.PHASH, "ab" * 8), WHY)
    [now] = read(engine, banks_of, "acme")
    news = read(engine, newer, now, known.changes)
    # then that is told, and what happened later is not
    write(engine, banks.add, "acme", bank, pdq(5), WHY)
    assert read(engine, newer, now, known.changes) == news
    removed = {news.removed[Kind.PDQ][at : at + 32].hex() for at in (0, 32)}
    assert removed == {pdq(1).value, pdq(2).value}
    assert news.added == {Kind.PDQ: bytes.fromhex(pdq(2).value), Kind.PHASH: b"\xab" * 8, Kind.SHA256: b""}


def test_many_can_add_the_same_hashes_at_once_and_each_is_there_once(engine: Engine, bank: str) -> None:
    # given four people with the same twenty hashes
    start = threading.Barrier(4)

    def put(_: int) -> int:
        start.wait()
        return write(engine, banks.import_signals, "acme", bank, [pdq(at) for at in range(20)], WHY).added

    # when they import them at once
    with ThreadPoolExecutor(4) as people:
        added = list(people.map(put, range(4)))
    # then one of them added all
    assert sorted(added) == [0, 0, 0, 20]
    assert read(engine, banks.listing, "acme")[0].entries == 20
    assert read(engine, banks_of, "acme")[0].changes == 4
