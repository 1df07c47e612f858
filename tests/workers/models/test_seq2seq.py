"""The family `seq2seq`: each architecture at toy size, with random weights."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
import sentencepiece
from transformers import (
    M2M100Config,
    M2M100ForConditionalGeneration,
    MarianConfig,
    MarianMTModel,
    MBart50Tokenizer,
    MBartConfig,
    MBartForConditionalGeneration,
    NllbTokenizer,
)

from domain.errors import ModelError, ModelUnavailable
from domain.vision import Capability, Translation
from tests.workers.models.architectures import ArchitectureContract
from tests.workers.models.contract import grey
from tests.workers.models.toys import TEXTS, saved, spec_of
from workers.models import family
from workers.models.family import Ask, Model, Pixels, Told
from workers.models.seq2seq import MOST_PIECES, joined, parts
from workers.registry import ModelSpec

pytestmark = pytest.mark.model

TINY = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 64,
    "init_std": 0.3,
}
LANGUAGES = 100
"""of M2M100's tokenizer, whose tokens follow those of the vocabulary"""


def spm(folder: Path, name: str) -> list[str]:
    """Train a SentencePiece model into the folder, and return its pieces."""
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS * 4), model_prefix=str(folder / "spm"), vocab_size=120, minloglevel=2
    )
    (folder / "spm.vocab").unlink()
    (folder / "spm.model").rename(folder / name)
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / name))
    return [model.id_to_piece(index) for index in range(model.get_piece_size())]


def bare(answer: Any) -> Translation:
    """Return the translation without the remarks on it."""
    value = answer.value if isinstance(answer, Told) else answer
    assert isinstance(value, Translation)
    return value


def encoder_passes(model: Any, then: Callable[[], None] = lambda: None) -> list[int]:
    """Return what will hold how many texts the encoder was given at each pass; call `then` after each."""
    rows: list[int] = []

    def note(_: Any, __: Any, told: Any) -> None:
        rows.append(len(told.last_hidden_state))
        then()

    model.network.model.encoder.register_forward_hook(note)
    return rows


