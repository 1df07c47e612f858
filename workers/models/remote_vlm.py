"""The family `remote_vlm`: vision-language models behind a server that speaks OpenAI's chat completions.

For `ask` (free, one of given options, or JSON by a schema), `caption`, `draft` and, where the option `boxes` says how
the model writes boxes, `ground`; served by vLLM, SGLang, `transformers serve` and the like. The source of such a row is
the server's base URL (`http://127.0.0.1:8000/v1`): pictures and questions leave this process for it. What the server
answers with cannot be pinned from here, and the row says so: its revision is `served:` and the id of the served model.

No device computes here; what takes time is waiting. All calls of a batch are sent at once, as far as `concurrency` lets
them. A call is sent once: where another of its batch fails, and the batch is cut to find which, the answers that came
are kept.

Where the server tells probabilities, the score of a written text is the geometric mean of its tokens'; the boxes of
`ground` have that of the text that they stand in. The options of a closed question stand under letters, and their
scores are the letters' shares. Where it tells none, an answer has no score and a box has 1. Each answer is told with
what its scores are.

A schema goes to the server as `response_format`. Some servers heed none and write what they like: `Vision.ask` reads
every answer by its schema, and tells one that is no JSON of it from one that is.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from itertools import chain, count, islice
from pathlib import Path
from string import ascii_uppercase
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from domain.errors import ModelError, ModelUnavailable
from domain.schemas import Schema
from domain.vision import Answer, Capability, Grounding, Label
from workers.imaging.boxes_in_text import BoxFormat, boxes_in
from workers.imaging.shown import SHORTEST_SIDE, Shown, shown
from workers.modelling.completions import Choice, Server
from workers.modelling.options import options
from workers.modelling.wording import BY_SCHEMA, CAPTION, GROUND_PROMPTS, filled, own_pictures, told_schema
from workers.models.family import Ask, Prepared, ScoreKind, Told
from workers.registry import ModelSpec

SHARE_OF_LIMIT = 0.9
"""The share of the row's `call_limit_s` that a call may take: past the limit, the watchdog ends the whole process."""
CAPABILITIES = frozenset({Capability.ASK, Capability.CAPTION, Capability.DRAFT, Capability.GROUND})
TOP = 20
"""The most alternatives to a token that servers tell the probability of."""
AROUND = " \t\r\n.,:;!?()[]{}*_`'\""
"""What may stand around an option that was chosen."""
PLAIN = frozenset(BoxFormat) - {BoxFormat.QWEN_TAGS, BoxFormat.INTERNVL}
"""The formats of boxes in plain text. The others are made of special tokens, which servers leave out of their answers.
"""


