"""The family `seq2seq`: encoder-decoder translators, for `Capability.TRANSLATE`.

Marian (OPUS-MT), of one direction or of the pairs that the profile names; M2M100, mBART and NLLB, between any two of
their languages.
A text is translated line by line, so that its lines stay lines. A line that is too long for the model is cut between
sentences, then between words, and each piece is translated by itself: nothing is left out. Pieces hold at most half as
many tokens as a translation may have, which leaves room for languages that need more of them.

Only texts of one pair and of equal token counts share a batch, and of their pieces those of equal counts are translated
together, as many at a time as the row's `max_batch`: nothing is padded, so company does not change an answer.
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
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, MBartTokenizer, NllbTokenizer

from domain.errors import ModelError, ModelUnavailable
from domain.vision import Capability, Translation
from workers.modelling.checkpoint import Checkpoint, Place, folder, place, pretrained, processor
from workers.modelling.decoding import Stopped
from workers.modelling.options import Options as Common
from workers.modelling.options import options
from workers.models.family import Ask, Prepared, ScoreKind, Told
from workers.registry import ModelSpec

PAIR = re.compile("([a-z]{2,3})-([a-z]{2,3})")
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


def load(spec: ModelSpec) -> "Translator":
    """Load a checkpoint.

    Options: `pairs` (such as `["de-en"]`: what it serves; a Marian that does not say its languages needs it), `codes`
    (what the model calls a language, by ISO 639-1 code: for a Marian of many targets the name in its own `>>name<<`,
    for NLLB, which needs it, such as `{ de = "deu_Latn", en = "eng_Latn" }`), `beams` (default 1: greedy),
    `max_new_tokens` (of one piece's translation, default 256), `threads`. Raises ModelUnavailable.
    """
    told = options(spec, Options, {Capability.TRANSLATE})
    path, at = folder(spec), place(spec)
    network = pretrained(AutoModelForSeq2SeqLM, path, at)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Recommended: pip install sacremoses")
        tokenizer = processor(AutoTokenizer, path)
    if hasattr(tokenizer, "lang_code_to_id") or isinstance(tokenizer, NllbTokenizer):
        return Translator(spec, at, network, _Multilingual(spec, tokenizer, told), told)
    if hasattr(tokenizer, "supported_language_codes"):
        return Translator(spec, at, network, _Directed(spec, tokenizer, told), told)
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


class _Languages:
    """A tokenizer, and which pairs it serves. Tokenizers keep the source language in themselves, hence the lock."""

    def __init__(self, tokenizer: Any) -> None:  # noqa: ANN401
        self.tokenizer, self.lock = tokenizer, threading.Lock()

    def check(self, source: str, target: str) -> None:
        """Raise ModelError where the pair is not served, naming those that are."""
        raise NotImplementedError

    def encode(self, text: str, source: str, target: str) -> list[int]:
        """Return a text's ids. What looks like a special token in it is text like any other."""
        raise NotImplementedError

    def start(self, target: str) -> dict[str, int]:
        """Return what generation needs to know of the target."""
        raise NotImplementedError

    def text(self, ids: Sequence[int]) -> str:
        """Return what generated ids say."""
        with self.lock:
            return str(self.tokenizer.decode(ids, skip_special_tokens=True)).strip()

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, split_special_tokens=True, verbose=False).input_ids)


