"""Lookups in a tenant's hash banks, on each database."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import faiss
import pytest
from sqlalchemy import Engine

from domain.applications.application import BankMatch
from domain.errors import StorageUnavailable
from domain.vision import Hashes
from storage import banks
from storage.promotions import Why
from storage.session import connect, write
from storage.signals import Kind, Signal
from workers.banking import DISTANCES, LOOK_EVERY_S, MOST_MATCHES, Banking, TenantBanks

WHY = Why(by="ann")
BRIDGE = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22"
SHRUNK = "d0f8f1ccc0f4a84d0a370a3a228f67f0b36e2ed5b6623e1d33e6339c4e9c9b22"
"""PDQ's own test hashes of a picture, and of it shrunk to a tenth: 16 bits apart."""
ANOTHER = "e64cc9d91c623882f8d1f1d9a398e78c9f199b3bd83924f2b7e11e0bf861b064"


class Clock:
    """A clock that stands until it is told to go on."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def held(engine: Engine, clock: Clock) -> TenantBanks:
    """What a worker holds of the banks of the tenant `acme`, of which there is one, `harmful`."""
    write(engine, banks.create, "acme", "harmful")
    return TenantBanks(engine, "acme", clock)


def asked(pdq: str = ANOTHER, phash: str = "f" * 16, sha256: str | None = None, quality: int = 100) -> Hashes:
    return Hashes(pdq=pdq, pdq_quality=quality, phash=phash, sha256=sha256)


def put(engine: Engine, kind: Kind, *values: str, bank: str = "harmful") -> None:
    write(engine, banks.import_signals, "acme", bank, [Signal(kind, value) for value in values], WHY)


def turned(value: str, *bits: int) -> str:
    return f"{int(value, 16) ^ sum(1 << bit for bit in bits):0{len(value)}x}"


def test_a_copy_is_found_with_its_distance_and_another_picture_is_not(engine: Engine, held: TenantBanks) -> None:
    put(engine, Kind.PDQ, BRIDGE)

    [match] = held.matches(asked(SHRUNK))

    assert match == BankMatch(bank="harmful", kind="pdq", value=BRIDGE, distance=16, restricted=False)
    assert held.matches(asked(ANOTHER)) == ()


@pytest.mark.parametrize(("kind", "most"), [(Kind.PDQ, 31), (Kind.PHASH, 10), (Kind.SHA256, 0)])
def test_the_distance_is_kept_to_the_bit(engine: Engine, held: TenantBanks, kind: Kind, most: int) -> None:
    # given hashes that differ in as many bits as allowed, and in one more
    assert DISTANCES[kind] == most
    wanted = BRIDGE[: kind.digits]
    near, far = turned(wanted, *range(most)), turned(wanted, *range(most + 1))
    put(engine, kind, near, far)
    # when the picture is looked up
    found = held.matches(asked(**{"sha256": "0" * 64, kind.value: wanted}))
    # then the nearer one is found alone
    assert [(match.kind, match.value, match.distance) for match in found] == [(kind.value, near, most)]


def test_among_many_hashes_exactly_the_near_ones_are_found(engine: Engine, held: TenantBanks) -> None:
    # given random hashes, a few of them near the one that is asked for
    dice = random.Random(3)
    near = [turned(BRIDGE, *dice.sample(range(256), bits)) for bits in (0, 7, 31)]
    put(engine, Kind.PDQ, *(f"{dice.getrandbits(256):064x}" for _ in range(3_000)), *near)
    # when it is looked up, then they are found, the nearest first
    assert [(match.value, match.distance) for match in held.matches(asked(BRIDGE))] == list(
        zip(near, (0, 7, 31), strict=True)
    )


def test_a_dull_picture_is_looked_up_by_its_file_alone(engine: Engine, held: TenantBanks) -> None:
    for kind in Kind:
        put(engine, kind, BRIDGE[: kind.digits])

    dull = asked(BRIDGE, BRIDGE[:16], BRIDGE, quality=49)

    assert [match.kind for match in held.matches(dull)] == ["sha256"]
    assert [match.kind for match in held.matches(dull.model_copy(update={"pdq_quality": 50}))] == [
        "sha256",
        "pdq",
        "phash",
    ]


def test_matches_come_by_bank_the_nearest_first_and_say_which_are_restricted(engine: Engine, held: TenantBanks) -> None:
    write(engine, banks.create, "acme", "a-restricted-one", restricted=True)
    put(engine, Kind.PDQ, turned(BRIDGE, 1, 2), BRIDGE)
    put(engine, Kind.PDQ, turned(BRIDGE, 1), bank="a-restricted-one")

    found = [(match.bank, match.distance, match.restricted) for match in held.matches(asked(BRIDGE))]

    assert found == [("a-restricted-one", 1, True), ("harmful", 0, False), ("harmful", 2, False)]


def test_no_more_than_the_nearest_are_told(engine: Engine, held: TenantBanks) -> None:
    put(engine, Kind.PDQ, *(turned(BRIDGE, *range(at % 30), 40 + at % 200) for at in range(150)))

    found = held.matches(asked(BRIDGE))

    assert len(found) == MOST_MATCHES
    assert [match.distance for match in found] == sorted(match.distance for match in found)
    assert found[-1].distance < 31


def test_a_share_lets_a_bank_take_part_for_so_many_pictures_always_the_same_ones(
    engine: Engine, held: TenantBanks, clock: Clock
) -> None:
    # given a bank with many pictures, of which a quarter is to be looked up
    dice = random.Random(5)
    pictures = [f"{dice.getrandbits(256):064x}" for _ in range(400)]
    put(engine, Kind.PDQ, *pictures)
    found = {}
    for share in (0.25, 0.5, 0.0, 1.0):
        write(engine, banks.configure, "acme", "harmful", share=share)
        clock.now += LOOK_EVERY_S
        found[share] = {value for value in pictures if held.matches(asked(value))}
        assert found[share] == {value for value in pictures if held.matches(asked(value))}
    # then about so many are, always the same, and those of a smaller share are among those of a larger one
    assert (len(found[0.0]), len(found[1.0])) == (0, 400)
    assert 70 < len(found[0.25]) < 130
    assert 160 < len(found[0.5]) < 240
    assert found[0.25] < found[0.5]


def test_a_change_is_seen_within_seconds_and_the_database_is_not_asked_before(
    engine: Engine, held: TenantBanks, clock: Clock
) -> None:
    # given banks that were looked up just now
    assert held.matches(asked(BRIDGE)) == ()
    put(engine, Kind.PDQ, BRIDGE, ANOTHER)
    # when less than the interval goes by, and then all of it
    clock.now += LOOK_EVERY_S * 0.9
    before = held.matches(asked(BRIDGE))
    clock.now += LOOK_EVERY_S * 0.1
    # then the hash is found after it
    assert (before, len(held.matches(asked(BRIDGE)))) == ((), 1)
    # and one that is removed is gone, others stay
    write(engine, banks.remove, "acme", "harmful", Kind.PDQ, BRIDGE, WHY)
    clock.now += LOOK_EVERY_S
    assert held.matches(asked(BRIDGE)) == ()
    assert [match.distance for match in held.matches(asked(ANOTHER))] == [0]
    # and one that comes again after its removal is found once
    put(engine, Kind.PDQ, BRIDGE)
    write(engine, banks.remove, "acme", "harmful", Kind.PDQ, ANOTHER, WHY)
    put(engine, Kind.PDQ, ANOTHER)
    clock.now += LOOK_EVERY_S
    assert [len(held.matches(asked(value))) for value in (BRIDGE, ANOTHER)] == [1, 1]


def test_hashes_that_end_in_zeros_are_told_apart_when_one_is_removed(
    engine: Engine, held: TenantBanks, clock: Clock
) -> None:
    ending = ["12" * 31 + "00", "12" * 30 + "0000", "00" * 32]
    put(engine, Kind.SHA256, *ending)
    assert [len(held.matches(asked(sha256=value))) for value in ending] == [1, 1, 1]
    write(engine, banks.remove, "acme", "harmful", Kind.SHA256, ending[0], WHY)
    clock.now += LOOK_EVERY_S

    assert [len(held.matches(asked(sha256=value))) for value in ending] == [0, 1, 1]


def test_each_tenant_is_asked_about_its_own_banks(engine: Engine, held: TenantBanks) -> None:
    put(engine, Kind.PDQ, BRIDGE)
    banking = Banking(engine)

    assert len(banking.of("acme").matches(asked(BRIDGE))) == 1
    assert banking.of("rival").matches(asked(BRIDGE)) == ()
    assert banking.of("acme") is banking.of("acme")


def test_a_database_that_does_not_answer_is_an_error_and_never_no_match(tmp_path: Path, clock: Clock) -> None:
    # given banks on a database that cannot be opened
    (tmp_path / "folder").mkdir()
    away = connect(f"sqlite:///{tmp_path / 'folder'}")
    held = TenantBanks(away, "acme", clock)
    # when somebody asks, once and again
    for _ in range(2):
        with pytest.raises(StorageUnavailable):
            held.matches(asked(BRIDGE))
    away.dispose()


def test_a_database_that_goes_away_is_an_error_once_the_banks_are_to_be_looked_at_again(
    engine: Engine, held: TenantBanks, clock: Clock, tmp_path: Path
) -> None:
    # given banks that were read
    put(engine, Kind.PDQ, BRIDGE)
    assert len(held.matches(asked(BRIDGE))) == 1
    # when the database goes away
    (tmp_path / "folder").mkdir()
    held.engine = connect(f"sqlite:///{tmp_path / 'folder'}")
    clock.now += LOOK_EVERY_S
    # then that is said, and the banks are there again when it is
    with pytest.raises(StorageUnavailable):
        held.matches(asked(ANOTHER))
    held.engine.dispose()
    held.engine = engine
    assert len(held.matches(asked(BRIDGE))) == 1


def test_threads_that_look_while_a_bank_changes_find_what_was_there_all_the_time(
    engine: Engine, held: TenantBanks, clock: Clock
) -> None:
    # given a hash that stays, among others that come and go
    put(engine, Kind.PDQ, BRIDGE)
    done = threading.Event()

    def look(_: int) -> set[int]:
        found = set()
        while not done.is_set():
            found.add(len(held.matches(asked(BRIDGE))))
        return found

    # when threads look while it changes
    with ThreadPoolExecutor(3) as threads:
        looking = [threads.submit(look, at) for at in range(3)]
        for at in range(10):
            put(engine, Kind.PDQ, *(f"{number:064x}" for number in range(at * 50, at * 50 + 50)))
            write(engine, banks.remove, "acme", "harmful", Kind.PDQ, f"{at * 50:064x}", WHY)
            clock.now += LOOK_EVERY_S
        done.set()
    # then it was there for all of them, always
    assert [each.result() for each in looking] == [{1}] * 3


def test_the_number_of_threads_that_others_compute_with_is_left_as_it_was(engine: Engine, held: TenantBanks) -> None:
    put(engine, Kind.PDQ, BRIDGE)
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(3)

    held.matches(asked(BRIDGE))

    assert faiss.omp_get_max_threads() == 3
    faiss.omp_set_num_threads(before)
