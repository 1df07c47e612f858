"""A call on a pair of pictures: its windows, cut out for a network, and what was found in them, told of the picture."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from domain.vision import Detection
from workers.imaging.letterbox import Fit
from workers.modelling.pairs import ACROSS, Pairs, Pixels, Window, cut, joined, stacked, windows
from workers.modelling.squares import detections


@dataclass(frozen=True, eq=False)
class PairCall:
    """The windows (n × S × S × 3) in which a picture of that size (H, W) differs from its reference."""

    squares: Pixels
    places: Sequence[Window]
    size: tuple[int, int]
    min_score: float
    names: Sequence[str]

    @classmethod
    def of(
        cls, pair: tuple[Pixels, Pixels], how: Pairs, side: int, min_score: float, names: Sequence[str]
    ) -> "PairCall":
        """Cut the windows out of a picture and its registered reference. Raises ModelError where the two do not fit."""
        channels = stacked(*pair, how)
        places = windows(channels, how)
        squares = np.zeros((len(places), side, side, 3), dtype=np.uint8)
        for at, window in enumerate(places):
            squares[at] = cut(channels, window, side)
        return cls(squares, places, (channels.shape[0], channels.shape[1]), min_score, names)

    @property
    def pixels(self) -> int:
        """What the call weighs against a batch's limits: something even where nothing differs."""
        side = int(self.squares.shape[1])
        return max(len(self.places), 1) * side * side

    def told(self, rows: Sequence[torch.Tensor], overlap: float, most: int) -> tuple[Detection, ...]:
        """Return what the windows' rows, as `detections` takes them, say of the picture, each thing once."""
        side = self.squares.shape[1]
        seen = [
            (place, detections(one, None, Fit(place.side, place.side, side), self.names, self.min_score))
            for place, one in zip(self.places, rows, strict=True)
        ]
        return joined(seen, self.size, min(overlap, ACROSS), most)
