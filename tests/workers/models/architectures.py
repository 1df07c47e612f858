"""What every published architecture must hold to: built at toy size, saved, and loaded as a hub's model is.

A row is a class that inherits its family's contract, names the architecture, and builds it. Rows that ran are written
into docs/models.md by `python -m tests.workers.models.table`.
"""

import gc
import io
import json
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

from domain.errors import ModelUnavailable
from domain.images import ImageLimits
from domain.vision import Capability
from tests.workers.models.contract import FamilyContract, grey
from tests.workers.models.toys import spec_of
from workers.imaging.decode import decode
from workers.modelling.checkpoint import DTYPES
from workers.models import family
from workers.models.family import Model, ScoreKind
from workers.registry import ModelSpec


class ArchitectureContract(FamilyContract):
    """Inherit it in a family's test; its rows say `architecture` and `build`."""

    architecture: ClassVar[str]
    """as its paper or its authors call it"""
    family: ClassVar[str]
    capabilities: ClassVar[tuple[Capability, ...]]
    options: ClassVar[dict[str, Any]] = {}
    half: ClassVar[str] = "bfloat16"
    """the half precision that it may be asked for"""

    def build(self, folder: Path) -> None:
        """Save the architecture at toy size, with all that loading it takes."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def spec(cls, tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
        """The row of a profile."""
        folder = tmp_path_factory.mktemp(cls.__name__)
        cls().build(folder)
        return spec_of(folder, cls.family, cls.capabilities, options={"threads": 1, **cls.options})

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, spec: ModelSpec) -> Iterator[Model]:
        """The loaded model."""
        model = family.load(spec)
        yield model
        model.close()

    @pytest.fixture(autouse=True)
    def _keep_the_spec(self, spec: ModelSpec) -> None:
        self._spec = spec

    def fresh(self) -> Model:
        """See FamilyContract."""
        return family.load(self._spec)

    def loaded_as(self, model: Model, spec: ModelSpec) -> str:
        """Return the class that a checkpoint is of."""
        told = json.loads((spec.path / "config.json").read_text())
        return str(told.get("architectures", ["?"])[0])

    def weights(self, model: Model) -> Iterable[torch.Tensor]:
        """Return all that its networks learned."""
        return model.network.parameters()  # type: ignore[attr-defined,no-any-return]

    def test_it_is_loaded_as_what_it_is(self, model: Model, spec: ModelSpec, record_property: Any) -> None:
        row = [self.architecture, self.family, sorted(self.capabilities), self.loaded_as(model, spec)]
        record_property("architecture", json.dumps(row))

        assert isinstance(model.scores, ScoreKind)
        assert model.dtype == "float32"

    def test_an_option_that_nobody_knows_is_refused_by_name(self, spec: ModelSpec) -> None:
        slip = spec.model_copy(update={"options": {**spec.options, "tempertaure": 2.0}})

        with pytest.raises(ModelUnavailable, match="'toy': its options are not right: tempertaure"):
            family.load(slip)

    def test_a_capability_that_the_family_lacks_is_refused_by_name(self, spec: ModelSpec) -> None:
        with pytest.raises(ModelUnavailable, match="cannot identify"):
            family.load(spec.model_copy(update={"capabilities": (*self.capabilities, Capability.IDENTIFY)}))

    def test_pictures_of_every_mode_are_answered_alike(self, model: Model) -> None:
        shades = Image.fromarray(grey(40, 56)).convert("L")  # which all of these modes hold without a loss
        for mode in ("L", "RGBA", "P", "CMYK"):
            file = io.BytesIO()
            shades.convert(mode).save(file, "TIFF" if mode == "CMYK" else "PNG")
            ask = self.ask_of(np.ascontiguousarray(decode(file.getvalue(), ImageLimits(), "a picture").pixels))

            (answer,), (plain,) = (model.run([model.prepare(one)]) for one in (ask, self.ask_of(grey(40, 56))))

            self.check(ask, answer)
            assert self.same(answer, plain), mode

    def test_a_picture_of_black_and_white_alone_is_answered(self, model: Model) -> None:
        file = io.BytesIO()
        Image.fromarray(grey(40, 56)).convert("1").save(file, "PNG")
        ask = self.ask_of(np.ascontiguousarray(decode(file.getvalue(), ImageLimits(), "a picture").pixels))

        (answer,) = model.run([model.prepare(ask)])

        self.check(ask, answer)

    def test_the_same_question_gets_the_same_answer(self, model: Model) -> None:
        ask = self.asks()[0]

        first, second = (model.run([model.prepare(ask)])[0] for _ in range(2))

        assert self.same(first, second)

    def test_in_half_precision_it_answers_as_it_would_on_a_gpu(
        self, spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # given a place as a GPU's, but for the device: on a CPU a row's dtype counts for nothing
        files = import_module(f"workers.models.{self.family}")
        here = files.place(spec)
        monkeypatch.setattr(files, "place", lambda _: replace(here, dtype=DTYPES[self.half]))
        model = family.load(spec)
        asks = self.asks()

        # when a batch is run, then no tensor of single precision met one of half, and the answers are as typed
        answers = model.run([model.prepare(ask) for ask in asks])
        for ask, answer in zip(asks, answers, strict=True):
            self.check(ask, answer)
        assert model.dtype == self.half
        assert {each.dtype for each in self.weights(model)} == {DTYPES[self.half]}
        model.close()

    def test_a_model_that_is_closed_gives_its_memory_back(self) -> None:
        # given a model that has answered, and all networks that came with it
        others = set(map(id, _networks()))
        model = self.fresh()
        model.run([model.prepare(self.asks()[0])])
        networks = [weakref.ref(network) for network in _networks() if id(network) not in others]
        assert networks

        # when it is closed, then none is left, though the model is still held
        model.close()
        gc.collect()
        assert [type(network()).__name__ for network in networks if network() is not None] == []


def _networks() -> list[torch.nn.Module]:
    return [one for one in gc.get_objects() if issubclass(type(one), torch.nn.Module)]