class Seq2SeqContract(ArchitectureContract):
    """What every row of the family must hold to."""

    family = "seq2seq"
    capabilities = (Capability.TRANSLATE,)
    options: ClassVar[dict[str, Any]] = {"max_new_tokens": 32}

    def asks(self) -> Sequence[Ask]:
        """See FamilyContract. Their tokens are equally many: a rare letter is one, so are a blank and a line's end."""
        return [self.asked(f"a red car {letter}\nthe dog {letter}") for letter in "QJXK"]

    def ask_of(self, pixels: Pixels) -> Ask:
        """See FamilyContract; the picture's size is what the text is about."""
        return self.asked(f"a picture of {pixels.shape[0]} by {pixels.shape[1]}")

    def asked(self, text: str, source: str = "de", target: str = "en") -> Ask:
        """Return a call."""
        return Ask(Capability.TRANSLATE, (), {"text": text, "source": source, "target": target})

    def answer(self, model: Model, text: str) -> Any:
        """Return the answer to one call."""
        (answer,) = model.run([model.prepare(self.asked(text))])
        return answer

    def check(self, ask: Ask, answer: Any) -> None:
        """See FamilyContract."""
        assert bare(answer).model == "toy"
        assert bare(answer).text

    def same(self, one: Any, other: Any) -> bool:
        """See FamilyContract."""
        return bool(bare(one) == bare(other))

    def test_different_texts_are_translated_differently(self, model: Model) -> None:
        assert len({bare(self.answer(model, str(ask.arguments["text"]))).text for ask in self.asks()}) > 1

    def test_a_blank_text_stays_as_it_is(self, model: Model) -> None:
        assert [bare(self.answer(model, text)).text for text in ("", " \n\t")] == ["", " \n\t"]

    def test_lines_stay_lines(self, model: Model) -> None:
        text = bare(self.answer(model, "a red car\n\n  the dog\r\n")).text

        assert text.startswith(bare(self.answer(model, "a red car")).text + "\n\n  ")
        assert text.endswith(bare(self.answer(model, "the dog")).text + "\r\n")

    def test_a_text_longer_than_the_positions_is_translated_piece_by_piece(self, model: Model) -> None:
        prepared = model.prepare(self.asked(f"{TEXTS[0]}. {'x' * 30}"))
        pieces = [part for part in prepared.payload.parts if part.strip()]

        (answer,) = model.run([prepared])

        assert len(pieces) > 3
        assert max(map(len, prepared.payload.ids)) <= self.options["max_new_tokens"] // 2
        assert bare(answer).text.split() == " ".join(bare(self.answer(model, piece)).text for piece in pieces).split()

    def test_a_text_weighs_its_tokens_and_those_that_may_be_written(self, model: Model) -> None:
        one, two = (model.prepare(self.asked(text)) for text in ("a", "a\na"))

        assert one.tokens == len(one.payload.ids[0]) + self.options["max_new_tokens"]
        assert (two.tokens, two.pixels) == (2 * one.tokens, 0)

    def test_what_looks_like_a_special_token_is_text(self, model: Model) -> None:
        ids = model.prepare(self.asked("a </s> b <pad> c")).payload.ids[0]

        assert ids.count(model.network.config.eos_token_id) == 1  # type: ignore[attr-defined]
        assert model.network.config.pad_token_id not in ids  # type: ignore[attr-defined]

    def test_a_text_that_holds_no_characters_is_refused(self, model: Model) -> None:
        with pytest.raises(ModelError, match="no character"):
            model.prepare(self.asked("a \ud800 b"))

    def test_a_picture_is_refused(self, model: Model) -> None:
        with pytest.raises(ModelError, match="translates a text"):
            model.prepare(Ask(Capability.TRANSLATE, (grey(3, 3),), {"text": "a", "source": "de", "target": "en"}))

    @pytest.mark.parametrize("beams", [1, 2])
    def test_generation_ends_where_nobody_wants_the_answer(self, spec: ModelSpec, beams: int) -> None:
        model = family.load(spec.model_copy(update={"options": {**spec.options, "beams": beams}}))
        steps: list[int] = []
        prepared = [model.prepare(ask) for ask in self.asks()]

        def stop_after_three(*_: Any) -> None:
            steps.append(1)
            if len(steps) == 3:
                for one in prepared:
                    one.stopped.set()

        model.network.model.decoder.register_forward_hook(stop_after_three)  # type: ignore[attr-defined]
        model.run(prepared)

        assert len(steps) <= 4
        model.close()

    def test_pieces_of_one_length_are_translated_together(self, model: Model, spec: ModelSpec) -> None:
        lines, passes = [f"the dog {letter}" for letter in "QJXKZVWYUH"], encoder_passes(model)

        answer = bare(self.answer(model, "\n".join(lines)))

        assert len(lines) > spec.max_batch
        assert [rows for rows in passes if rows > 1] == [spec.max_batch, len(lines) - spec.max_batch]
        assert answer.text.split("\n") == [bare(self.answer(model, line)).text for line in lines]

    def test_what_was_stopped_between_two_pieces_is_not_gone_on_with(self, model: Model) -> None:
        prepared = model.prepare(self.asked("\n".join("the dog " * count for count in range(1, 6))))
        passes = encoder_passes(model, prepared.stopped.set)

        model.run([prepared])

        assert len(prepared.payload.ids) >= 5
        assert passes == [1]

    def test_a_text_of_more_lines_than_a_call_may_take_is_refused(self, model: Model) -> None:
        assert len(model.prepare(self.asked("a\n" * MOST_PIECES)).payload.ids) == MOST_PIECES

        with pytest.raises(ModelError, match="201 lines or pieces to translate, more than 200"):
            model.prepare(self.asked("a\n" * (MOST_PIECES + 1)))

    def test_the_others_of_a_batch_are_answered_when_one_is_stopped(self, model: Model) -> None:
        prepared = [model.prepare(ask) for ask in self.asks()]
        whole = model.run(prepared)
        prepared[0].stopped.set()

        rest = model.run(prepared)

        assert all(self.same(a, b) for a, b in zip(whole[1:], rest[1:], strict=True))
        assert not self.same(whole[0], rest[0])

    def test_a_translation_that_was_cut_off_says_so(self, spec: ModelSpec) -> None:
        model = family.load(spec.model_copy(update={"options": {**spec.options, "max_new_tokens": 16}}))
        ending = model.network.get_output_embeddings()  # type: ignore[attr-defined]
        ending.weight[model.network.config.eos_token_id] = 0  # type: ignore[attr-defined]

        answer = self.answer(model, "a red car\nthe dog")

        assert isinstance(answer, Told)
        assert answer.remarks == {"cut_pieces": 2}
        model.close()

    @pytest.mark.parametrize("options", [{"beams": 0}, {"max_new_tokens": 3}, {"pairs": ["de"]}, {"pairs": "de-en"}])
    def test_options_without_sense_are_refused(self, spec: ModelSpec, options: dict[str, Any]) -> None:
        with pytest.raises(ModelUnavailable):
            family.load(spec.model_copy(update={"options": {**spec.options, **options}}))


