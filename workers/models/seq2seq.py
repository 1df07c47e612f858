"""The family `seq2seq`: encoder-decoder translators, for `Capability.TRANSLATE`.

Marian (OPUS-MT), of one direction or of the pairs that the profile names; M2M100, mBART and NLLB, between any two of
their languages.
A text is translated line by line, so that its lines stay lines. A line that is too long for the model is cut between
sentences, then between words, and each piece is translated by itself: nothing is left out. Pieces hold at most half as
many tokens as a translation may have, which leaves room for languages that need more of them.

Only texts of one pair and of equal token counts share a batch, and of their pieces those of equal counts are translated
together, as many at a time as the row's `max_batch`: nothing is padded, so company does not change an answer.
What the option `trust` doubts is not told: the translation is None then, and the remark `refused` says why.
Marian's tokenizer would normalise punctuation with sacremoses where that is installed; it is not a dependency here.
"""

import re
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import Field
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, NllbTokenizer

from domain.errors import ModelError, ModelUnavailable
from domain.vision import Capability, Translation
from workers.modelling.capitals import capitals, in_capitals
from workers.modelling.checkpoint import Checkpoint, Place, folder, place, pretrained, processor
from workers.modelling.decoding import Stopped
from workers.modelling.directions import PAIR, Directed, Languages, Multilingual
from workers.modelling.options import Options as Common
from workers.modelling.options import options
from workers.modelling.trust import Said, Trust, TrustOptions
from workers.models.family import Ask, Prepared, ScoreKind, Told
from workers.registry import ModelSpec

LINES = re.compile(r"([\r\n]+)")
BREAKS = (re.compile(r"((?<=[.!?…])\s+|(?<=[。\uff01\uff1f])\s*)"), re.compile(r"(\s+)"))
"""Where a line that is too long is cut: between sentences first, then between words."""
UNSPACED = {"ja", "km", "lo", "my", "th", "zh"}
"""Languages that put no space between sentences."""
MOST_PIECES = 200
"""So many pieces a text may have: all are translated within one call to the device, which has a time limit."""
FEWEST = 16
"""The fewest tokens that a translation must have room for."""


class Options(Common):
    """The options of a row; see `load`."""

    pairs: tuple[Annotated[str, Field(pattern=f"^{PAIR.pattern}$")], ...] = ()
    codes: dict[str, str] = Field(default_factory=dict)
    beams: int = Field(default=1, ge=1)
    max_new_tokens: int = Field(default=256, ge=FEWEST)
    small_letters: bool = False
    trust: TrustOptions | None = None


def load(spec: ModelSpec) -> "Translator":
    """Load a checkpoint.

    Options: `pairs` (such as `["de-en"]`: what it serves; a Marian that does not say its languages needs it), `codes`
    (what the model calls a language, by ISO 639-1 code: for a Marian of many targets the name in its own `>>name<<`,
    for NLLB, which needs it, such as `{ de = "deu_Latn", en = "eng_Latn" }`), `beams` (default 1: greedy),
    `max_new_tokens` (of one piece's translation, default 256), `small_letters` (a text in capitals is translated in
    small letters, and told in capitals), `trust` (see `workers.modelling.trust`), `threads`. Raises ModelUnavailable.
    """
    told = options(spec, Options, {Capability.TRANSLATE})
    path, at = folder(spec), place(spec)
    network = pretrained(AutoModelForSeq2SeqLM, path, at)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Recommended: pip install sacremoses")
        tokenizer = processor(AutoTokenizer, path)
    trust = Trust(told.trust, path) if told.trust else None
    if hasattr(tokenizer, "lang_code_to_id") or isinstance(tokenizer, NllbTokenizer):
        return Translator(spec, at, network, Multilingual(spec, tokenizer, told), told, trust)
    if hasattr(tokenizer, "supported_language_codes"):
        return Translator(spec, at, network, Directed(spec, tokenizer, told), told, trust)
    raise ModelUnavailable(
        f"model {spec.name!r}: a {type(network).__name__} with a {type(tokenizer).__name__} has no languages to choose "
        f"from; take a Marian, an M2M100, an NLLB or an mBART"
    )


def parts(text: str, fits: Callable[[str], bool]) -> tuple[str, ...]:
    """Cut a text into parts that add up to it: blank ones, and ones to translate, which fit and have no blank ends.

    Raises ModelError where not even a single character fits.
    """
    found: list[str] = []
    for line in LINES.split(text):
        core = line.strip()
        start = line.find(core)
        found += [line[:start], *_fitting(core, fits, BREAKS), line[start + len(core) :]]
    return tuple(part for part in found if part)


