"""The family `vqa_head`: models of visual question answering, which score the answers, for `Capability.ASK`.

ViLT, VisualBERT and LXMERT choose among the answers that their head knows (`workers/modelling/answer_heads.py`); BLIP
writes an answer, or ranks the options of a call by how probable it would be to write each
(`workers/modelling/answer_writing.py`).
"""

import json
from typing import Any

from transformers import (
    BlipForQuestionAnswering,
    LxmertForQuestionAnswering,
    ViltForQuestionAnswering,
    VisualBertForQuestionAnswering,
)

from domain.errors import ModelUnavailable
from domain.vision import Capability
from workers.modelling.answer_heads import Lxmert, Vilt, VisualBert
from workers.modelling.answer_writing import Blip
from workers.modelling.asking import Asked
from workers.modelling.checkpoint import folder, place, pretrained
from workers.modelling.options import options
from workers.registry import ModelSpec


def load(spec: ModelSpec) -> "Asked":
    """Load a checkpoint.

    Options: `top` (how many answers are told, default 5), `temperature` (of the scores, from a calibration), `answers`
    (a JSON list in the checkpoint's folder: the head's answers, where its configuration does not name them),
    `max_new_tokens` (of BLIP, default 128), `threads`. VisualBERT and LXMERT need `detector` (a table
    with the `source` and the `revision` of a DETR, RT-DETR or the like) and take `regions` (`queries`, the default, or
    `pooled`) and `region_count` (default 36). Raises ModelUnavailable.
    """
    path, at = folder(spec), place(spec)
    kinds: dict[str, tuple[type[Asked], Any]] = {
        "vilt": (Vilt, ViltForQuestionAnswering),
        "visual_bert": (VisualBert, VisualBertForQuestionAnswering),
        "lxmert": (Lxmert, LxmertForQuestionAnswering),
        "blip": (Blip, BlipForQuestionAnswering),
    }
    kind = str(json.loads((path / "config.json").read_text("utf-8")).get("model_type"))
    if kind not in kinds:
        raise ModelUnavailable(f"model {spec.name!r}: a {kind!r} is none of {', '.join(kinds)}")
    family, architecture = kinds[kind]
    told = options(spec, family.schema, {Capability.ASK})
    return family(spec, at, pretrained(architecture, path, at), path, told)