class TestMarian(Seq2SeqContract):
    architecture = "Marian"

    def build(self, folder: Path) -> None:
        self.built(folder, languages=())
        told = {"tokenizer_class": "MarianTokenizer", "source_lang": "de", "target_lang": "en"}
        (folder / "tokenizer_config.json").write_text(json.dumps(told))

    def built(self, folder: Path, languages: Sequence[str]) -> None:
        pieces = spm(folder, "source.spm")
        shutil.copy(folder / "source.spm", folder / "target.spm")
        # As OPUS-MT's: the end is 0, <unk> is 1, padding is the last and what generation starts with.
        kept = [piece for piece in pieces if piece not in {"<s>", "</s>", "<unk>"}]
        words = ["</s>", "<unk>", *kept, *languages, "<pad>"]
        (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
        last = len(words) - 1
        config = MarianConfig(
            **TINY, vocab_size=len(words), pad_token_id=last, decoder_start_token_id=last, bad_words_ids=[[last]]
        )
        saved(folder, lambda: MarianMTModel(config))

    def test_another_pair_is_refused_and_the_served_one_named(self, model: Model) -> None:
        with pytest.raises(ModelError, match=r"en-de; it serves de-en$"):
            model.prepare(self.asked("a cat", "en", "de"))

    def test_one_of_many_targets_is_named_before_the_text(self, tmp_path: Path) -> None:
        self.built(tmp_path, languages=(">>fra<<", ">>es<<"))
        options = {"pairs": ["en-fr", "en-es"], "codes": {"fr": "fra"}}
        model = family.load(spec_of(tmp_path, "seq2seq", self.capabilities, options=options))
        words = json.loads((tmp_path / "vocab.json").read_text())

        french, spanish = (
            model.prepare(self.asked("a cat >>es<<", "en", code)).payload.ids[0] for code in ("fr", "es")
        )

        assert french[0] == words[">>fra<<"]
        assert spanish[0] == words[">>es<<"]
        assert french[1:] == spanish[1:]
        assert words[">>es<<"] not in french
        model.close()

    @pytest.mark.parametrize(
        ("options", "told"),
        [({}, "say what it translates"), ({"pairs": ["en-fr"]}, r"its targets are \['>>es<<', '>>fra<<'\]")],
    )
    def test_a_model_of_many_targets_needs_to_be_told_which(
        self, tmp_path: Path, options: dict[str, Any], told: str
    ) -> None:
        self.built(tmp_path, languages=(">>fra<<", ">>es<<"))

        with pytest.raises(ModelUnavailable, match=told):
            family.load(spec_of(tmp_path, "seq2seq", self.capabilities, options=options))


class TestM2M100(Seq2SeqContract):
    architecture = "M2M100"

    def build(self, folder: Path) -> None:
        pieces = spm(folder, "sentencepiece.bpe.model")
        words = ["<s>", "<pad>", "</s>", "<unk>", *(p for p in pieces if p not in {"<s>", "</s>", "<unk>"})]
        (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
        (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "M2M100Tokenizer"}))
        config = M2M100Config(**TINY, vocab_size=len(words) + LANGUAGES)

        def model() -> M2M100ForConditionalGeneration:
            made = M2M100ForConditionalGeneration(config)
            # A trained one gives a language's token first and never again: here all but the words are made unlikely.
            for first, last in ((0, 2), (3, 4), (len(words), config.vocab_size)):
                made.model.shared.weight.data[first:last] *= 0.1
            made.model.decoder.layers[0].encoder_attn.out_proj.weight.data *= 5  # and it heeds its source
            return made

        saved(folder, model)

    def test_the_source_stands_before_the_text_and_the_target_before_the_translation(self, model: Model) -> None:
        seen: list[int] = []
        tokenizer = model.languages.tokenizer  # type: ignore[attr-defined]
        decoder = model.network.model.decoder  # type: ignore[attr-defined]
        handle = decoder.register_forward_pre_hook(
            lambda _, __, given: seen.append(int(given["input_ids"][0, -1])), with_kwargs=True
        )

        prepared = model.prepare(self.asked("a cat", "fr", "es"))
        model.run([prepared])
        handle.remove()

        assert prepared.payload.ids[0][0] == tokenizer.get_lang_id("fr")
        assert seen[1] == tokenizer.get_lang_id("es")

    def test_a_language_it_does_not_know_is_refused_and_its_own_named(self, model: Model) -> None:
        for source, target in (("de", "xx"), ("xx", "de"), ("de", "de")):
            with pytest.raises(ModelError, match=r"it serves any two of af, am, .*, zu$"):
                model.prepare(self.asked("a cat", source, target))

    def test_a_profile_may_allow_some_pairs_only(self, spec: ModelSpec) -> None:
        model = family.load(spec.model_copy(update={"options": {"pairs": ["en-de", "de-en"]}}))

        with pytest.raises(ModelError, match=r"it serves de-en, en-de$"):
            model.prepare(self.asked("a cat", "fr", "en"))
        model.close()

    def test_a_pair_of_a_language_it_does_not_know_is_refused_when_loading(self, spec: ModelSpec) -> None:
        with pytest.raises(ModelUnavailable, match="'xx'"):
            family.load(spec.model_copy(update={"options": {"pairs": ["en-xx"]}}))


