"""Samples of the application `moderation` that are drawn: what the policy `default` is to allow, flag, block and doubt.

`python -m workers.training.worlds.moderation_samples` draws them anew over the ones that ship. What a sample expects
follows from what was drawn and from the policy; only that of the scene in doubt is what the embedded encoder makes of
it. Grounds and seeds are none that are trained on. Nobody's address or number is meant.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from domain.applications.moderation.contract import APPLICATION
from workers.models.family import Pixels
from workers.training.worlds import scenes
from workers.training.worlds.objects import Pair
from workers.training.worlds.scenes import HELD_OUT_WORLD
from workers.training.worlds.signboards import Board, Weather, photograph

SIDE = 224
"""Width and height of a drawn scene in pixels."""
LINK = "https://shop.example/offer"
MODULE = 4
"""Pixels of a QR code's smallest square."""
MARGIN = 12
"""Pixels of paper around a QR code."""


@dataclass(frozen=True)
class Drawn:
    """A sample: a picture, what comes with it, and what is right."""

    pixels: Pixels
    parameters: Mapping[str, Any]
    expect: Mapping[str, Any]


def _scene(seed: int, *wanted: Pair) -> Pixels:
    scene = scenes.draw(seed, side=SIDE, world=HELD_OUT_WORLD, things=len(wanted), wanted=wanted)
    if tuple(thing.pair for thing in scene.things) != wanted:
        raise AssertionError(f"seed {seed} has no room for {wanted}")
    return scene.pixels


def _told(decision: str, queue: str = "", **expected: Any) -> dict[str, Any]:  # noqa: ANN401  (as JSON has it)
    return {"decision": decision, "queue": queue, "failures": 0, **expected}


def harmless() -> Drawn:
    """Two things that no label speaks of, with a text that none does either."""
    text = "My house and the tree beside it. Followers welcome, and free coffee!"
    return Drawn(_scene(6_100_000, ("blue", "house"), ("green", "tree")), {"text": text}, _told("allow"))


def poison() -> Drawn:
    """A skull, which is blocked."""
    parameters = {"content_id": "post-17", "content_date": "2026-03-01"}
    expected = _told("block", label="poison-symbol", bands={"poison-symbol": "applies", "no-entry": "below"})
    return Drawn(_scene(6_100_010, ("", "skull sign")), parameters, expected)


def no_entry() -> Drawn:
    """A no-entry sign, which is flagged."""
    return Drawn(_scene(6_100_020, ("", "no-entry sign")), {}, _told("flag", label="no-entry"))


def avatar() -> Drawn:
    """A no-entry sign as somebody's avatar, which is blocked."""
    sign = _scene(6_100_030, ("", "no-entry sign"))
    return Drawn(sign, {"surface": "avatar"}, _told("block", label="no-entry"))


def doubtful() -> Drawn:
    """A crossed-out person beside something else: nearly enough, so that a person decides."""
    expected = _told(
        "review", "grey-band", label="crossed-out-person", bands={"crossed-out-person": "grey", "no-entry": "below"}
    )
    return Drawn(_scene(6_100_046, ("", "crossed-out figure"), ("yellow", "tree")), {}, expected)


def banner() -> Drawn:
    """A board with a telephone number and an address, which is blocked."""
    lines = (("CALL NOW", 24), ("098 555 1234", 28), ("www.shop.example", 22))
    board = Board(lines, ink=(20, 20, 60), ground=(235, 225, 120))
    pixels, _ = photograph([board], (360, 240), Weather(noise=1.5), 6_100_050)
    expected = _told("block", label="contact-details", reads=["0985551234", "www.shop.example"])
    return Drawn(pixels, {}, expected)


def code() -> Drawn:
    """A QR code with a link on a strip of paper, beneath a scene that no label speaks of."""
    scene = _scene(6_100_060, ("red", "car"))
    printed = cv2.QRCodeEncoder.create().encode(LINK)
    side = MODULE * printed.shape[0]
    strip = np.full((side + 2 * MARGIN, SIDE, 3), 250, dtype=np.uint8)
    left = (SIDE - side) // 2
    enlarged = cv2.resize(printed, (side, side), interpolation=cv2.INTER_NEAREST)
    strip[MARGIN : MARGIN + side, left : left + side] = enlarged[..., None]
    expected = _told("block", label="link-in-code", codes=[LINK], reads=[LINK])
    return Drawn(np.concatenate([scene, strip]), {}, expected)


def disguised() -> Drawn:
    """A harmless picture with a banned phrase in its text, written so that a plain search would miss it."""
    text = "Hi all, g\N{CYRILLIC SMALL LETTER IE}t your fr\N{CYRILLIC SMALL LETTER IE}3  f0ll0w3rs today"
    expected = _told("block", label="banned-offer", reads=["free followers"])
    return Drawn(_scene(6_100_070, ("orange", "fish")), {"text": text}, expected)


PLANS: Mapping[str, Callable[[], Drawn]] = {
    "harmless": harmless,
    "poison-symbol": poison,
    "no-entry-flagged": no_entry,
    "no-entry-as-avatar": avatar,
    "crossed-out-in-doubt": doubtful,
    "contact-banner": banner,
    "link-in-code": code,
    "disguised-offer": disguised,
}


def write(name: str, drawn: Drawn, folder: Path) -> None:
    """Write a sample's picture beside its JSON file."""
    image = f"{name}.png"
    cv2.imwrite(str(folder / image), drawn.pixels[..., ::-1])
    told = {"images": [image], "parameters": drawn.parameters, "expect": drawn.expect}
    (folder / f"{name}.json").write_text(json.dumps(told, indent=2) + "\n", "utf-8")


def main() -> None:
    """Draw all samples over the ones that ship."""
    for name, plan in PLANS.items():
        write(name, plan(), APPLICATION.samples)


if __name__ == "__main__":
    main()
