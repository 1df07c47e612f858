"""What a text is read to say; what is not understood is not read at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.applications.reporting.reading import Certainty, Claim, sentences
from domain.applications.reporting.technique import told_contrast, told_modalities
from domain.applications.reporting.vocabulary import KnownFinding, vocabulary


def told(text: str) -> set[tuple[str, bool, str | None]]:
    return {(claim.finding, claim.present, claim.side) for one in sentences(text, ended=False) for claim in one.claims}


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("There is a 14 mm nodule in the right upper zone.", {("nodule", True, "right")}),
        ("A nodule of 1.4 cm is seen in the left lower zone.", {("nodule", True, "left")}),
        ("Small left pleural effusion.", {("pleural effusion", True, "left")}),
        ("There is cardiomegaly: the cardiothoracic ratio is 0.58.", {("cardiomegaly", True, None)}),
        ("The heart is of normal size. The lungs are clear.", {("cardiomegaly", False, None), ("nodule", False, None)}),
        ("No pneumothorax or pleural effusion.", {("pneumothorax", False, None), ("pleural effusion", False, None)}),
        ("Neither a pneumothorax nor an effusion.", set()),
        (
            "No pneumothorax, effusion or nodule.",
            {(n, False, None) for n in ("pneumothorax", "pleural effusion", "nodule")},
        ),
        ("Pneumothorax is absent.", {("pneumothorax", False, None)}),
        ("No pneumothorax but a left effusion.", {("pneumothorax", False, None), ("pleural effusion", True, "left")}),
        ("Left effusion, no pneumothorax.", {("pleural effusion", True, "left"), ("pneumothorax", False, None)}),
        ("Bilateral effusions.", {("pleural effusion", True, "left"), ("pleural effusion", True, "right")}),
        ("A pacemaker lies on the left side.", {("pacemaker", True, "left")}),
        (
            "Nodule in the right lung and left effusion.",
            {("nodule", True, "right"), ("pleural effusion", True, "left")},
        ),
        ("The heart is enlarged.", {("cardiomegaly", True, None)}),
        ("The heart is not enlarged.", {("cardiomegaly", False, None)}),
        ("Right-sided pneumothorax with a rim of 25 mm.", {("pneumothorax", True, "right")}),
    ],
)
def test_a_sentence_of_known_words_is_read(text: str, claims: set[tuple[str, bool, str | None]]) -> None:
    assert told(text) == claims


@pytest.mark.parametrize(
    "text",
    [
        "History of pneumothorax.",
        "The pneumothorax has resolved.",
        "No change in the left pleural effusion.",
        "Rule out pneumothorax.",
        "Status after drainage of a left pleural effusion.",
        "Is there a pneumothorax?",
        "If there is a nodule, follow up.",
        "No longer a pneumothorax.",
        "No pneumothorax, cardiomegaly.",
        "No pneumothorax and a left pleural effusion.",
        "No pneumothorax and left pleural effusion.",
        "No pneumothorax with pleural effusion.",
        "There is no absence of pneumothorax.",
        "The lungs are clear and a nodule is seen.",
        "The lungs are not clear.",
        "Pneumothorax with left pleural effusion.",
        "Left and right or left pneumothorax.",
        "Two nodules.",
        "The left nodule on the right.",
        "Consolidation in the left lower lobe.",
        "Left pneumothorax, consolidation.",
        "Kein Pneumothorax.",
        "A nodule is seen: no.",
    ],
)
def test_a_sentence_that_could_be_misread_is_not_read_and_says_why(text: str) -> None:
    (one,) = sentences(text, ended=False)

    assert one.claims == ()
    assert one.problem


@pytest.mark.parametrize(
    ("text", "certainty"),
    [
        ("Possible left pneumothorax.", Certainty.POSSIBLE),
        ("A left pneumothorax cannot be excluded.", Certainty.POSSIBLE),
        ("Probable nodule.", Certainty.PROBABLE),
        ("Left pneumothorax.", Certainty.CERTAIN),
    ],
)
def test_a_hedge_is_kept_and_never_taken_for_a_denial(text: str, certainty: Certainty) -> None:
    (claim,) = sentences(text, ended=False)[0].claims

    assert (claim.present, claim.certainty) == (True, certainty)


def test_what_else_is_told_of_a_finding_is_kept_beside_it() -> None:
    (one,) = sentences("There is a small 1.2 cm nodule in the right upper zone.", ended=True)

    expected = Claim(finding="nodule", present=True, side="right", size_mm=12.0, details=("small", "upper", "zone"))
    assert one.claims == (expected,)


def test_a_draft_that_was_cut_off_loses_its_last_sentence() -> None:
    read = sentences("The lungs are clear. No pneumothorax", ended=True)

    assert [one.problem for one in read] == [None, "it has no end"]
    assert read[1].claims == ()


def test_every_name_and_every_denial_is_read_as_what_it_is() -> None:
    for finding in vocabulary().findings:
        for name in (finding.name, *finding.synonyms):
            assert {(f, p) for f, p, _ in told(f"{name}.")} == {(finding.name, True)}
            assert {(f, p) for f, p, _ in told(f"No {name}.")} in ({(finding.name, False)}, set())
        for denial in finding.denials:
            assert told(f"{denial}.") == {(finding.name, False, None)}


@given(st.text(max_size=200))
def test_any_text_is_read_without_an_error_and_nothing_is_lost(text: str) -> None:
    for one in sentences(text, ended=True):
        assert (one.problem is None) == bool(one.claims)


words = [word for saying, _, _ in vocabulary().sayings() for word in saying.split()]


@given(st.lists(st.sampled_from([*words, ",", ":", "but", "12 mm"]), min_size=1, max_size=14))
def test_whatever_the_order_of_known_words_nothing_is_both_told_and_denied(chosen: list[str]) -> None:
    for one in sentences(" ".join(chosen), ended=False):
        assert len({(claim.finding, claim.side) for claim in one.claims}) == len(one.claims)


def test_a_text_tells_how_pictures_were_taken() -> None:
    assert told_modalities("A CT with contrast.") == (frozenset({"CT"}),)
    assert told_modalities("Frontal chest x-ray.") == (frozenset({"DX", "CR", "RG"}),)
    assert told_contrast("CT without contrast") is False
    assert told_contrast("contrast-enhanced") is True
    assert told_contrast("Good contrast between heart and lung") is None


def test_a_question_for_a_side_goes_with_findings_whose_side_is_asked_for() -> None:
    with pytest.raises(ValueError, match="side_question"):
        KnownFinding(name="a", region="lungs", phrase="a", question="a?", side="question")