class _Multilingual(_Languages):
    """M2M100, NLLB, mBART: the source's token stands with the text, the target's is the first of the translation."""

    def __init__(self, spec: ModelSpec, tokenizer: Any, told: Options) -> None:  # noqa: ANN401
        super().__init__(tokenizer)
        self._pairs = _pairs(told.pairs)
        self._codes = {**_own_codes(tokenizer), **told.codes}
        if not self._codes:
            raise ModelUnavailable(
                f'model {spec.name!r}: name its languages in the option `codes`, such as {{ de = "deu_Latn" }}'
            )
        self._tokens = {code: self._token(name) for code, name in self._codes.items()}
        if unknown := [self._codes[code] for code, token in self._tokens.items() if token is None]:
            raise ModelUnavailable(f"model {spec.name!r}: it does not know the languages {sorted(unknown)} of `codes`")
        if strange := {code for pair in self._pairs for code in pair} - set(self._codes):
            raise ModelUnavailable(f"model {spec.name!r}: it does not know the languages {sorted(strange)} of `pairs`")
        self._signs = sorted(set(tokenizer.all_special_tokens), key=len, reverse=True)
        # mBART of 2020 begins a translation with its language; the others with an end, and then the language.
        self._first = "decoder_start_token_id" if isinstance(tokenizer, MBartTokenizer) else "forced_bos_token_id"

    def check(self, source: str, target: str) -> None:
        """See _Languages."""
        if self._pairs and (source, target) not in self._pairs:
            raise _unserved(source, target, _named(self._pairs))
        if not {source, target} <= set(self._codes) or source == target:
            raise _unserved(source, target, f"any two of {', '.join(self._codes)}")

    def encode(self, text: str, source: str, target: str) -> list[int]:
        """See _Languages."""
        for sign in self._signs:  # mBART's vocabulary holds them as words too, so that they must not stand as one
            text = text.replace(sign, f"{sign[:1]} {sign[1:]}")
        with self.lock:
            self.tokenizer.src_lang = self._codes[source]
            return self._ids(text)

    def start(self, target: str) -> dict[str, int]:
        """See _Languages."""
        return {self._first: int(self._tokens[target] or 0)}

    def text(self, ids: Sequence[int]) -> str:
        """See _Languages; the tokens of languages are no text."""
        languages = set(self._tokens.values())
        return super().text([one for one in ids if one not in languages])

    def _token(self, name: str) -> int | None:
        """Return the id of a language's token; None where the tokenizer has none."""
        known = getattr(self.tokenizer, "lang_code_to_id", None)
        if known is None:
            return self.tokenizer.get_added_vocab().get(name)  # type: ignore[no-any-return]
        if name not in known:
            return None
        return int(self.tokenizer.get_lang_id(name) if hasattr(self.tokenizer, "get_lang_id") else known[name])


class _Directed(_Languages):
    """Marian: one direction, or many targets, each with a token before the text."""

    def __init__(self, spec: ModelSpec, tokenizer: Any, told: Options) -> None:  # noqa: ANN401
        super().__init__(tokenizer)
        own = f"{tokenizer.source_lang}-{tokenizer.target_lang}"
        self._pairs = _pairs(told.pairs) or _pairs([own] if PAIR.fullmatch(own) else [])
        if not self._pairs:
            raise ModelUnavailable(f'model {spec.name!r}: say what it translates, such as pairs = ["de-en"]')
        self._codes: dict[str, str] = {}
        known = set(tokenizer.supported_language_codes)
        for _, target in self._pairs if known else ():
            self._codes[target] = f">>{told.codes.get(target, target)}<<"
        if not set(self._codes.values()) <= known:
            raise ModelUnavailable(
                f"model {spec.name!r}: its targets are {sorted(known)}; name those of `pairs` in the option `codes`"
            )

    def check(self, source: str, target: str) -> None:
        """See _Languages."""
        if (source, target) not in self._pairs:
            raise _unserved(source, target, _named(self._pairs))

    def encode(self, text: str, source: str, target: str) -> list[int]:
        """See _Languages."""
        with self.lock:
            return self._ids(f"{self._codes.get(target, '')} {text}".lstrip())

    def start(self, target: str) -> dict[str, int]:
        """See _Languages."""
        return {}


@dataclass(frozen=True, eq=False)
class _Call:
    """A text in parts; the ids of each part that is not blank."""

    parts: tuple[str, ...]
    ids: tuple[tuple[int, ...], ...]
    target: str


