"""What holds for any policy and whatever is seen: nothing is allowed in doubt, and more evidence is never milder."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from domain.applications.application import BankMatch
from domain.applications.moderation.decide import Decided, decide, severity
from domain.applications.moderation.evidence import Evidence, Failure, Hashed, Reading, places
from domain.applications.moderation.policy import Label, Policy
from domain.applications.moderation.result import Decision
from domain.vision import Hashes

IDS = ("a", "b", "c")
ORDER = (Decision.ALLOW, Decision.FLAG, Decision.REVIEW, Decision.BLOCK, Decision.ESCALATE)
HASHES = Hashes(pdq="0" * 64, pdq_quality=100, phash="0" * 16)

RULES = (
    {"kind": "prompts", "prompts": ["x"], "against": ["y"]},
    {"kind": "text", "phrases": ["bad"]},
    {"kind": "codes", "any_code": True},
)
scores = st.integers(0, 20).map(lambda twentieth: twentieth / 20)
limits = st.tuples(st.integers(1, 20), st.integers(1, 20)).map(
    lambda pair: {"review": min(pair) / 20, "act": max(pair) / 20}
)


def labels(actions: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Label]]:
    """Labels of any thresholds and signals."""
    label = st.fixed_dictionaries(
        {
            "title": st.just("something"),
            "action": actions,
            "thresholds": limits,
            "signals": st.lists(st.sampled_from(RULES), min_size=1, max_size=2),
            "four_eyes": st.booleans(),
        }
    )
    told = st.dictionaries(st.sampled_from(IDS), label, min_size=1)
    return told.map(lambda listed: dict(Policy.model_validate({"labels": listed}).labels))


every_label = labels(st.sampled_from(["flag", "block", "escalate"]))
routes = st.lists(
    st.fixed_dictionaries(
        {
            "queue": st.sampled_from(["q1", "q2"]),
            "decisions": st.none() | st.lists(st.sampled_from(["flag", "review", "block"]), min_size=1, max_size=2),
            "asks": st.booleans(),
        }
    ),
    max_size=3,
)


def asked(wanted: dict[str, Label], images: int) -> list[tuple[str, int, str, int | None]]:
    """All that must be answered: label, signal, kind, place."""
    return [
        (id_, number, rule.kind, place)
        for id_, label in wanted.items()
        for number, rule in enumerate(label.signals)
        for place in places(rule, images)
    ]


@st.composite
def seen(draw: st.DrawFn, wanted: dict[str, Label], *, complete: bool = False) -> Evidence:
    """Evidence on one or two pictures: of each signal a score, or a failure, or nothing at all."""
    images = draw(st.integers(1, 2))
    readings, failures = [], []
    for id_, number, kind, place in asked(wanted, images):
        about: dict[str, Any] = {"label": id_, "signal": number, "kind": kind, "image": place}
        what = "reading" if complete else draw(st.sampled_from(["reading", "reading", "both", "failure", "nothing"]))
        if what in ("reading", "both"):
            readings.append(Reading(**about, score=draw(scores)))
        if what in ("failure", "both"):
            failures.append(Failure(**about, code="x", abstained=draw(st.booleans()), sentence="it failed"))
    return Evidence(images=images, readings=tuple(readings), failures=tuple(failures))


def decided(wanted: dict[str, Label], evidence: Evidence, ruled: list[dict[str, Any]] | None = None) -> Decided:
    told = [{"name": f"r{number}", **rule} for number, rule in enumerate(ruled or [])]
    policy = Policy.model_validate({"labels": {"z": _any()}, "routes": told})
    return decide(wanted, policy.routes, "default", evidence)


def _any() -> dict[str, Any]:
    return {"title": "z", "action": "flag", "thresholds": {"review": 1, "act": 1}, "signals": [RULES[0]]}


def weight(told: Decided) -> int:
    return severity(told.reasons[0]) if told.reasons else 0


@given(data=st.data(), wanted=every_label, ruled=routes)
def test_nothing_is_allowed_when_a_signal_failed_or_lies_in_the_grey_band_or_is_missing(
    data: st.DataObject, wanted: dict[str, Label], ruled: list[dict[str, Any]]
) -> None:
    evidence = data.draw(seen(wanted))
    told = decided(wanted, evidence, ruled)
    answered = {(one.label, one.signal, one.kind, one.image) for one in evidence.readings}
    complete = answered == set(asked(wanted, evidence.images)) and not evidence.failures
    below = all(one.score < wanted[one.label].thresholds.review for one in evidence.readings)
    assert (told.decision is Decision.ALLOW) == (complete and below)


@given(data=st.data(), wanted=every_label)
def test_a_failure_is_never_published_without_a_person(data: st.DataObject, wanted: dict[str, Label]) -> None:
    evidence = data.draw(seen(wanted))
    told = decided(wanted, evidence)
    if evidence.failures:
        assert told.decision not in (Decision.ALLOW, Decision.FLAG)


@given(data=st.data(), wanted=every_label, raised=scores)
def test_raising_a_score_never_makes_the_decision_milder(
    data: st.DataObject, wanted: dict[str, Label], raised: float
) -> None:
    # given any evidence, and the same with one score raised
    evidence = data.draw(seen(wanted, complete=True) | seen(wanted))
    if not evidence.readings:
        return
    at = data.draw(st.integers(0, len(evidence.readings) - 1))
    readings = list(evidence.readings)
    readings[at] = readings[at].model_copy(update={"score": max(readings[at].score, raised)})
    more = Evidence(images=evidence.images, readings=tuple(readings), failures=evidence.failures)
    # then what is decided weighs no less
    assert weight(decided(wanted, more)) >= weight(decided(wanted, evidence))


@given(action=st.sampled_from(["flag", "block", "escalate"]), limit=limits)
def test_over_all_scores_of_one_label_the_decision_rises_from_allow_over_review_to_its_action(
    action: str, limit: dict[str, float]
) -> None:
    told = Policy.model_validate(
        {"labels": {"a": {"title": "a", "action": action, "thresholds": limit, "signals": [RULES[0]]}}}
    )
    steps = []
    for twentieth in range(21):
        reading = Reading(label="a", signal=0, kind="prompts", image=0, score=twentieth / 20)
        steps.append(decided(dict(told.labels), Evidence(images=1, readings=(reading,))))
    assert [weight(step) for step in steps] == sorted(weight(step) for step in steps)
    assert (steps[0].decision, steps[-1].decision) == (Decision.ALLOW, Decision(action))
    assert {step.decision for step in steps} <= {Decision.ALLOW, Decision.REVIEW, Decision(action)}


@given(data=st.data(), wanted=labels(st.sampled_from(["block", "escalate"])), raised=scores)
def test_where_nothing_is_only_flagged_the_decisions_themselves_never_get_milder(
    data: st.DataObject, wanted: dict[str, Label], raised: float
) -> None:
    evidence = data.draw(seen(wanted, complete=True))
    readings = [one.model_copy(update={"score": max(one.score, raised)}) for one in evidence.readings]
    before = decided(wanted, evidence).decision
    after = decided(wanted, Evidence(images=evidence.images, readings=tuple(readings))).decision
    assert ORDER.index(after) >= ORDER.index(before)


@given(data=st.data(), wanted=every_label, failing=st.booleans())
def test_a_further_failure_or_reading_never_makes_the_decision_milder(
    data: st.DataObject, wanted: dict[str, Label], failing: bool
) -> None:
    evidence = data.draw(seen(wanted, complete=True))
    id_, number, kind, place = data.draw(st.sampled_from(asked(wanted, evidence.images)))
    about: dict[str, Any] = {"label": id_, "signal": number, "kind": kind, "image": place}
    readings, failures = evidence.readings, evidence.failures
    if failing:
        failures = (*failures, Failure(**about, code="x", abstained=True, sentence="it failed"))
    else:
        readings = (*readings, Reading(**about, score=data.draw(scores)))
    more = Evidence(images=evidence.images, readings=readings, failures=failures)
    assert weight(decided(wanted, more)) >= weight(decided(wanted, evidence))


@given(data=st.data(), wanted=every_label, ruled=routes)
def test_whatever_else_is_seen_a_restricted_match_goes_to_the_restricted_queue(
    data: st.DataObject, wanted: dict[str, Label], ruled: list[dict[str, Any]]
) -> None:
    evidence = data.draw(seen(wanted))
    match = BankMatch(bank="b", kind="pdq", value="0" * 64, distance=3, restricted=True)
    hashed = (Hashed(image=0, hashes=HASHES, matches=(match,)),)
    more = Evidence(evidence.images, evidence.readings, evidence.failures, hashed=hashed)
    told = decided(wanted, more, ruled)
    assert told.restricted
    assert told.decision is Decision.ESCALATE
    assert told.routing is not None
    assert (told.routing.queue, told.routing.asks) == ("restricted", True)


@given(data=st.data(), wanted=every_label, ruled=routes)
def test_what_is_held_back_is_always_led_to_somebody_and_by_the_first_rule_that_matches(
    data: st.DataObject, wanted: dict[str, Label], ruled: list[dict[str, Any]]
) -> None:
    told = decided(wanted, data.draw(seen(wanted)), ruled)
    matching = [rule for rule in ruled if rule["decisions"] is None or told.decision.value in rule["decisions"]]
    if told.decision in (Decision.REVIEW, Decision.ESCALATE):
        assert told.routing is not None
        assert told.routing.asks
    if told.decision is not Decision.ALLOW and matching:
        assert told.routing is not None
        assert told.routing.queue == matching[0]["queue"]
    assert not told.restricted