WORDS = ("▁a", "▁red", "▁car", "▁the", "▁dog")
BEGUN = tuple(dict.fromkeys(word[:end] for word in WORDS for end in range(2, len(word) + 1)))
"""Words, and how they begin: what merges make of letters."""
LETTERS = tuple(dict.fromkeys("▁" + "".join(TEXTS).replace(" ", "")))
SPELT = ("<s>", "<pad>", "</s>", "<unk>", *LETTERS, *BEGUN)
"""A small vocabulary, listed and not learned, so that all processes have the same."""


def fluent(kind: Any, config: Any) -> Any:
    """Return what makes a network that heeds its source and writes letters, not the tokens of languages."""

    def made() -> Any:
        network = kind(config)
        network.model.shared.weight.data[len(SPELT) :] *= 0.1
        network.model.decoder.layers[0].encoder_attn.out_proj.weight.data *= 5
        return network

    return made


class NamesOfItsOwn:
    """For architectures whose languages have other names than those of ISO 639-1."""

    names: ClassVar[dict[str, str]]

    def test_languages_are_asked_for_by_iso_639_and_told_to_the_network_by_its_own_tokens(self, model: Model) -> None:
        seen: list[int] = []
        tokens = model.languages.tokenizer  # type: ignore[attr-defined]
        decoder = model.network.model.decoder  # type: ignore[attr-defined]
        handle = decoder.register_forward_pre_hook(
            lambda _, __, given: seen.append(int(given["input_ids"][0, -1])), with_kwargs=True
        )

        prepared = model.prepare(Seq2SeqContract().asked("a cat", "de", "en"))
        model.run([prepared])
        handle.remove()

        assert prepared.payload.ids[0][0] == tokens.convert_tokens_to_ids(self.names["de"])
        assert seen[1] == tokens.convert_tokens_to_ids(self.names["en"])

    def test_a_name_that_the_tokenizer_does_not_have_is_refused(self, spec: ModelSpec) -> None:
        with pytest.raises(ModelUnavailable, match=r"'deu_Grek'.*of `codes`"):
            family.load(spec.model_copy(update={"options": {"codes": {"de": "deu_Grek"}}}))


