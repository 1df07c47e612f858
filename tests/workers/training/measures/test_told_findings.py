"""A draft tells what it says is there, on the side that it says, and not what it denies."""

import pytest

from workers.training.measures.told_findings import told_findings

NAMES = ("nodule", "pleural effusion", "effusion", "cardiomegaly", "pneumothorax", "pacemaker")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Normal chest.", []),
        ("No pneumothorax or pleural effusion.", []),
        ("There is a nodule in the left upper zone. No effusion.", [("nodule", "left")]),
        ("Left pneumothorax, right pleural effusion.", [("pleural effusion", "right"), ("pneumothorax", "left")]),
        ("Bilateral effusions.", [("effusion", "left"), ("effusion", "right")]),
        ("Nodules are not seen. A right effusion is present.", [("effusion", "right")]),
        ("No effusion, but a right-sided nodule is seen", [("nodule", "right")]),
        ("Effusion on the right and a nodule on the left", [("effusion", "right"), ("nodule", "left")]),
        ("Left nodule and cardiomegaly", [("cardiomegaly", ""), ("nodule", "left")]),
        ("A pneumothorax was ruled out.", []),
        ("The lungs are clear without focal nodule; pacemaker on the left", [("pacemaker", "left")]),
        ("PLEURAL_EFFUSION: right", [("pleural effusion", "")]),
        ("", []),
    ],
)
def test_findings_are_read_with_their_sides(text: str, told: list[tuple[str, str]]) -> None:
    assert sorted((one.finding, one.side) for one in told_findings(text, NAMES)) == told