class Options(BaseModel):
    """The options of a row; see `load`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    model: str = Field(min_length=1)
    key_file: Path | None = None
    timeout_s: float = Field(default=60.0, gt=0)
    retries: int = Field(default=2, ge=0)
    concurrency: int = Field(default=8, ge=1)
    max_new_tokens: int = Field(default=128, ge=1)
    longest_side: int = Field(default=1536, ge=SHORTEST_SIDE)
    boxes: BoxFormat | None = None
    logprobs: bool = True
    temperature: float = Field(default=1.0, gt=0)


def load(spec: ModelSpec) -> "RemoteVlm":
    """Make ready to ask a server. Nothing connects to it before the first call.

    Options: `model` (the served model's id, as in the revision), `key_file` (a file that holds the server's API key),
    `timeout_s` (of one attempt, default 60), `retries` (default 2, with growing waits between), `concurrency` (how many
    requests may be in flight, default 8), `max_new_tokens` (of an answer, default 128), `longest_side` (larger pictures
    are shrunk to it, in pixels, default 1536), `boxes` (how the model writes boxes, a `BoxFormat`), `logprobs` (whether
    to ask for probabilities, default true; false for a server that refuses to tell), `temperature` (default 1: the
    letters' log-probabilities are divided by it, from a calibration; answers are always greedy).
    Raises ModelUnavailable.
    """
    url = urlsplit(spec.source)
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise ModelUnavailable(f"model {spec.name!r}: the source {spec.source!r} is no base URL of a server")
    if url.username or url.password:
        raise ModelUnavailable(f"model {spec.name!r}: a source with a password in it would be kept; use `key_file`")
    kind, _, served = spec.revision.partition(":")
    if kind != "served" or not served or spec.options.get("model", served) != served:
        wanted = f"served:{spec.options.get('model', served) or 'MODEL'}"
        raise ModelUnavailable(
            f"model {spec.name!r}: what a server answers with cannot be pinned; let the revision say which model it "
            f"serves, {wanted!r}, not {spec.revision!r}"
        )
    named = spec.model_copy(update={"options": {"model": served, **spec.options}})
    told = options(named, Options, CAPABILITIES)
    if (Capability.GROUND in spec.capabilities or told.boxes) and told.boxes not in PLAIN:
        known = ", ".join(sorted(PLAIN))
        raise ModelUnavailable(f"model {spec.name!r}: to ground, `boxes` is one of {known}, not {told.boxes}")
    server = Server(
        spec.source,
        told.model,
        key=_key(spec, told.key_file),
        timeout_s=told.timeout_s,
        retries=told.retries,
        concurrency=told.concurrency,
    )
    return RemoteVlm(spec, told, server)


@dataclass(eq=False)
class _Call:
    """The texts that go to the server, each after the examples and with the pictures before it, and how to read it all.

    `top` is how many alternatives to each token to ask for; `sent` holds what came of the call until its batch is done.
    """

    pictures: tuple[Shown, ...]
    texts: tuple[str, ...]
    read: Callable[[Sequence[Choice]], Any]
    examples: tuple[dict[str, Any], ...] = ()
    top: int = 0
    schema: Schema | None = None
    sent: Future[Any] | None = None


class RemoteVlm:
    """A model that a server has."""

    preprocessing = "remote-vlm/1"
    dtype = "served"
    device = "remote"
    classes: tuple[str, ...] = ()

    def __init__(self, spec: ModelSpec, options: Options, server: Server) -> None:
        self._options, self._server = options, server
        self._limit_s = SHARE_OF_LIMIT * spec.call_limit_s
        self.scores = ScoreKind.MEAN if options.logprobs else ScoreKind.NONE

    def prepare(self, ask: Ask) -> Prepared:
        """Encode the pictures and word the question. Raises ModelError on what it cannot ask."""
        pictures = tuple(shown(pixels, self._options.longest_side) for pixels in ask.pictures)
        call = self._call(ask, pictures)
        one = ask.capability in {Capability.CAPTION, Capability.GROUND}
        if not pictures or (one and len(pictures) != 1):
            raise ModelError(f"{ask.capability} takes {'one picture' if one else 'pictures'}, not {len(pictures)}")
        if not all(text.strip() for text in call.texts):
            raise ModelError(f"{ask.capability} needs words to go with the picture")
        weight = sum(picture.width * picture.height for picture in pictures)
        return Prepared(call, group="remote", pixels=weight, prompt="\n\n".join(call.texts))

    def submit(self, prepared: Prepared) -> Future[Any]:
        """Send one call, and return what will hold its answer. For any thread."""
        return self._server.start(self._answered(prepared))

    def run(self, batch: Sequence[Prepared]) -> list[Any]:
        """Send all calls at once and wait for their answers; a call that was stopped gets None.

        Raises ModelUnavailable where the server cannot be reached, does not answer in time, has too much to do or
        fails, after the retries, or knows neither the key nor the model; ModelError where it refuses the request or its
        answer cannot be read.
        """
        sent = []
        for prepared in batch:
            prepared.payload.sent = prepared.payload.sent or self.submit(prepared)
            sent.append(prepared.payload.sent)
        wait(sent)
        answers = [future.result() for future in sent]
        for prepared in batch:
            prepared.payload.sent = None
        return answers

    def close(self) -> None:
        """Drop what is under way and close the connections."""
        self._server.close()

    async def _answered(self, prepared: Prepared) -> Any:  # noqa: ANN401
        call: _Call = prepared.payload
        asked = [[*call.examples, _user(call.pictures, text)] for text in call.texts]
        more: dict[str, Any] = {"max_tokens": self._options.max_new_tokens}
        if self._options.logprobs:
            more |= {"logprobs": True, "top_logprobs": call.top} if call.top else {"logprobs": True}
        if call.schema is not None:
            told = {"name": "answer", "schema": call.schema}
            more["response_format"] = {"type": "json_schema", "json_schema": told}
        choices = await self._server.choices(asked, more, prepared.stopped, self._limit_s)
        return None if choices is None else call.read(choices)

    def _call(self, ask: Ask, pictures: tuple[Shown, ...]) -> _Call:
        if ask.capability == Capability.ASK:
            return self._question(ask, pictures)
        if ask.capability == Capability.GROUND and self._options.boxes:
            phrases = tuple(dict.fromkeys(ask.arguments["phrases"]))
            return self._grounding(pictures, phrases, self._options.boxes, float(ask.arguments.get("min_score", 0.25)))
        if ask.capability in {Capability.CAPTION, Capability.DRAFT}:
            text = CAPTION if ask.capability == Capability.CAPTION else ask.arguments["instruction"]
            return _Call(pictures, (text,), lambda choices: self._told(choices[0].text, choices, self.scores))
        raise ModelError(f"this model asks, captions, drafts and, where it was told how, grounds; not {ask.capability}")

    def _question(self, ask: Ask, pictures: tuple[Shown, ...]) -> _Call:
        """Word a question. The examples' pictures come first, each an index, a question and its answer."""
        examples, options = tuple(ask.arguments.get("examples", ())), tuple(ask.arguments.get("options", ()))
        own, schema = pictures[own_pictures(len(pictures), examples) :], ask.arguments.get("schema")
        if not own or not all(text.strip() for text in (ask.arguments["question"], *options)):
            raise ModelError(
                "a question needs words, and pictures besides those of its examples; an option needs words"
            )
        marks = _marks(options)

        def turns(at: int, question: str, answer: str) -> list[dict[str, Any]]:
            said = marks[options.index(answer)] if answer in options else answer
            return [
                _user(pictures[at : at + 1], _asked(question, marks, options, schema)),
                {"role": "assistant", "content": said},
            ]

        def read(choices: Sequence[Choice]) -> Any:  # noqa: ANN401
            if options:
                answer = _chosen(choices[0], marks, options, self._options.temperature)
                return self._told(answer, choices, ScoreKind.SOFTMAX if answer.options else ScoreKind.NONE)
            answer = Answer(text=choices[0].text, score=choices[0].score)
            return self._told(answer, choices, ScoreKind.NONE if answer.score is None else ScoreKind.MEAN)

        shown_before = tuple(turn for example in examples for turn in turns(*example))
        text = _asked(ask.arguments["question"], marks, options, schema)
        top = TOP if options and _single(marks) else 0
        return _Call(own, (text,), read, examples=shown_before, top=top, schema=schema)

    def _grounding(self, pictures: tuple[Shown, ...], phrases: Sequence[str], told: BoxFormat, least: float) -> _Call:
        if not all(phrase.strip() for phrase in phrases):
            raise ModelError(f"a phrase needs a word: {phrases}")

        def read(choices: Sequence[Choice]) -> Any:  # noqa: ANN401
            found, dropped = [], 0
            for phrase, choice in zip(phrases, choices, strict=True):
                written, malformed = boxes_in(choice.text, told, (pictures[0].width, pictures[0].height))
                boxes = [box for box in (pictures[0].own(box.corners) for box in written) if box.area > 0]
                dropped += malformed + len(written) - len(boxes)
                score = 1.0 if choice.score is None else choice.score
                found += [Grounding(phrase=phrase, score=score, box=box) for box in boxes if score >= least]
            kind = ScoreKind.NONE if any(choice.score is None for choice in choices) else ScoreKind.MEAN
            best_first = tuple(sorted(found, key=lambda grounding: -grounding.score))
            return self._told(best_first, choices, kind, {"dropped_boxes": dropped} if dropped else {})

        return _Call(pictures, tuple(GROUND_PROMPTS[told].replace("{}", phrase) for phrase in phrases), read)

    def _told(
        self,
        value: Any,  # noqa: ANN401
        choices: Sequence[Choice],
        kind: ScoreKind,
        more: Mapping[str, int] | None = None,
    ) -> Any:  # noqa: ANN401
        """Return an answer with what its caller should know besides; `kind` is what its own scores are."""
        remarks: dict[str, int | float | str] = {**(more or {})}
        if any(choice.finish_reason == "length" for choice in choices):
            remarks["cut_after_tokens"] = self._options.max_new_tokens
        return Told(value, remarks, scores=kind) if remarks or kind != self.scores else value


def _key(spec: ModelSpec, file: Path | None) -> str:
    if file is None:
        return ""
    try:
        key = file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ModelUnavailable(f"model {spec.name!r}: its key cannot be read from {file}: {error}") from error
    if not key:
        raise ModelUnavailable(f"model {spec.name!r}: {file} holds no key")
    return key


def _user(pictures: Sequence[Shown], text: str) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": picture.url}} for picture in pictures]
    return {"role": "user", "content": [*parts, {"type": "text", "text": text}]}


def _asked(question: str, marks: Sequence[str], options: Sequence[str], schema: Schema | None) -> str:
    """Return a question with its options, each on a line of its own under its mark, or with its answer's schema."""
    if schema is not None:
        return filled(BY_SCHEMA, question, schema=told_schema(schema))
    lines = [f"{mark}. {option}" for mark, option in zip(marks, options, strict=True)]
    return "\n".join([question, *lines, f"Answer with one of {', '.join(marks)}, nothing else."]) if lines else question


def _marks(options: Sequence[str]) -> tuple[str, ...]:
    """Return a mark for each option: letters, then numbers; one that is an option itself cannot stand for another."""
    folded = [_folded(option) for option in options]
    if len(set(folded)) < len(folded):
        raise ModelError(f"options differ in more than case and blanks: {', '.join(options)}")
    free = (mark for mark in chain(ascii_uppercase, map(str, count(1))) if _folded(mark) not in folded)
    return tuple(islice(free, len(options)))


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


def _single(marks: Sequence[str]) -> bool:
    """Say whether one token tells which of the marks it is: no number does."""
    return all(len(mark) == 1 for mark in marks)


def _chosen(choice: Choice, marks: Sequence[str], options: Sequence[str], temperature: float) -> Answer:
    """Return the option that a text is, by its mark or word for word. Raises ModelError where it is none."""
    words = {_folded(option): option for option in options}
    named = {
        form: option
        for mark, option in zip(marks, options, strict=True)
        for form in (_folded(mark), _folded(f"{mark}. {option}"))
    }
    text = _folded(choice.text)
    for said in (text, text.strip(AROUND)):
        shares = _shares(choice, marks, temperature) if said in named and _single(marks) else None
        if shares:
            labels = [Label(name=name, score=share) for name, share in zip(options, shares, strict=True)]
            labels.sort(key=lambda label: -label.score)
            return Answer(text=labels[0].name, score=labels[0].score, options=tuple(labels))
        if said in words or said in named:
            return Answer(text=words.get(said) or named[said])
    raise ModelError(f"the server answers {text[:200]!r}, which is none of {', '.join(options)}")


def _shares(choice: Choice, marks: Sequence[str], temperature: float) -> list[float] | None:
    """Return each mark's share of the probability of all marks, where the text has its first; None if it is not told.

    A mark that is not among the alternatives that the server told is less probable than all of them: its share is 0.
    """
    for position in choice.positions:
        if position.top_logprobs and _bare(position.token) in map(_bare, marks):
            most = max(token.logprob for token in position.top_logprobs)
            told = [(_bare(token.token), math.exp(token.logprob - most)) for token in position.top_logprobs]
            weights = [sum(weight for name, weight in told if name == _bare(mark)) for mark in marks]
            tempered = [weight ** (1 / temperature) for weight in weights]
            return [weight / sum(tempered) for weight in tempered] if sum(tempered) else None
    return None


def _bare(token: str) -> str:
    return token.strip(AROUND).casefold()
