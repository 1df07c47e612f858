"""Real weights under a real budget: what is measured is what this process holds."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel

from domain.vision import Capability
from tests.workers.models.toys import spec_of
from workers.device import Device
from workers.memory import MEGABYTE, Memory, give_back, resident_bytes
from workers.modelling.checkpoint import Checkpoint, Place, pretrained
from workers.models.family import Model
from workers.registry import ModelSpec
from workers.residency import Residency

pytestmark = pytest.mark.model

HERE = Place(torch.device("cpu"), torch.float32, threads=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint of 253 MB."""
    BertModel(
        BertConfig(vocab_size=50_000, hidden_size=1024, num_hidden_layers=1, num_attention_heads=8)
    ).save_pretrained(tmp_path)
    give_back()
    return tmp_path


def test_models_by_turns_stay_within_a_budget_that_holds_one_of_them(folder: Path) -> None:
    # given a budget for one and a half of two models of the same weight
    weighs = (folder / "model.safetensors").stat().st_size
    seen: list[int] = []

    def loader(_: ModelSpec) -> Callable[[ModelSpec], Model]:
        return load

    def load(spec: ModelSpec) -> Model:
        model = Checkpoint(spec, HERE, pretrained(BertModel, folder, HERE))
        seen.append(resident_bytes())
        return model  # type: ignore[return-value]

    budget = resident_bytes() + weighs + weighs // 2
    device = Device("cpu", lambda jobs, limit_s: nullcontext(), pytest.fail, Memory(budget))
    models = Residency(lambda name: device, loader)
    row = spec_of(folder, "none", (Capability.EMBED,), memory_mb=weighs // MEGABYTE)
    # when they are used by turns
    for name in ("a", "b", "a", "b"):
        with models.using(row.model_copy(update={"name": name})):
            pass
    device.close()
    # then each was weighed truly, what went was gone before the next came, and the budget was kept
    assert [(tally.loads, tally.evictions) for tally in models.tallies()] == [(2, 2), (2, 1)]
    assert [tally.resident_bytes for tally in models.tallies()] == [0, pytest.approx(weighs, rel=0.1)]
    assert max(seen) <= budget
