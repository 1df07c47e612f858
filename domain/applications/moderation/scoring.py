"""A model's answer -> the score of a signal, what it found, and whether that can be relied on. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from domain.applications.moderation.evidence import Hashed, Match, SeenCode
from domain.applications.moderation.signal_rules import BanksRule, CodesRule, PromptsRule, QuestionRule, TextRule
from domain.applications.moderation.wording import MOST_QUOTED, Place, Wanted, matches
from domain.geometry import Box
from domain.texts import printable
from domain.vision import Answer, Label

SHARES = 1e-3
"""So near to 1 is the sum of scores that are shares of one."""
HALF_A_CHANCE = 0.5
"""A model that gives all options together less than this has chosen none of them."""
LEAST_QUALITY = 50
"""A PDQ hash of a lower quality is looked up in no bank."""


@dataclass(frozen=True)
class Doubt:
    """Why a signal cannot be relied on: a stable code, and a sentence."""

    code: str
    sentence: str


@dataclass(frozen=True)
class Scored:
    """A signal's score in [0, 1], None where it has none; what counts; what the model gave each choice; a doubt."""

    score: float | None
    matches: tuple[Match, ...] = ()
    scores: tuple[Label, ...] = ()
    doubt: Doubt | None = None


def compared(rule: PromptsRule, labels: Sequence[Label]) -> Scored:
    """Score a zero-shot classification: the sum of the prompts' shares, or the greatest of scores that are none.

    Where scores that stand each by itself happen to add up to 1, their sum is taken too; it is never less than the
    greatest of them.
    """
    by_name = {label.name: label.score for label in labels}
    asked = (*rule.prompts, *rule.against)
    silent = [prompt for prompt in asked if prompt not in by_name]
    if silent:
        return Scored(None, scores=tuple(labels), doubt=Doubt("silent", f"the model gave no score for {silent[0]!r}"))
    meant = [by_name[prompt] for prompt in rule.prompts]
    are_shares = abs(sum(by_name[prompt] for prompt in asked) - 1) < SHARES
    return Scored(min(sum(meant), 1.0) if are_shares else max(meant), scores=tuple(labels))


def answered(rule: QuestionRule, answer: Answer) -> Scored:
    """Score a closed question: the probability of the options that mean the label.

    Scores that add up to more than 1, as of a model that judges each option by itself, are divided by their sum.
    """
    by_name = {option.name: option.score for option in answer.options}
    silent = [option for option in rule.options if option not in by_name]
    if silent:
        doubt = Doubt("no_options", f"the model gave no probability for the option {silent[0]!r}")
        return Scored(None, scores=answer.options, doubt=doubt)
    total = sum(by_name[option] for option in rule.options)
    score = min(sum(by_name[option] for option in rule.means) / max(total, 1.0), 1.0)
    likeliest = max(rule.options, key=lambda option: by_name[option])
    unsure = None
    if total < HALF_A_CHANCE:
        unsure = Doubt("unsure", f"the options have {total:.2f} together; the model chose none of them")
    elif likeliest in rule.abstains:
        unsure = Doubt("unsure", f"the likeliest answer is {likeliest!r} ({by_name[likeliest]:.2f})")
    return Scored(score, scores=answer.options, doubt=unsure)


def located(wanted: Sequence[str], found: Iterable[tuple[str, float, Box]]) -> Scored:
    """Score objects or places (name, score, box): the surest of those that are wanted."""
    objects = tuple(
        Match(what="object", quote=printable(name, MOST_QUOTED), score=score, box=box)
        for name, score, box in found
        if name in wanted
    )
    return Scored(_greatest(objects), objects)


def worded(rule: TextRule, text: str, place: Place) -> Scored:
    """Score a text: the surest of what counts in it."""
    found = tuple(matches(text, _wanted(rule), place))
    return Scored(_greatest(found), found)


def coded(rule: CodesRule, codes: Sequence[SeenCode]) -> Scored:
    """Score codes: 1 where one counts."""
    found: list[Match] = []
    for code in codes:
        box = code.quad.box
        if rule.any_code:
            found.append(Match(what="code", quote=printable(code.text, MOST_QUOTED), score=1.0, box=box))
        found += matches(code.text, _wanted(rule), lambda span, box=box: (1.0, box))  # type: ignore[misc]
    return Scored(_greatest(found), tuple(found))


def reached(rule: BanksRule, hashed: Hashed) -> Scored:
    """Score matches in banks: 1 where one counts."""
    found = tuple(
        Match(what="bank", quote=one.bank, reads=one.value, score=1.0)
        for one in hashed.matches
        if (not one.restricted if rule.banks is None else one.bank in rule.banks)
    )
    quality = hashed.hashes.pdq_quality
    doubt = None
    if not found and quality < LEAST_QUALITY and rule.unfit == "review":
        doubt = Doubt(
            "low_quality", f"the picture shows too little for PDQ (quality {quality}, {LEAST_QUALITY} needed)"
        )
    return Scored(_greatest(found), found, doubt=doubt)


def _wanted(rule: TextRule | CodesRule) -> Wanted:
    return Wanted(rule.contacts, rule.phrases, rule.except_hosts)


def _greatest(found: Sequence[Match]) -> float:
    return max((match.score for match in found), default=0.0)