class Translator(Checkpoint):
    """A loaded checkpoint."""

    preprocessing = "seq2seq/1"
    scores = ScoreKind.NONE

    def __init__(self, spec: ModelSpec, at: Place, network: Any, languages: _Languages, told: Options) -> None:  # noqa: ANN401
        super().__init__(spec, at, network)
        self._languages = languages
        self._beams = told.beams
        network.generation_config.max_length = None  # two limits would be warned of with every text
        positions = int(network.config.max_position_embeddings)
        self._room = min(told.max_new_tokens, positions - 1)
        if self._room < FEWEST:
            raise ModelUnavailable(f"model {spec.name!r}: it has {positions} positions, too few for a translation")

    def prepare(self, ask: Ask) -> Prepared:
        """Cut and tokenize one text. Raises ModelError on anything else, and on a pair it does not serve."""
        if ask.capability != Capability.TRANSLATE or ask.pictures:
            raise ModelError(f"this model translates a text; it cannot {ask.capability} {len(ask.pictures)} pictures")
        text, source, target = (str(ask.arguments[name]) for name in ("text", "source", "target"))
        self._languages.check(source, target)
        try:
            text.encode()
        except UnicodeEncodeError as error:  # a lone surrogate: the tokenizer would fail
            raise ModelError(f"the text holds what is no character: {error}") from error
        found = parts(text, lambda piece: len(self._languages.encode(piece, source, target)) <= self._room // 2)
        spoken = [part for part in found if part.strip()]
        if len(spoken) > MOST_PIECES:
            raise ModelError(f"the text has {len(spoken)} lines or pieces to translate, more than {MOST_PIECES}")
        ids = tuple(tuple(self._languages.encode(part, source, target)) for part in spoken)
        lengths = tuple(map(len, ids))
        tokens = sum(length + self._room for length in lengths)
        return Prepared(_Call(found, ids, target), group=(source, target, lengths), pixels=0, tokens=tokens)

    def answers(self, batch: Sequence[Prepared]) -> list[Translation | Told]:
        """Translate each text. A translation that reached `max_new_tokens` is told as `cut_pieces`."""
        calls: list[_Call] = [prepared.payload for prepared in batch]
        said: dict[tuple[int, int], tuple[str, bool]] = {}
        for keys in _together(calls, self.spec.max_batch):
            wanted = [(call, piece) for call, piece in keys if not batch[call].stopped.is_set()]
            if wanted:
                rows = [calls[call].ids[piece] for call, piece in wanted]
                told = self._generated(rows, [batch[call].stopped for call, _ in wanted], calls[0].target)
                said.update(zip(wanted, told, strict=True))
        return [
            self._told(call, [said.get((index, piece), ("", False)) for piece in range(len(call.ids))])
            for index, call in enumerate(calls)
        ]

    def _generated(
        self, rows: Sequence[tuple[int, ...]], stopped: Sequence[threading.Event], target: str
    ) -> list[tuple[str, bool]]:
        """Return what each row says in the target language, and whether it was cut off."""
        ids = torch.tensor(rows, device=self.at.device)
        generated = self.network.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=self._room,
            num_beams=self._beams,
            do_sample=False,
            stopping_criteria=[Stopped(stopped)],
            **self._languages.start(target),
        )
        end = self.network.generation_config.eos_token_id
        # Marian is made to end at the last place, so an end there does not say that the translation is whole.
        return [(self._languages.text(row[1:]), end not in row[1 : self._room]) for row in generated.tolist()]

    def _told(self, call: _Call, translated: Sequence[tuple[str, bool]]) -> Translation | Told:
        said = iter(translated)
        text = joined([next(said)[0] if part.strip() else part for part in call.parts], call.target)
        answer = Translation(text=text, model=self.spec.name)
        cut = sum(was_cut for _, was_cut in translated)
        return Told(answer, {"cut_pieces": cut}) if cut else answer


def _together(calls: Sequence[_Call], most: int) -> Iterator[list[tuple[int, int]]]:
    """Yield which pieces (call, piece) are translated together: of one length, and no more than so many."""
    alike: dict[int, list[tuple[int, int]]] = {}
    for index, call in enumerate(calls):
        for piece, ids in enumerate(call.ids):
            alike.setdefault(len(ids), []).append((index, piece))
    for keys in alike.values():
        yield from (keys[start : start + most] for start in range(0, len(keys), most))


def _own_codes(tokenizer: Any) -> dict[str, str]:  # noqa: ANN401
    """Return what a tokenizer calls its languages, by ISO 639-1 code: M2M100 `de`, mBART `de_DE`. NLLB says none."""
    return {name.partition("_")[0]: name for name in getattr(tokenizer, "lang_code_to_id", ())}


def _pairs(told: Sequence[str]) -> frozenset[tuple[str, str]]:
    return frozenset((source, target) for source, target in (pair.split("-") for pair in told))


def _named(pairs: frozenset[tuple[str, str]]) -> str:
    return ", ".join(sorted(f"{source}-{target}" for source, target in pairs))


def _unserved(source: str, target: str, served: str) -> ModelError:
    return ModelError(f"this model does not translate {source}-{target}; it serves {served}")
