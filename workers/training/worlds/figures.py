"""Animals, plants and things as outlines: each function draws one of its kind, a little different each time."""

import numpy as np

from workers.training.worlds.outlines import Outline, bent, box, disc, ellipse, path, stroke

Random = np.random.Generator


def house(rng: Random) -> Outline:
    """Walls, a pitched roof, a door and a window."""
    eaves = rng.uniform(-0.25, 0.0)
    door = rng.uniform(-0.5, -0.1)
    roof = path((-1, eaves), (0, -1), (1, eaves))
    openings = (box(door, 0.3, door + 0.35, 0.9), box(0.25, 0.2, 0.6, 0.5))
    return Outline((roof, box(-0.78, eaves - 0.02, 0.78, 0.9)), details=openings)


def tree(rng: Random) -> Outline:
    """A trunk with a round crown, or a fir in layers."""
    trunk = box(-0.13, 0.3, 0.13, 1)
    if rng.random() < 0.5:
        crown = tuple(disc(x, y, 0.42) for x, y in ((-0.35, -0.1), (0.35, -0.1), (0, -0.5), (0, 0.05)))
        return Outline((*crown, trunk))
    layers = tuple(path((0, top - 0.15), (wide, top + 0.6), (-wide, top + 0.6)) for top, wide in LAYERS)
    return Outline((*layers, trunk))


LAYERS = ((-0.85, 0.45), (-0.45, 0.62), (0.0, 0.78))


def fish(rng: Random) -> Outline:
    """A body, a forked tail, a fin and an eye."""
    deep = rng.uniform(0.36, 0.52)
    tail = path((0.45, 0), (1, -0.45), (0.85, 0), (1, 0.45))
    fin = path((-0.25, -deep + 0.05), (0.25, -deep - 0.22), (0.3, -deep + 0.2))
    return Outline((ellipse(-0.25, 0, 0.75, deep), tail, fin), details=(disc(-0.65, -0.1, 0.09),))


def cat(rng: Random) -> Outline:
    """Seated, seen from the front: ears, whiskerless head, body, a tail beside it."""
    ears = (path((-0.36, -0.5), (-0.34, -1), (-0.05, -0.7)), path((0.36, -0.5), (0.34, -1), (0.05, -0.7)))
    body = bent((0, -0.3), (0.36, 0.2), (0.45, 0.9), (0, 0.98), (-0.45, 0.9), (-0.36, 0.2))
    high = rng.uniform(-0.1, 0.25)
    tail = stroke(0.15, (0.35, 0.88), (0.72, 0.75), (0.8, 0.4), (0.68, high))
    eyes = (disc(-0.14, -0.52, 0.06), disc(0.14, -0.52, 0.06))
    return Outline((ellipse(0, -0.48, 0.38, 0.32), *ears, body, *tail), details=eyes)


def horse(rng: Random) -> Outline:
    """Seen from the side: a long body on four legs, an upright neck with a mane, a hanging tail."""
    neck = path((-0.62, 0.1), (-0.2, -0.15), (-0.5, -0.85), (-0.72, -0.75))
    head = path((-0.5, -0.98), (-0.45, -0.72), (-0.92, -0.38), (-1, -0.52))
    stride = rng.uniform(-0.12, 0.12)
    feet = ((-0.5, -0.5 + stride), (-0.33, -0.3 - stride), (0.38, 0.32 + stride), (0.55, 0.58 - stride))
    legs = tuple(part for top, foot in feet for part in stroke(0.13, (top, 0.2), (foot, 0.95)))
    tail = stroke(0.12, (0.6, -0.1), (0.85, 0.1), (0.88, 0.5))
    return Outline((ellipse(0, 0.05, 0.68, 0.3), neck, head, *legs, *tail), details=(disc(-0.62, -0.7, 0.04),))


def car(rng: Random) -> Outline:
    """Seen from the side: a body, a cabin with windows, two wheels."""
    front, roof = rng.uniform(-0.6, -0.4), rng.uniform(-0.55, -0.42)
    cabin = path((front - 0.12, 0.0), (front + 0.15, roof), (0.45, roof), (0.72, 0.0))
    body = bent((-1, 0.3), (-0.95, 0.0), (-0.5, -0.06), (0.7, -0.06), (0.98, 0.02), (1, 0.35), (0, 0.36))
    wheels = (disc(-0.52, 0.36, 0.24), disc(0.55, 0.36, 0.24))
    panes = (
        path((front + 0.05, -0.06), (front + 0.22, roof + 0.1), (-0.02, roof + 0.1), (-0.02, -0.06)),
        path((0.08, -0.06), (0.08, roof + 0.1), (0.4, roof + 0.1), (0.55, -0.06)),
    )
    hubs = (disc(-0.52, 0.36, 0.11), disc(0.55, 0.36, 0.11))
    return Outline((body, cabin, *wheels), details=(*panes, *hubs))
