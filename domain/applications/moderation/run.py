"""A moderation: find the policy, look for all that it asks about, decide."""

from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from domain.applications.application import Case
from domain.applications.moderation.decide import Decided, band, decide
from domain.applications.moderation.evidence import Evidence
from domain.applications.moderation.parameters import ModerationParameters
from domain.applications.moderation.policy import Label, Policy, shipped
from domain.applications.moderation.result import Band, Content, Judged, ModerationResult, UsedPolicy
from domain.applications.moderation.signals import look
from domain.errors import InvalidParameters
from domain.problems import field_problems
from domain.vision import Picture


def run(case: Case[ModerationParameters]) -> ModerationResult:
    """Hold content to a policy.

    Raises InvalidParameters where there is no such policy, version or surface, and whatever a retry can help: then
    nothing is decided.
    """
    asked = case.parameters
    policy, used = _policy(case)
    if asked.surface not in policy.surface_names:
        known = ", ".join(policy.surface_names)
        raise _refused("surface", f"the policy {policy.name!r} has no surface {asked.surface!r}; there are: {known}")
    labels = policy.on(asked.surface)
    evidence = look(case.vision, case.banks, case.pictures, asked.text, labels)
    decided = decide(labels, policy.routes, asked.surface, evidence)
    return told(asked, case.pictures, labels, evidence, decided, used)


def told(
    asked: ModerationParameters,
    pictures: Sequence[Picture],
    labels: Mapping[str, Label],
    evidence: Evidence,
    decided: Decided,
    used: UsedPolicy,
) -> ModerationResult:
    """Put a result together from what was seen and what was decided by it."""
    return ModerationResult(
        decision=decided.decision,
        label=next((reason.label for reason in decided.reasons if reason.outcome is decided.decision), None),
        reasons=decided.reasons,
        labels=tuple(_judged(id_, label, evidence) for id_, label in labels.items()),
        readings=evidence.readings,
        failures=evidence.failures,
        texts=evidence.texts,
        codes=evidence.codes,
        hashed=evidence.hashed,
        routing=decided.routing,
        restricted=decided.restricted,
        policy=used,
        surface=asked.surface,
        content=_content(asked),
        sizes=tuple((picture.width, picture.height) for picture in pictures),
    )


def _policy(case: Case[ModerationParameters]) -> tuple[Policy, UsedPolicy]:
    asked = case.parameters
    if isinstance(asked.policy, Policy):
        return asked.policy, UsedPolicy(name=asked.policy.name, version=None, digest=asked.policy.digest)
    if case.configurations is None:
        return _shipped(asked.policy, asked.policy_version)
    found = case.configurations.find("policy", asked.policy, asked.policy_version)
    used = UsedPolicy(name=found.name, version=found.version, digest=found.digest)
    return _read(found.body, f"version {found.version} of the policy {found.name!r}"), used


def _shipped(name: str, version: int | None) -> tuple[Policy, UsedPolicy]:
    """Return a policy that ships, where no other is kept: as when the application is measured on a set of pictures."""
    if name not in shipped() or version:
        told = f"version {version} of {name!r}" if version else repr(name)
        raise _refused("policy", f"there is no policy {told} here; those that ship are: {', '.join(shipped())}")
    return shipped()[name], UsedPolicy(name=name, version=0, digest=shipped()[name].digest)


def _read(body: Mapping[str, object], what: str) -> Policy:
    try:
        return Policy.model_validate(body)
    except ValidationError as error:
        problems = field_problems(error, Policy)
        said = "; ".join(f"{problem['field']}: {problem['problem']}" for problem in problems)
        raise _refused("policy", f"{what} is none any more: {said}") from error


def _refused(field: str, problem: str) -> InvalidParameters:
    return InvalidParameters(f"moderation: {field}: {problem}", problems=[{"field": field, "problem": problem}])


def _judged(id_: str, label: Label, evidence: Evidence) -> Judged:
    scores = [reading.score for reading in evidence.readings if reading.label == id_]
    score = max(scores, default=None)
    told = {"title": label.title, "action": label.action, "thresholds": label.thresholds, "ground": label.ground}
    return Judged(id=id_, **told, score=score, band=Band.UNKNOWN if score is None else band(label, score))


def _content(asked: ModerationParameters) -> Content:
    plain = ("image", "text") if asked.text else ("image",)
    types = tuple(f"CONTENT_TYPE_{one.upper()}" for one in dict.fromkeys(asked.content_type or plain))
    return Content(id=asked.content_id, posted=asked.content_date, types=types)
