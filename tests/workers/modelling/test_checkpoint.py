"""What every checkpoint shares: where it computes, and what becomes of errors of the device."""

from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertForQuestionAnswering, BertForSequenceClassification, BertModel

from domain.errors import DeviceOutOfMemory, ModelUnavailable
from domain.vision import Capability
from tests.workers.models.toys import spec_of
from workers.memory import resident_bytes
from workers.modelling.checkpoint import Place, computing, place, pretrained
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


def test_a_loaded_model_holds_its_weights_before_it_first_runs(tmp_path: Path) -> None:
    # given a checkpoint of 200 MB, of which the file is mapped when it is loaded
    network = BertModel(BertConfig(vocab_size=50_000, hidden_size=1024, num_hidden_layers=1, num_attention_heads=8))
    weighs = sum(weights.nbytes for weights in network.parameters())
    network.save_pretrained(tmp_path)
    del network
    before = resident_bytes()
    # when it is loaded
    loaded = pretrained(BertModel, tmp_path, HERE)
    # then all of it is in memory already, to be measured, and not left for the first batch to read
    assert resident_bytes() - before > 0.8 * weighs
    assert loaded.num_parameters() * 4 == weighs > 200_000_000


@pytest.mark.parametrize(
    ("kind", "labels", "lacking"),
    [(BertForQuestionAnswering, 2, "qa_outputs.bias"), (BertForSequenceClassification, 3, "classifier.bias")],
    ids=["absent", "of another size"],
)
def test_weights_that_a_checkpoint_lacks_are_not_drawn_by_chance(
    tmp_path: Path, kind: type, labels: int, lacking: str
) -> None:
    # given a checkpoint that was trained to tell two classes apart
    config = BertConfig(vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, num_labels=2)
    BertForSequenceClassification(config).save_pretrained(tmp_path)

    # when it is loaded for another task, or for another number of classes
    # then it is refused, with the first of the weights that it lacks
    with pytest.raises(ModelUnavailable, match=f"no whole {kind.__name__}: .* 2 of its parameters, such as {lacking}"):
        pretrained(kind, tmp_path, HERE, num_labels=labels)
