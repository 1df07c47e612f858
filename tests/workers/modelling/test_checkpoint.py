"""What every checkpoint shares: where it computes, and what becomes of errors of the device."""

from pathlib import Path

import pytest
import torch

from domain.errors import DeviceOutOfMemory
from domain.vision import Capability
from tests.workers.models.toys import spec_of
from workers.modelling.checkpoint import Place, computing, place
from workers.models.family import DeviceLost

pytestmark = pytest.mark.model

HERE = Place(torch.device("cpu"), torch.float32, threads=1)


def test_a_models_threads_do_not_depend_on_what_was_computed_before(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, "detection", (Capability.DETECT,))
    before = place(spec).threads
    try:
        with computing(Place(torch.device("cpu"), torch.float32, threads=before + 1), 1):
            pass

        assert place(spec).threads == before
        assert place(spec.model_copy(update={"options": {"threads": 7}})).threads == 7
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("error", "becomes"),
    [
        (RuntimeError("CUDA error: device-side assert triggered"), DeviceLost),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), DeviceLost),
        (torch.AcceleratorError("unspecified launch failure"), DeviceLost),
        (torch.OutOfMemoryError("CUDA out of memory"), DeviceOutOfMemory),
        (torch.AcceleratorError("CUDA error: out of memory"), DeviceOutOfMemory),
        (RuntimeError("the sizes do not match"), RuntimeError),
    ],
    ids=str,
)
def test_an_error_of_the_device_is_told_from_one_of_a_call(error: Exception, becomes: type[Exception]) -> None:
    with pytest.raises(Exception, match=r".") as raised, computing(HERE, 1):
        raise error

    assert raised.type is becomes