def joined(translated: Sequence[str], target: str) -> str:
    """Put parts together again; where two meet without a blank, a language that uses spaces gets one."""
    text = ""
    for part in translated:
        bare = text and part and not text[-1].isspace() and not part[0].isspace()
        text += (" " if bare and target not in UNSPACED else "") + part
    return text


def _fitting(text: str, fits: Callable[[str], bool], breaks: Sequence[re.Pattern[str]]) -> list[str]:
    if not text or fits(text):
        return [text]
    if not breaks:
        if len(text) == 1:
            raise ModelError(f"the character {text!r} alone is too long for this model")
        middle = len(text) // 2
        return [*_fitting(text[:middle], fits, ()), *_fitting(text[middle:], fits, ())]
    pieces = breaks[0].split(text)
    found, run = [], pieces[0]
    for gap, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        if fits(run + gap + piece):
            run += gap + piece
        else:
            found += [*_fitting(run, fits, breaks[1:]), gap]
            run = piece
    return [*found, *_fitting(run, fits, breaks[1:])]


@dataclass(frozen=True, eq=False)
class _Call:
    """A text in parts; the ids of each part that is not blank."""

    parts: tuple[str, ...]
    ids: tuple[tuple[int, ...], ...]
    source: str
    target: str
    loud: bool
    """whether it was in capitals, and is to be told so"""

    @property
    def spoken(self) -> list[str]:
        """The parts that are translated."""
        return [part for part in self.parts if part.strip()]


