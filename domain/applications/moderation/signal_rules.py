"""By what a label is noticed: the kinds of signals that a policy may name, each checked when the policy is read."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from domain.applications.moderation.folding import phrase
from domain.applications.moderation.links import Contact
from domain.geometry import Value

_LINE = r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$"
Prompt = Annotated[str, StringConstraints(max_length=300, pattern=_LINE)]
"""A text of one line that is not blank."""
Model = Annotated[str, StringConstraints(max_length=128, pattern=_LINE)]
Host = Annotated[str, StringConstraints(max_length=253, pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$")]


def _findable(text: str) -> str:
    phrase(text)
    return text


Banned = Annotated[Prompt, AfterValidator(_findable)]


class PromptsRule(Value):
    """Zero-shot classification: how much of the picture speaks for `prompts`, against `against`.

    Of a model whose scores are shares of one, the score is the sum over `prompts`; of one that judges each text by
    itself, the greatest.
    """

    kind: Literal["prompts"]
    prompts: tuple[Prompt, ...] = Field(min_length=1, max_length=100)
    """an ensemble: several ways to say what the label means"""
    against: tuple[Prompt, ...] = Field(min_length=1, max_length=200)
    """what a picture may show instead; without it a share of one would always be all of it"""
    model: Model | None = None

    @model_validator(mode="after")
    def _apart(self) -> Self:
        both = sorted(set(self.prompts) & set(self.against))
        if both:
            raise ValueError(f"the prompt {both[0]!r} stands on both sides")
        return self


class QuestionRule(Value):
    """A closed question to a model: the score is the probability of the options in `means`."""

    kind: Literal["question"]
    question: Prompt
    options: tuple[Prompt, ...] = Field(min_length=2, max_length=20)
    means: tuple[Prompt, ...] = Field(min_length=1)
    """which options mean that the label applies"""
    abstains: tuple[Prompt, ...] = ()
    """which options are no answer; where one is the likeliest, a person decides"""
    model: Model | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if len(set(self.options)) < len(self.options):
            raise ValueError("an option is named twice")
        strange = [one for one in (*self.means, *self.abstains) if one not in self.options]
        if strange:
            raise ValueError(f"{strange[0]!r} is none of the options: {', '.join(self.options)}")
        if set(self.means) & set(self.abstains) or set(self.means) | set(self.abstains) == set(self.options):
            raise ValueError("an option cannot both mean the label and be no answer, and one must mean neither")
        return self


class DetectRule(Value):
    """Detection: the score is that of the surest object of one of the model's `classes`."""

    kind: Literal["detect"]
    classes: tuple[Prompt, ...] = Field(min_length=1, max_length=100)
    model: Model | None = None


class GroundRule(Value):
    """Detection by words: the score is that of the surest place that one of `phrases` speaks of."""

    kind: Literal["ground"]
    phrases: tuple[Prompt, ...] = Field(min_length=1, max_length=100)
    model: Model | None = None


class _Wording(Value):
    """What of a text counts."""

    contacts: tuple[Contact, ...] = ()
    """links, e-mail addresses, telephone numbers, handles"""
    phrases: tuple[Banned, ...] = Field(default=(), max_length=1000)
    """banned ones, found through the usual disguises; see `folding.py`"""
    except_hosts: tuple[Host, ...] = Field(default=(), max_length=200)
    """links to these hosts, and those beneath them, do not count"""


class TextRule(_Wording):
    """Text, in the picture or in the post that it came with: the score is how surely it was read, 1 of the post's."""

    kind: Literal["text"]
    where: tuple[Literal["picture", "post"], ...] = Field(default=("picture", "post"), min_length=1)
    model: Model | None = None
    """reads the picture"""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.contacts and not self.phrases:
            raise ValueError("a text signal names `contacts`, `phrases` or both")
        return self


class CodesRule(_Wording):
    """Bar codes and QR codes: the score of one that counts is 1."""

    kind: Literal["codes"]
    any_code: bool = False
    """each code counts, whatever it says"""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.any_code and not self.contacts and not self.phrases:
            raise ValueError("a code signal names `contacts`, `phrases` or both, or sets `any_code`")
        return self


class BanksRule(Value):
    """Hash banks: the score of a match is 1."""

    kind: Literal["banks"]
    banks: tuple[str, ...] | None = Field(default=None, min_length=1, max_length=200)
    """left out: any bank of the tenant's that is not restricted"""
    unfit: Literal["review", "ignore"] = "review"
    """what becomes of a picture that shows too little for PDQ (a quality below 50) and matches in no other way"""


SignalRule = Annotated[
    PromptsRule | QuestionRule | DetectRule | GroundRule | TextRule | CodesRule | BanksRule,
    Field(discriminator="kind"),
]
