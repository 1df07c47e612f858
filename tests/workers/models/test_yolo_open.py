"""YOLO-World and YOLOE of the family `yolo`: what phrases name, at toy size, with the text tower of a toy CLIP."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, CLIPModel, CLIPTextModelWithProjection

from domain.errors import ModelError, ModelUnavailable
from domain.geometry import Box
from domain.vision import Capability, Detection, Prompt, Segment
from tests.support.system import ROOT
from tests.workers.models.contract import coloured
from tests.workers.models.grounding_contract import PHRASES, GroundingContract, groundings, remarks
from tests.workers.models.toys import spec_of
from tests.workers.models.yolo_toys import CLASSES, SIDE, save_clip, save_world, save_yoloe
from workers.imaging.masks import decode
from workers.modelling.squares import distinct
from workers.models import family, yolo
from workers.models.family import Ask, Model, Pixels
from workers.registry import ModelSpec

pytestmark = pytest.mark.model


def pinned(source: Path) -> dict[str, str]:
    """Return the table of an option that names a checkpoint."""
    spec = spec_of(source, "any", (Capability.GROUND,))
    return {"source": spec.source, "revision": spec.revision}


def other(spec: ModelSpec, **options: Any) -> ModelSpec:
    """Return the row with other options."""
    return spec.model_copy(update={"options": {**spec.options, **options}})


class OpenYoloContract(GroundingContract):
    """What both architectures must hold to, beside what all do that ground phrases."""

    family = "yolo"
    half = "float16"
    lists = (PHRASES, ("a dog", "x" * 9, "é漢字"), ("hole", "a", "b"), ("yes", "no", "left"))

    @pytest.fixture(scope="class")
    @classmethod
    def spec(cls, tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
        """See ArchitectureContract."""
        folder = tmp_path_factory.mktemp(cls.__name__)
        cls().build(folder / "toy.pt")
        save_clip(folder / "clip")
        told = {"threads": 1, "text_encoder": pinned(folder / "clip")}
        return spec_of(folder / "toy.pt", cls.family, cls.capabilities, options=told)

    def loaded_as(self, model: Model, spec: ModelSpec) -> str:
        """See ArchitectureContract."""
        return type(model.network).__name__  # type: ignore[attr-defined]

    def told(
        self, network: Any, images: torch.Tensor, vectors: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Run a network as published, by its own argument for vectors of phrases; return rows, and prototypes."""
        raise NotImplementedError

    def wanted(self, spec: ModelSpec, pixels: Pixels, phrases: Sequence[str]) -> list[tuple[float, Box]]:
        """See GroundingContract: ultralytics' own letterbox, network, suppression and scaling, and CLIP's features."""
        from ultralytics.data.augment import LetterBox
        from ultralytics.utils.nms import non_max_suppression
        from ultralytics.utils.ops import scale_boxes

        encoder = spec.options["text_encoder"]["source"]
        tokens = AutoTokenizer.from_pretrained(encoder)(list(phrases), padding=True, return_tensors="pt")
        features = CLIPModel.from_pretrained(encoder).get_text_features(**tokens).pooler_output
        square = LetterBox((SIDE, SIDE), auto=False)(image=pixels)
        images = torch.from_numpy(np.ascontiguousarray(square.transpose(2, 0, 1)))[None].float() / 255
        network = yolo._network(spec.path).float().eval()
        rows, prototypes = self.told(network, images, torch.nn.functional.normalize(features, dim=-1)[None])
        (found,) = non_max_suppression(rows, 0.0, yolo.OVERLAP, nc=len(phrases))
        if prototypes is not None:  # what is a piece of another is dropped, which is Sightline's own
            found = found[distinct(torch.einsum("nk,khw->nhw", found[:, 6:], prototypes[0]) > 0, found, SIDE)]
        boxes = scale_boxes((SIDE, SIDE), found[:, :4], pixels.shape[:2]).tolist()
        names = ("x0", "y0", "x1", "y1")
        each = [
            (score, Box(**dict(zip(names, box, strict=True)))) for score, box in zip(found[:, 4], boxes, strict=True)
        ]
        return [(float(score), box) for score, box in each if box.area > 0]

    def test_boxes_that_overlap_are_dropped_where_the_options_say_so(self, model: Model, spec: ModelSpec) -> None:
        everything, apart, crowded = (
            groundings(self.answer(family.load(other(spec, overlap=overlap)), *PHRASES)) for overlap in (0.6, 0.1, 1)
        )

        assert everything == groundings(self.answer(model, *PHRASES))
        assert 0 < len(apart) < len(everything) <= len(crowded)
        assert apart[0] == everything[0] == crowded[0]

    def test_lists_of_one_length_share_a_batch_and_others_do_not(self, model: Model) -> None:
        picture = coloured(40, 64, 0)

        groups = [model.prepare(self._asked(picture, *"abcd"[:count])).group for count in (1, 2, 2, 3)]

        assert groups[1] == groups[2]
        assert len(set(groups)) == 3

    def test_a_phrase_is_encoded_once(self, spec: ModelSpec, monkeypatch: pytest.MonkeyPatch) -> None:
        # given a model whose encoder is watched
        model: Any = family.load(spec)
        encode, seen = model._phrases._encode, []
        monkeypatch.setattr(model._phrases, "_encode", lambda ids: seen.append(len(ids)) or encode(ids))
        # when phrases are asked for again, in another order and with a new one
        for phrases in (("a cat", "hole"), ("hole", "a cat"), ("hole", "dog")):
            self.answer(model, *phrases)
        # then each was encoded once
        assert seen == [2, 1]

    def test_a_template_goes_around_the_phrase(self, model: Model, spec: ModelSpec) -> None:
        templated = family.load(other(spec, template="my {}!"))

        one, plain = groundings(self.answer(templated, "cat")), groundings(self.answer(model, "my cat!"))

        assert [told.score for told in one] == [told.score for told in plain]
        assert one[0].phrase == "cat"

    def test_classes_of_the_row_are_detected_as_phrases_are_found(self, model: Model, spec: ModelSpec) -> None:
        both = {"capabilities": (Capability.DETECT, *self.capabilities)}
        named = family.load(other(spec, classes=("hole", "a cat")).model_copy(update=both))
        picture = coloured(40, 64, 0)

        (detected,) = named.run([named.prepare(Ask(Capability.DETECT, (picture,), {"min_score": 0.0}))])

        assert named.classes == ("hole", "a cat")
        grounded = groundings(self.answer(model, "hole", "a cat"))
        assert [one.label for one in detected] == [one.phrase for one in grounded]
        # A test before this one may have had a phrase encoded alone, where the row's classes are encoded together.
        for one, other_one in zip(detected, grounded, strict=True):
            assert one.score == pytest.approx(other_one.score, abs=1e-5)
            assert one.box.xyxy == pytest.approx(other_one.box.xyxy, abs=1e-3)

    def test_its_layout_may_be_that_of_gpus_and_it_is_not_compiled(self, model: Model, spec: ModelSpec) -> None:
        other_layout = family.load(other(spec, channels_last=True))

        weights = [each for each in self.weights(other_layout) if each.dim() == 4]
        assert all(each.is_contiguous(memory_format=torch.channels_last) for each in weights)
        assert self.same(self.answer(other_layout, *PHRASES), self.answer(model, *PHRASES))
        with pytest.raises(ModelUnavailable, match="drop the option `compile`"):
            family.load(other(spec, compile="default"))

    def test_phrases_are_not_found_without_a_text_encoder(self, spec: ModelSpec) -> None:
        alone = spec.model_copy(update={"options": {}})

        with pytest.raises(ModelUnavailable, match="name a CLIP in safetensors as the option `text_encoder`"):
            family.load(alone)

    def test_a_text_encoder_is_pinned(self, spec: ModelSpec) -> None:
        unpinned = {"source": spec.options["text_encoder"]["source"]}

        with pytest.raises(ModelUnavailable, match=r"'unpinned' pins nothing.*sightline models pin toy"):
            family.load(other(spec, text_encoder=unpinned))

    def test_a_text_encoder_that_is_code_is_refused(self, spec: ModelSpec, tmp_path: Path) -> None:
        # given TorchScript that would load
        file = tmp_path / "mobileclip_blt.ts"
        torch.save({"as": "good as any"}, file)

        with pytest.raises(ModelUnavailable, match=r"mobileclip_blt\.ts is a single file, which may hold code"):
            family.load(other(spec, text_encoder=pinned(file)))

    def test_a_text_encoder_of_other_vectors_is_refused(self, spec: ModelSpec, tmp_path: Path) -> None:
        save_clip(tmp_path, size=24)

        with pytest.raises(ModelUnavailable, match="takes vectors of 512 numbers, and its text encoder gives 24"):
            family.load(other(spec, text_encoder=pinned(tmp_path)))

    def test_a_text_tower_alone_serves_as_its_whole_clip_does(
        self, model: Model, spec: ModelSpec, tmp_path: Path
    ) -> None:
        whole = spec.options["text_encoder"]["source"]
        CLIPTextModelWithProjection.from_pretrained(whole).save_pretrained(tmp_path)
        AutoTokenizer.from_pretrained(whole).save_pretrained(tmp_path)

        alone = family.load(other(spec, text_encoder=pinned(tmp_path)))

        assert self.same(self.answer(alone, *PHRASES), self.answer(model, *PHRASES))

    def test_a_text_encoder_that_is_no_clip_is_refused(self, spec: ModelSpec, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
        (tmp_path / "model.safetensors").write_bytes(b"")

        with pytest.raises(ModelUnavailable, match="its text encoder is a 'bert', and no CLIP"):
            family.load(other(spec, text_encoder=pinned(tmp_path)))

    def test_it_connects_to_nothing_and_installs_nothing(self, spec: ModelSpec, tmp_path: Path) -> None:
        # given a process in which every attempt to connect, or to start a program, ends it
        script = """
import sys
def guard(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system"):
        raise SystemExit(f"{event} {arguments}")
import numpy as np
from domain.vision import Capability
from workers.models import family
from workers.models.family import Ask
from workers.registry import ModelSpec
import workers.models.yolo
sys.addaudithook(guard)
model = family.load(ModelSpec.model_validate_json(sys.argv[1]))
ask = Ask(Capability.GROUND, (np.zeros((9, 9, 3), np.uint8),), {"phrases": ("a cat",)})
model.run([model.prepare(ask)])
"""
        home = {**os.environ, "HOME": str(tmp_path), "HF_HOME": str(tmp_path / "hub")}
        told = [sys.executable, "-c", script, spec.model_dump_json()]

        # when a phrase is looked for, then it is answered
        done = subprocess.run(told, env=home, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, done.stderr


class TestYoloWorld(OpenYoloContract):
    architecture = "YOLO-World"
    capabilities = (Capability.GROUND,)

    def build(self, folder: Path) -> None:
        save_world(folder)

    def told(self, network: Any, images: torch.Tensor, vectors: torch.Tensor) -> tuple[torch.Tensor, None]:
        network.model[-1].nc = vectors.shape[1]
        return network(images, txt_feats=vectors)[0], None

    def test_its_own_classes_are_detected_without_a_text_encoder_and_beside_phrases(self, spec: ModelSpec) -> None:
        # given rows that detect, without phrases and with them
        detects = {"capabilities": (Capability.DETECT,), "options": {"threads": 1}}
        plain = family.load(spec.model_copy(update=detects))
        both = family.load(spec.model_copy(update={"capabilities": (Capability.DETECT, Capability.GROUND)}))
        assert plain.classes == both.classes == CLASSES
        picture = coloured(40, 64, 3)
        detect = Ask(Capability.DETECT, (picture,), {"min_score": 0.0})

        # when both kinds of call share a batch
        prepared = [both.prepare(detect), both.prepare(self._asked(picture, *PHRASES))]
        detected, grounded = both.run(prepared)

        # then each is answered as alone
        assert prepared[0].group == prepared[1].group
        (alone,) = plain.run([plain.prepare(detect)])
        assert all(isinstance(one, Detection) and one.label in CLASSES for one in detected)
        assert [one.label for one in detected] == [one.label for one in alone]
        assert [one.score for one in detected] == pytest.approx([one.score for one in alone], abs=1e-3)
        assert {one.phrase for one in groundings(grounded)} <= set(PHRASES)

    def test_it_draws_no_masks(self, spec: ModelSpec) -> None:
        with pytest.raises(ModelUnavailable, match="cannot segment"):
            family.load(spec.model_copy(update={"capabilities": (Capability.GROUND, Capability.SEGMENT)}))


class TestYoloE(OpenYoloContract):
    architecture = "YOLOE"
    capabilities = (Capability.GROUND, Capability.SEGMENT)

    def build(self, folder: Path) -> None:
        save_yoloe(folder)

    def told(self, network: Any, images: torch.Tensor, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return network(images, tpe=vectors)[0]

    def test_masks_of_a_phrase_lie_in_the_boxes_that_are_found_of_it(self, model: Model) -> None:
        picture = coloured(40, 64, 1)
        asked = Ask(Capability.SEGMENT, (picture,), {"prompt": Prompt(phrase="a cat"), "min_score": 0.0})

        segments, found = (model.run([model.prepare(ask)])[0] for ask in (asked, self._asked(picture, "a cat")))

        assert segments
        assert all(isinstance(one, Segment) and decode(one.mask).shape == (40, 64) for one in segments)
        assert {one.score for one in segments} <= {one.score for one in found}

    def test_a_phrase_that_is_too_long_is_cut_when_it_segments_too(self, model: Model) -> None:
        asked = Ask(Capability.SEGMENT, (coloured(40, 64, 1),), {"prompt": Prompt(phrase="the quick fox " * 9)})

        (answer,) = model.run([model.prepare(asked)])

        assert remarks(answer) == {"cut_phrases": 1}

    def test_it_segments_by_phrases_alone(self, model: Model) -> None:
        prompt = Prompt(boxes=(Box(x0=1, y0=1, x1=9, y1=9),))

        with pytest.raises(ModelError, match="no boxes and no points"):
            model.prepare(Ask(Capability.SEGMENT, (coloured(9, 9, 0),), {"prompt": prompt}))

    def test_without_classes_of_its_own_it_detects_none(self, spec: ModelSpec) -> None:
        with pytest.raises(ModelUnavailable, match="keeps no vectors of its classes; name others"):
            family.load(spec.model_copy(update={"capabilities": (Capability.DETECT,)}))
