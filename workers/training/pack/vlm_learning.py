"""How the embedded VLM learns: first the eye, patch by patch; then answers, all that is asked of a picture at once.

A picture is looked at once for all its questions: they stand one behind the other, and each sees the picture and
itself, as if it were asked alone (packing; Krell et al. 2021). What is learned from an answer is the cross entropy of
its tokens.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from torchvision.ops import box_iou
from transformers import PreTrainedTokenizerFast

from workers.training.loop import Step
from workers.training.pack.drawing import stream
from workers.training.pack.encoder_learning import patch_losses
from workers.training.pack.precision import quick
from workers.training.pack.vlm_examples import BINS, LEARNED, LOCATIONS, VALIDATED, Asked, Shown, batch
from workers.training.pack.vlm_network import Seeing
from workers.training.pack.vlm_words import answer, before, question

BATCH = 32
VALIDATION = 256
EYE_RATE, WORDS_RATE = 0.25, 0.5
"""At which shares of the rate the eye goes on learning with the answers, and what answers: attention wants a gentler
rate than convolutions do."""
CHUNK = 32
EYE_WEIGHT = 0.3
"""What the patches count for beside the answers."""
FINDING_WEIGHT = 3.0
"""What a patch of a finding counts for beside one of none."""
BOX_WEIGHT = 4.0
"""What a share of the side by which a patch's box is off counts for beside the other losses."""
NEAR = 2