class TestMBart(NamesOfItsOwn, Seq2SeqContract):
    """mBART-50 (Tang et al. 2020), whose languages are called `de_DE`."""

    architecture = "mBART-50"
    names: ClassVar[dict[str, str]] = {"de": "de_DE", "en": "en_XX"}

    def build(self, folder: Path) -> None:
        tokenizer = MBart50Tokenizer(vocab=[(piece, -1.0 if piece in WORDS else -3.0) for piece in SPELT])
        ids = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
        config = MBartConfig(**TINY, **ids, vocab_size=len(tokenizer))
        saved(folder, fluent(MBartForConditionalGeneration, config), tokenizer)


class TestNllb(NamesOfItsOwn, Seq2SeqContract):
    """NLLB (Costa-jussà et al. 2022): the network of M2M100, and languages that are called `deu_Latn`."""

    architecture = "NLLB"
    names: ClassVar[dict[str, str]] = {"de": "deu_Latn", "en": "eng_Latn"}
    options: ClassVar[dict[str, Any]] = {**Seq2SeqContract.options, "codes": names}

    def build(self, folder: Path) -> None:
        merges = [(piece[:-1], piece[-1]) for piece in BEGUN]
        tokenizer = NllbTokenizer(vocab={piece: number for number, piece in enumerate(SPELT)}, merges=merges)
        ids = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
        config = M2M100Config(**TINY, **ids, vocab_size=len(tokenizer))
        saved(folder, fluent(M2M100ForConditionalGeneration, config), tokenizer)

    def test_without_codes_it_is_refused_with_what_to_write(self, spec: ModelSpec) -> None:
        with pytest.raises(ModelUnavailable, match=r"in the option `codes`, such as \{ de = \"deu_Latn\" \}"):
            family.load(spec.model_copy(update={"options": {}}))


def short(text: str) -> bool:
    """Say whether a text has at most twelve characters."""
    return len(text) <= 12


class TestParts:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", ()),
            ("  \n ", ("  ", "\n", " ")),
            ("one. two.", ("one. two.",)),
            (" one\ntwo ", (" ", "one", "\n", "two", " ")),
            ("One two. Three four.", ("One two.", " ", "Three four.")),
            ("A b. C d. E f. G h.", ("A b. C d.", " ", "E f. G h.")),
            ("one two three four. Five.", ("one two", " ", "three four.", " ", "Five.")),
            ("一二三四五六七。八九十一二三四。", ("一二三四五六七。", "八九十一二三四。")),
            ("abcdefghijklmnopqrst", ("abcdefghij", "klmnopqrst")),
        ],
    )
    def test_a_text_is_cut_where_it_hurts_least(self, text: str, expected: tuple[str, ...]) -> None:
        assert parts(text, short) == expected

    @pytest.mark.parametrize(
        "text", [*TEXTS, "\t".join(TEXTS), "a\r\n" * 9, "。" * 40, "x" * 99, "e\u0301 \u00a0! " * 20]
    )
    def test_nothing_is_lost_and_all_parts_fit(self, text: str) -> None:
        found = parts(text, short)

        assert "".join(found) == text
        assert all(short(part) and part == part.strip() for part in found if part.strip())

    def test_a_character_that_does_not_fit_is_refused(self) -> None:
        with pytest.raises(ModelError, match="alone is too long"):
            parts("ab", lambda text: not text)

    def test_parts_without_a_blank_between_them_get_one_where_the_language_has_spaces(self) -> None:
        assert joined(("Hello.", "World.", "\n", "Yes"), "en") == "Hello. World.\nYes"
        assert joined(("你好。", "世界。"), "zh") == "你好。世界。"
