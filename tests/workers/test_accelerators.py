"""Which device a row means, and how much of an accelerator's memory is taken, by what a driver would tell."""

from pathlib import Path

import pytest
import torch

from workers import accelerators
from workers.accelerators import memory, named

GIGABYTE = 1024**3


@pytest.mark.parametrize(
    ("told", "means"),
    [("cpu", "cpu"), ("cuda", "cuda:0"), ("cuda:1", "cuda:1"), ("remote", "cpu"), ("elsewhere", "cpu")],
)
def test_a_device_has_one_name(told: str, means: str) -> None:
    assert named(told) == means


def test_auto_is_the_first_accelerator_where_there_is_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # given a machine with a driver, on which torch does, or does not, find a device
    monkeypatch.setattr(accelerators, "DRIVERS", (tmp_path,))
    found = []
    for works in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda works=works: works)
        found.append(named("auto"))
    # and one without a driver, whatever torch says
    monkeypatch.setattr(accelerators, "DRIVERS", (tmp_path / "none",))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    # when `auto` is asked for
    # then it is the accelerator only where it works
    assert [*found, named("auto")] == ["cuda:0", "cpu", "cpu"]


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device of 80 GB of which others hold 20; of the 15 that this process reserved it uses 10."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (45 * GIGABYTE, 80 * GIGABYTE))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 15 * GIGABYTE)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 10 * GIGABYTE)


@pytest.mark.usefixtures("shared")
def test_what_others_hold_of_an_accelerator_counts_and_what_is_kept_for_later_does_not() -> None:
    told = memory("cuda:0")
    assert (told.used(), told.own()) == (30 * GIGABYTE, 10 * GIGABYTE)


@pytest.mark.usefixtures("shared")
def test_the_budget_of_an_accelerator_is_a_share_of_it_or_what_is_set() -> None:
    assert memory("cuda:0").budget == int(0.7 * 80 * GIGABYTE)
    assert memory("cuda:0", 4096).budget == 4 * GIGABYTE