class EyeLearner:
    """Learns what each patch shows: kind and colour of a thing, or which findings."""

    watched = "patches"

    def __init__(self, network: Seeing, seed: int, size: int = BATCH, validation: int = VALIDATION) -> None:
        self.network: torch.nn.Module = network
        self.rates: Mapping[str, float] = {}
        self._seeing, self._size = network, size
        self._validation = [batch(VALIDATED, seed, CHUNK, True, number) for number in range(-(-validation // CHUNK))]

    def batches(self, seed: int) -> Iterator[Shown]:
        """Return freshly drawn batches."""
        return stream(partial(batch, LEARNED, seed, self._size, False))

    def loss(self, shown: Shown) -> Step:
        """Judge what is read off each patch."""
        with quick():
            told = self._seeing.told(self._seeing.looked(shown.pixels))
        parts = patch_parts(told, shown)
        return Step(torch.stack(list(parts.values())).sum(), parts, len(shown.pixels))

    def measure(self) -> Mapping[str, float]:
        """Return how well patches are read, and the mean of all as `patches`.

        Of kinds and colours it is the share that is told, of boxes the share that is met at an IoU of 0.5, of findings
        F1.
        """
        right: dict[str, list[torch.Tensor]] = defaultdict(list)
        counts = torch.zeros(3)
        for shown in self._validation:
            with quick():
                told = self._seeing.told(self._seeing.looked(shown.pixels))
            for name, labels in (("kinds", shown.kinds), ("colours", shown.colours)):
                true = torch.from_numpy(labels)
                right[name].append((told[name].argmax(dim=-1) == true)[true > 0])
            boxes = torch.from_numpy(shown.boxes)
            boxed = ~boxes[..., 0].isnan()
            right["boxes"].append(box_iou(told["boxes"][boxed], boxes[boxed]).diagonal() >= 0.5)
            there, found = torch.from_numpy(shown.findings) == 1, told["findings"] > 0
            found &= torch.from_numpy(shown.findings) >= 0
            counts += torch.stack([(there & found).sum(), there.sum(), found.sum()])
        both = {name: float(torch.cat(each).float().mean()) for name, each in right.items()}
        both["findings"] = float(2 * counts[0] / (counts[1] + counts[2]).clamp(min=1))
        return {**both, "patches": sum(both.values()) / len(both)}


def patch_parts(told: Mapping[str, torch.Tensor], shown: Shown) -> dict[str, torch.Tensor]:
    """Return the losses of what patches are read as (`Seeing.told`); ground counts for less."""
    losses = patch_losses(told["kinds"], told["colours"], shown)
    boxes = torch.from_numpy(shown.boxes)
    boxed = ~boxes[..., 0].isnan()
    losses["boxes"] = BOX_WEIGHT * (told["boxes"][boxed] - boxes[boxed]).abs().sum() / max(4 * int(boxed.sum()), 1)
    there = torch.from_numpy(shown.findings)
    weights = torch.where(there == 1, FINDING_WEIGHT, torch.where(there == 0, 1.0, 0.0))
    lost = binary_cross_entropy_with_logits(told["findings"].float(), there.clamp(min=0), weights, reduction="sum")
    losses["findings"] = lost / weights.sum().clamp(min=1)
    return losses


@dataclass(frozen=True, eq=False)
class Packed:
    """All questions of N pictures with their answers, L tokens a picture.

    `tokens` and `positions` are N×L, `sees` is N×1×L×L. The answers' tokens are `targets` (T), each of which the token
    at `rows`, `columns` is followed by; `owners` says of which answer of `asked` each is.
    """

    tokens: torch.Tensor
    positions: torch.Tensor
    sees: torch.Tensor
    rows: torch.Tensor
    columns: torch.Tensor
    targets: torch.Tensor
    owners: torch.Tensor
    asked: tuple[Asked, ...]


def packed(asked: Sequence[Sequence[Asked]], words: PreTrainedTokenizerFast) -> Packed:
    """Put the questions of each picture behind it."""
    prefix = before(words)
    rows: list[list[int]] = []
    positions: list[list[int]] = []
    parts: list[list[int]] = []
    wanted: list[tuple[int, int, int, int]] = []
    flat = tuple(one for each in asked for one in each)
    owner = 0
    for row, each in enumerate(asked):
        tokens, places, part = list(prefix), list(range(len(prefix))), [0] * len(prefix)
        for number, one in enumerate(each, start=1):
            put, told = question(words, one.question), answer(words, one.answer)
            first = len(tokens) + len(put)
            wanted += [(row, first + index - 1, token, owner) for index, token in enumerate(told)]
            tokens += put + told
            places += range(len(prefix), len(prefix) + len(put) + len(told))
            part += [number] * (len(put) + len(told))
            owner += 1
        rows.append(tokens)
        positions.append(places)
        parts.append(part)
    longest = max(map(len, rows))
    of = torch.tensor([part + [-1] * (longest - len(part)) for part in parts])
    own = (of[:, :, None] == of[:, None, :]) | (of[:, None, :] == 0)
    sees = own & torch.ones(longest, longest, dtype=torch.bool).tril()
    at, columns, targets, owners = torch.tensor(wanted).T
    return Packed(
        _padded(rows, longest, words.pad_token_id),
        _padded(positions, longest, 0),
        sees[:, None],
        at,
        columns,
        targets,
        owners,
        flat,
    )


def _padded(rows: Sequence[Sequence[int]], length: int, value: int) -> torch.Tensor:
    return torch.tensor([[*row, *[value] * (length - len(row))] for row in rows])


class AnswerLearner(EyeLearner):
    """Learns to answer, without forgetting the patches."""

    watched = "answers"

    def __init__(
        self,
        network: Seeing,
        words: PreTrainedTokenizerFast,
        seed: int,
        size: int = BATCH,
        validation: int = VALIDATION,
    ) -> None:
        super().__init__(network, seed, size, validation)
        self.rates = {"vlm.model.vision_tower": EYE_RATE, "vlm.": WORDS_RATE}
        self._words = words
        self._places: int = words.convert_tokens_to_ids(LOCATIONS[0])  # the others follow it

    def batches(self, seed: int) -> Iterator[Shown]:
        """Return freshly drawn batches."""
        return stream(partial(batch, LEARNED, seed, self._size, True))

    def loss(self, shown: Shown) -> Step:
        """Judge the answers, and what is read off the patches."""
        told = packed(shown.asked, self._words)
        with quick():
            logits, patches = self._answered(shown, told)
        eye = patch_parts(patches, shown)
        each = cross_entropy(logits.float(), told.targets, reduction="none")
        # A long answer counts for more than a short one, but not for as many times more as it is longer.
        weights = told.owners.bincount()[told.owners].float().rsqrt()
        answers = (each * weights).sum() / weights.sum()
        parts = {"answers": answers, **eye}
        return Step(answers + EYE_WEIGHT * torch.stack(list(eye.values())).sum(), parts, len(shown.pixels))

    def measure(self) -> Mapping[str, float]:
        """Return the share of the answers of each kind that would be written so; `answers`: the kinds' mean.

        Of a box it is enough that each of its sides is told within `NEAR` steps.
        """
        right: dict[str, list[bool]] = defaultdict(list)
        for shown in self._validation:
            told = packed(shown.asked, self._words)
            with quick():
                logits, _ = self._answered(shown, told)
            off = (logits.argmax(dim=-1) - told.targets).abs()
            of_places = (told.targets >= self._places) & (told.targets < self._places + BINS)
            wrong = torch.where(of_places, off > NEAR, off > 0)
            wrongs = torch.zeros(len(told.asked)).index_add(0, told.owners, wrong.float())
            for one, count in zip(told.asked, wrongs.tolist(), strict=True):
                right[one.kind].append(count == 0)
        shares = {kind: sum(each) / len(each) for kind, each in sorted(right.items())}
        # A draft is worded by chance in one of two ways, so that few are the same to the letter.
        judged = [share for kind, share in shares.items() if kind != "draft"]
        return {**shares, "answers": sum(judged) / len(judged)}

    def _answered(self, shown: Shown, told: Packed) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return what follows each token that an answer's comes after, T×V, as logits; and what patches show."""
        seen = self._seeing.looked(shown.pixels)
        out = self._seeing.vlm.model(
            input_ids=told.tokens,
            attention_mask=told.sees,
            position_ids=told.positions,
            mm_encoder_outputs={"image": seen},
            use_cache=False,
        ).last_hidden_state
        return self._seeing.vlm.lm_head(out[told.rows, told.columns]), self._seeing.told(seen)
