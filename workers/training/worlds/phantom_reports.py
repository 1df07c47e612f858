"""Reports on phantoms: a sentence for each finding, and what else was looked for and not seen.

The words are plain and their number is small; who measures drafts reads findings and sides off them by rules.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from workers.training.worlds.phantom_findings import FINDINGS, Painted

INSTRUCTION = "Draft a report of this chest radiograph."
EXCLUDED = ("pneumothorax", "pleural effusion")
"""What a report says to be absent where it is."""
NORMAL = ("The heart is of normal size. The lungs are clear.", "The lungs are clear. The heart is of normal size.")


def report(findings: Sequence[Painted], rng: np.random.Generator) -> str:
    """Write a report: what is there in the order of FINDINGS, then what is not."""
    present = sorted(findings, key=lambda finding: FINDINGS.index(finding.name))
    said = [SENTENCES[finding.name](finding, int(rng.integers(2))) for finding in present]
    if not present:
        said.append(NORMAL[int(rng.integers(2))])
    absent = [name for name in EXCLUDED if name not in {finding.name for finding in present}]
    said += [f"No {' or '.join(absent)}."] if absent else []
    return " ".join(said)


def extent(share: float) -> str:
    """Return how large an effusion is called that fills such a share of the lung's height."""
    return "small" if share < 0.3 else "moderate" if share < 0.4 else "large"


def _nodule(finding: Painted, wording: int) -> str:
    where = f"the {finding.side} {finding.region} zone"
    size = f"{finding.measure:.0f} mm"
    return (f"There is a {size} nodule in {where}.", f"A nodule of {size} is seen in {where}.")[wording]


def _effusion(finding: Painted, wording: int) -> str:
    what = f"{extent(finding.measure)} {finding.side} pleural effusion"
    return (f"There is a {what}.", f"{what.capitalize()}.")[wording]


def _heart(finding: Painted, wording: int) -> str:
    ratio = f"the cardiothoracic ratio is {finding.measure:.2f}"
    return (f"There is cardiomegaly: {ratio}.", f"Cardiomegaly: {ratio}.")[wording]


def _pneumothorax(finding: Painted, wording: int) -> str:
    what = f"{finding.side} pneumothorax with a rim of {finding.measure:.0f} mm"
    return (f"There is a {what}.", f"{what.capitalize()}.")[wording]


def _pacemaker(finding: Painted, wording: int) -> str:
    return (f"There is a {finding.side} pacemaker.", f"A pacemaker lies on the {finding.side} side.")[wording]


def _catheter(finding: Painted, wording: int) -> str:
    return (
        f"There is a {finding.side} central venous catheter.",
        f"A central venous catheter enters from the {finding.side} side.",
    )[wording]


SENTENCES: Mapping[str, Callable[[Painted, int], str]] = MappingProxyType(
    {
        "nodule": _nodule,
        "pleural effusion": _effusion,
        "cardiomegaly": _heart,
        "pneumothorax": _pneumothorax,
        "pacemaker": _pacemaker,
        "central venous catheter": _catheter,
    }
)
