"""Phrases as vectors of length 1, which open-vocabulary detectors compare their boxes with. Each is kept."""

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

import torch
from torch.nn.functional import normalize
from transformers import AutoConfig, AutoTokenizer, CLIPTextModelWithProjection

from domain.errors import ModelError, ModelUnavailable
from workers.modelling.checkpoint import Place, finite, folder, pretrained, processor
from workers.registry import ModelSpec

KEPT = 10_000
"""Once more vectors than this are kept, all are forgotten."""
AT_ONCE = 64
"""So many phrases become vectors at a time."""

Text = tuple[int, ...]
"""A phrase in its template, as tokens with those that begin and end a text."""
Encode = Callable[[torch.Tensor], torch.Tensor]
"""Texts (n × longest, padded with zeros) to their vectors (n × D)."""


class _TextTower(CLIPTextModelWithProjection):  # type: ignore[misc]  # transformers has no types
    """The half of a CLIP that reads; of the other half, which a checkpoint has too, nothing needs to be warned."""

    _keys_to_ignore_on_load_unexpected = (r"^vision_model\.", r"^visual_projection\.", r"^logit_scale$")


class Phrases:
    """Reads phrases, in any thread, and gives their vectors, in the device's.

    It is for text towers of CLIP's making: they look back only, and their vector stands where the text ends, so that
    the padding behind it does not matter.
    """

    def __init__(self, tokenizer: Any, longest: int, template: str, encode: Encode, at: Place) -> None:  # noqa: ANN401
        self._tokenizer, self._longest, self._template = tokenizer, longest, template
        self._encode: Encode | None = encode
        self._at, self._turn = at, Lock()
        self._vectors: dict[Text, torch.Tensor] = {}

    def read(self, phrases: Sequence[str]) -> tuple[Sequence[Text], int]:
        """Return the phrases as texts, and how many of them were cut. Raises ModelError on one without a word."""
        texts, cut = [], 0
        for phrase in phrases:
            if not phrase.strip():
                raise ModelError(f"a phrase needs a word: {phrase!r}")
            with self._turn:  # a fast tokenizer refuses a second thread while a first one sets its padding
                ids = self._tokenizer(self._template.replace("{}", phrase), verbose=False)["input_ids"]
            if len(ids) > self._longest:
                cut += 1
                ids = [*ids[: self._longest - 1], ids[-1]]
            texts.append(tuple(ids))
        return texts, cut

    def keep(self, texts: set[Text]) -> None:
        """Encode what of these is not kept yet. Raises ModelUnavailable after `close`."""
        if self._encode is None:
            raise ModelUnavailable("this model was closed")
        if len(self._vectors) > KEPT:
            self._vectors.clear()
        missing = sorted(texts - self._vectors.keys())
        for start in range(0, len(missing), AT_ONCE):
            some = missing[start : start + AT_ONCE]
            padded = [[*text, *[0] * (self._longest - len(text))] for text in some]
            told = self._encode(torch.tensor(padded, device=self._at.device))
            finite(told)
            # A copy: a view would keep the vectors of all its company.
            self._vectors.update((text, row.clone()) for text, row in zip(some, normalize(told, dim=-1), strict=True))

    @property
    def size(self) -> int:
        """How many numbers a vector has; found by making one."""
        (text,), _ = self.read(["a"])
        self.keep({text})
        return self._vectors[text].numel()

    def vectors(self, texts: Sequence[Text]) -> torch.Tensor:
        """Return the vectors of texts that are kept, n × D."""
        return torch.stack([self._vectors[text] for text in texts])

    def close(self) -> None:
        """Forget the vectors and what makes them."""
        self._vectors.clear()
        self._encode = None


def clip_phrases(spec: ModelSpec, at: Place, template: str) -> Phrases:
    """Load the text tower of a CLIP, a checkpoint of its own, for a network that was trained with its vectors.

    Raises ModelUnavailable where it is not here, not pinned, or no CLIP.
    """
    if spec.path.is_file():
        raise ModelUnavailable(
            f"model {spec.name!r}: the text encoder {spec.path} is a single file, which may hold code (TorchScript, "
            f"pickles) and is not read; name the folder or the hub's repository of a CLIP in safetensors"
        )
    path = folder(spec)
    config = processor(AutoConfig, path)
    if config.model_type not in {"clip", "clip_text_model"}:
        raise ModelUnavailable(f"model {spec.name!r}: its text encoder is a {config.model_type!r}, and no CLIP")
    told = config.get_text_config()
    told.projection_dim = config.projection_dim  # a whole CLIP's own, which its towers' need not repeat
    network = pretrained(_TextTower, path, at, config=told)
    longest = int(network.config.max_position_embeddings)

    def encode(ids: torch.Tensor) -> torch.Tensor:
        return network(input_ids=ids).text_embeds  # type: ignore[no-any-return]

    return Phrases(processor(AutoTokenizer, path), longest, template, encode, at)
