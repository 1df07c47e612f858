"""Between which languages a translator's checkpoint translates, and how its tokenizer is told them."""

import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from transformers import MBartTokenizer

from domain.errors import LanguageUnserved, ModelUnavailable
from workers.registry import ModelSpec

PAIR = re.compile("([a-z]{2,3})-([a-z]{2,3})")


class Served(Protocol):
    """What a row says of languages; see `workers.models.seq2seq.load`."""

    @property
    def pairs(self) -> tuple[str, ...]:
        """Which pairs it serves, such as `de-en`."""

    @property
    def codes(self) -> Mapping[str, str]:
        """What the model calls a language, by ISO 639-1 code."""


class Languages:
    """A tokenizer, and which pairs it serves. Tokenizers keep the source language in themselves, hence the lock."""

    def __init__(self, tokenizer: Any, told: Served) -> None:  # noqa: ANN401
        self.tokenizer, self.lock = tokenizer, threading.Lock()
        self._pairs = _pairs(told.pairs)

    @property
    def one_way(self) -> str:
        """The pairs that lack their other direction, named by it; empty where there is none."""
        return _named(frozenset((target, source) for source, target in self._pairs) - self._pairs)

    def check(self, source: str, target: str) -> None:
        """Raise LanguageUnserved where the pair is not served, naming those that are."""
        raise NotImplementedError

    def encode(self, text: str, source: str, target: str) -> list[int]:
        """Return a text's ids. What looks like a special token in it is text like any other."""
        raise NotImplementedError

    def translation(self, text: str, target: str) -> list[int]:
        """Return the ids that the network is to write, to learn from: a text in the target language, with its signs."""
        with self.lock:
            self._aim(target)
            return list(self.tokenizer(text_target=text, split_special_tokens=True, verbose=False).input_ids)

    def start(self, target: str) -> dict[str, int]:
        """Return what generation needs to know of the target."""
        raise NotImplementedError

    def text(self, ids: Sequence[int]) -> str:
        """Return what generated ids say."""
        with self.lock:
            return str(self.tokenizer.decode(ids, skip_special_tokens=True)).strip()

    def _aim(self, target: str) -> None:
        """Tell the tokenizer the language of a translation, where it keeps it in itself."""

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, split_special_tokens=True, verbose=False).input_ids)


class Multilingual(Languages):
    """M2M100, NLLB, mBART: the source's token stands with the text, the target's is the first of the translation."""

    def __init__(self, spec: ModelSpec, tokenizer: Any, told: Served) -> None:  # noqa: ANN401
        super().__init__(tokenizer, told)
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
        """See Languages."""
        if self._pairs and (source, target) not in self._pairs:
            raise _unserved(source, target, _named(self._pairs))
        if not {source, target} <= set(self._codes) or source == target:
            raise _unserved(source, target, f"any two of {', '.join(self._codes)}")

    def encode(self, text: str, source: str, target: str) -> list[int]:
        """See Languages."""
        for sign in self._signs:  # mBART's vocabulary holds them as words too, so that they must not stand as one
            text = text.replace(sign, f"{sign[:1]} {sign[1:]}")
        with self.lock:
            self.tokenizer.src_lang = self._codes[source]
            return self._ids(text)

    def start(self, target: str) -> dict[str, int]:
        """See Languages."""
        return {self._first: int(self._tokens[target] or 0)}

    def text(self, ids: Sequence[int]) -> str:
        """See Languages; the tokens of languages are no text."""
        languages = set(self._tokens.values())
        return super().text([one for one in ids if one not in languages])

    def _aim(self, target: str) -> None:
        self.tokenizer.tgt_lang = self._codes[target]

    def _token(self, name: str) -> int | None:
        """Return the id of a language's token; None where the tokenizer has none."""
        known = getattr(self.tokenizer, "lang_code_to_id", None)
        if known is None:
            return self.tokenizer.get_added_vocab().get(name)  # type: ignore[no-any-return]
        if name not in known:
            return None
        return int(self.tokenizer.get_lang_id(name) if hasattr(self.tokenizer, "get_lang_id") else known[name])


class Directed(Languages):
    """Marian: one direction, or many targets, each with a token before the text."""

    def __init__(self, spec: ModelSpec, tokenizer: Any, told: Served) -> None:  # noqa: ANN401
        super().__init__(tokenizer, told)
        own = f"{tokenizer.source_lang}-{tokenizer.target_lang}"
        self._pairs = self._pairs or _pairs([own] if PAIR.fullmatch(own) else [])
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
        """See Languages."""
        if (source, target) not in self._pairs:
            raise _unserved(source, target, _named(self._pairs))

    def encode(self, text: str, source: str, target: str) -> list[int]:
        """See Languages."""
        with self.lock:
            return self._ids(f"{self._codes.get(target, '')} {text}".lstrip())

    def start(self, target: str) -> dict[str, int]:
        """See Languages."""
        return {}


def _own_codes(tokenizer: Any) -> dict[str, str]:  # noqa: ANN401
    """Return what a tokenizer calls its languages, by ISO 639-1 code: M2M100 `de`, mBART `de_DE`. NLLB says none."""
    return {name.partition("_")[0]: name for name in getattr(tokenizer, "lang_code_to_id", ())}


def _pairs(told: Sequence[str]) -> frozenset[tuple[str, str]]:
    return frozenset((source, target) for source, target in (pair.split("-") for pair in told))


def _named(pairs: frozenset[tuple[str, str]]) -> str:
    return ", ".join(sorted(f"{source}-{target}" for source, target in pairs))


def _unserved(source: str, target: str, served: str) -> LanguageUnserved:
    return LanguageUnserved(f"this model does not translate {source}-{target}; it serves {served}")