class Translator(Checkpoint):
    """A loaded checkpoint."""

    preprocessing = "seq2seq/1"
    scores = ScoreKind.NONE

    def __init__(
        self,
        spec: ModelSpec,
        at: Place,
        network: Any,  # noqa: ANN401
        languages: Languages,
        told: Options,
        trust: Trust | None,
    ) -> None:
        super().__init__(spec, at, network)
        self.languages, self._trust = languages, trust
        if trust and trust.asks_back and languages.one_way:
            raise ModelUnavailable(
                f"model {spec.name!r}: it translates back to see whether a translation can be trusted, and does not "
                f"serve {languages.one_way}; name them in `pairs`, or leave `back` out"
            )
        self._small_letters = told.small_letters
        self._beams = told.beams
        network.generation_config.max_length = None  # two limits would be warned of with every text
        self.positions = int(network.config.max_position_embeddings)
        self._room = min(told.max_new_tokens, self.positions - 1)
        if self._room < FEWEST:
            raise ModelUnavailable(f"model {spec.name!r}: it has {self.positions} positions, too few for a translation")

    def prepare(self, ask: Ask) -> Prepared:
        """Cut and tokenize one text. Raises LanguageUnserved on a pair it does not serve, ModelError on all else."""
        if ask.capability != Capability.TRANSLATE or ask.pictures:
            raise ModelError(f"this model translates a text; it cannot {ask.capability} {len(ask.pictures)} pictures")
        text, source, target = (str(ask.arguments[name]) for name in ("text", "source", "target"))
        self.languages.check(source, target)
        try:
            text.encode()
        except UnicodeEncodeError as error:  # a lone surrogate: the tokenizer would fail
            raise ModelError(f"the text holds what is no character: {error}") from error
        loud = self._small_letters and in_capitals(text)
        text = text.lower() if loud else text
        found = parts(text, lambda piece: len(self.languages.encode(piece, source, target)) <= self._room // 2)
        spoken = [part for part in found if part.strip()]
        if len(spoken) > MOST_PIECES:
            raise ModelError(f"the text has {len(spoken)} lines or pieces to translate, more than {MOST_PIECES}")
        ids = tuple(tuple(self.languages.encode(part, source, target)) for part in spoken)
        lengths = tuple(map(len, ids))
        tokens = sum(length + self._room for length in lengths)
        return Prepared(
            _Call(found, ids, source, target, loud), group=(source, target, lengths), pixels=0, tokens=tokens
        )

    def answers(self, batch: Sequence[Prepared]) -> list[Translation | Told]:
        """Translate each text. A translation that reached `max_new_tokens` is told as `cut_pieces`."""
        calls: list[_Call] = [prepared.payload for prepared in batch]
        said = self._said(batch, [call.ids for call in calls], calls[0].target)
        if self._trust is None:
            return [self._told(call, each) for call, each in zip(calls, said, strict=True)]
        back = self._back(batch, calls, said) if self._trust.asks_back else [[""] * len(each) for each in said]
        return [
            self._refused(call, each, came) or self._told(call, each)
            for call, each, came in zip(calls, said, back, strict=True)
        ]

    def _said(
        self, batch: Sequence[Prepared], ids: Sequence[Sequence[tuple[int, ...]]], target: str
    ) -> list[list[Said]]:
        """Say pieces, given as ids for each call, in a language; those of a call that was stopped are empty."""
        said: dict[tuple[int, int], Said] = {}
        for keys in _together(ids, self.spec.max_batch):
            wanted = [(call, piece) for call, piece in keys if not batch[call].stopped.is_set()]
            if wanted:
                rows = [ids[call][piece] for call, piece in wanted]
                told = self._generated(rows, [batch[call].stopped for call, _ in wanted], target)
                said.update(zip(wanted, told, strict=True))
        return [[said.get((call, piece), Said("")) for piece in range(len(own))] for call, own in enumerate(ids)]

    def _back(
        self, batch: Sequence[Prepared], calls: Sequence[_Call], said: Sequence[Sequence[Said]]
    ) -> list[list[str]]:
        """Translate what was said back into its own language."""
        source, target = calls[0].source, calls[0].target
        ids = [[tuple(self.languages.encode(one.text, target, source)) for one in each] for each in said]
        return [[one.text for one in each] for each in self._said(batch, ids, source)]

    def _generated(
        self, rows: Sequence[tuple[int, ...]], stopped: Sequence[threading.Event], target: str
    ) -> list[Said]:
        """Return what each row says in the target language, and whether it was cut off."""
        ids = torch.tensor(rows, device=self.at.device)
        generated = self.network.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=self._room,
            num_beams=self._beams,
            do_sample=False,
            stopping_criteria=[Stopped(stopped)],
            **self.languages.start(target),
        )
        end = self.network.generation_config.eos_token_id
        sure = self._least(ids, generated, end) if self._trust else [1.0] * len(rows)
        # Marian is made to end at the last place, so an end there does not say that the translation is whole.
        return [
            Said(self.languages.text(row[1:]), end not in row[1 : self._room], least)
            for row, least in zip(generated.tolist(), sure, strict=True)
        ]

    def _least(self, ids: torch.Tensor, generated: torch.Tensor, end: int) -> list[float]:
        """Return the probability of the least sure piece of each translation (N × T), the end among them."""
        logits = self.network(
            input_ids=ids, attention_mask=torch.ones_like(ids), decoder_input_ids=generated[:, :-1]
        ).logits
        chosen = logits.float().softmax(dim=-1).gather(-1, generated[:, 1:, None])[..., 0]
        ends = (generated[:, 1:] == end).cumsum(dim=-1)
        beyond = (ends > 1) | ((ends == 1) & (generated[:, 1:] != end))
        return [float(least) for least in chosen.masked_fill(beyond, 1.0).amin(dim=-1)]

    def _refused(self, call: _Call, said: Sequence[Said], back: Sequence[str]) -> Told | None:
        """Return that a text is not translated, and why, where one of its pieces is doubted."""
        assert self._trust is not None
        for part, one, came in zip(call.spoken, said, back, strict=True):
            doubts = self._trust.doubts(part, call.source, one, came)
            if doubts:
                return Told(Translation(text=None, model=self.spec.name), doubts)
        return None

    def _told(self, call: _Call, said: Sequence[Said]) -> Translation | Told:
        each = iter(said)
        text = joined([next(each).text if part.strip() else part for part in call.parts], call.target)
        answer = Translation(text=capitals(text) if call.loud else text, model=self.spec.name)
        cut = sum(one.cut for one in said)
        return Told(answer, {"cut_pieces": cut}) if cut else answer


def _together(ids: Sequence[Sequence[tuple[int, ...]]], most: int) -> Iterator[list[tuple[int, int]]]:
    """Yield which pieces (call, piece) are translated together: of one length, and no more than so many."""
    alike: dict[int, list[tuple[int, int]]] = {}
    for call, pieces in enumerate(ids):
        for piece, each in enumerate(pieces):
            alike.setdefault(len(each), []).append((call, piece))
    for keys in alike.values():
        yield from (keys[start : start + most] for start in range(0, len(keys), most))
