"""What `compile` and `channels_last` of a row do: the same answers, computed another way."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from domain.errors import ModelUnavailable
from domain.vision import Capability
from tests.conftest import absent
from tests.measurements.batcher_ratio import encoder, generative
from tests.workers.models import test_detection
from tests.workers.models.toys import spec_of
from workers.models import family
from workers.models.family import Ask
from workers.registry import ModelSpec

pytestmark = pytest.mark.model

RANDOM = np.random.default_rng(3)
PICTURES = [RANDOM.integers(0, 256, (40, 50, 3), dtype=np.uint8) for _ in range(3)]


@pytest.fixture
def compiler() -> Iterator[None]:
    """Stand for the C++ compiler that torch.compile needs on a CPU."""
    if not (shutil.which("g++") or shutil.which("c++")):
        absent("a C++ compiler", "there is no g++")
    forget()
    yield
    forget()


def forget() -> None:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()


def graphs() -> int:
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


def answers(spec: ModelSpec, ask: Capability, batches: list[int], **arguments: object) -> list[object]:
    model = family.load(spec)
    calls = [model.prepare(Ask(ask, (picture,), arguments)) for picture in PICTURES]
    told = [answer for size in batches for answer in model.run(calls[:size])]
    model.close()
    return told


@pytest.mark.usefixtures("compiler")
def test_a_compiled_encoder_answers_as_it_does_uncompiled_and_is_compiled_once_for_all_batch_sizes(
    tmp_path: Path,
) -> None:
    # given an encoder, and its row with `compile`
    encoder(tmp_path)
    plain = spec_of(tmp_path, "dual_encoder", (Capability.EMBED,))
    compiled = plain.model_copy(update={"options": {"compile": "default"}})
    # when both answer batches of several sizes
    expected = answers(plain, Capability.EMBED, [2, 3, 2])
    assert graphs() == 0
    got = answers(compiled, Capability.EMBED, [2, 3, 2])
    # then they agree, and there is a graph for each kind of block that was asked, not for each layer or size
    np.testing.assert_allclose(np.array(got), np.array(expected), atol=1e-5)
    assert graphs() == len(["the picture's embedding", "a layer of the picture's tower"])


def test_a_model_that_generates_is_not_compiled_and_says_so(tmp_path: Path) -> None:
    generative(tmp_path)
    row = spec_of(tmp_path, "chat_vlm", (Capability.ASK,), options={"compile": "default"})
    with pytest.raises(ModelUnavailable, match="drop the option `compile`"):
        family.load(row)


def test_channels_last_is_another_layout_of_the_same_answers(tmp_path: Path) -> None:
    test_detection.TestRtDetr().build(tmp_path)
    plain = spec_of(tmp_path, "detection", (Capability.DETECT,))
    other = plain.model_copy(update={"options": {"channels_last": True}})
    model = family.load(other)
    assert any(
        weights.is_contiguous(memory_format=torch.channels_last) and not weights.is_contiguous()
        for weights in model.network.parameters()  # type: ignore[attr-defined]
        if weights.ndim == 4
    )

    expected = answers(plain, Capability.DETECT, [3], min_score=0.0)
    got = answers(other, Capability.DETECT, [3], min_score=0.0)

    scores = [[[found.score for found in told] for told in all_of] for all_of in (got, expected)]  # type: ignore[attr-defined]
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-4)


def test_a_mode_that_torch_does_not_have_is_refused(tmp_path: Path) -> None:
    encoder(tmp_path)
    row = spec_of(tmp_path, "dual_encoder", (Capability.EMBED,), options={"compile": "fast"})
    with pytest.raises(ModelUnavailable, match="compile"):
        family.load(row)
