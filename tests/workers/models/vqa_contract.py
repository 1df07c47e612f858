"""What models that answer questions about pictures must hold to; their rows lie in the tests of their family."""

import json
import math
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import pytest
from transformers import (
    BertTokenizerFast,
)

from domain.errors import ModelError, ModelUnavailable
from domain.vision import Answer, Capability
from tests.workers.models.architectures import ArchitectureContract
from tests.workers.models.contract import coloured, grey
from tests.workers.models.toys import spec_of, word_piece
from workers.models import family
from workers.models.family import Ask, Model, Pixels, ScoreKind, Told
from workers.registry import ModelSpec

TOLERANCE = 1e-4
SIDE = 64
POSITIONS = 24
ANSWERS = ("yes", "no", "one", "two", "a red car", "left", "right")
NAMES = {"id2label": dict(enumerate(ANSWERS)), "label2id": {name: index for index, name in enumerate(ANSWERS)}}
TINY = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": POSITIONS,
    "initializer_range": 0.3,
}


def words(*special: str) -> BertTokenizerFast:
    return BertTokenizerFast(tokenizer_object=word_piece(*special))


def revision(folder: Path) -> str:
    """Return what pins a folder."""
    return spec_of(folder, "vqa_head", (Capability.ASK,)).revision


def bare(answer: Any) -> Answer:
    """Return the answer without the remarks on it."""
    value = answer.value if isinstance(answer, Told) else answer
    assert isinstance(value, Answer)
    return value


class VqaContract(ArchitectureContract):
    """What every row of the family must hold to."""

    family = "vqa_head"
    capabilities = (Capability.ASK,)
    sizes: ClassVar[Sequence[tuple[int, int]]] = ((40, 64), (64, 40), (33, 33), (120, 50))

    def asks(self) -> Sequence[Ask]:
        """See FamilyContract. Each word of the questions is one token."""
        questions = ("where is the cat ?", "how many red car ?", "is there a dog ?", "where is the dog ?")
        return [
            self.asked(coloured(*size, seed), question)
            for seed, (size, question) in enumerate(zip(self.sizes, questions, strict=True))
        ]

    def ask_of(self, pixels: Pixels) -> Ask:
        """See FamilyContract."""
        return self.asked(pixels, "where is the scratch ?", ("left", "right"))

    def asked(self, pixels: Pixels, question: str, options: tuple[str, ...] = ()) -> Ask:
        """Return a call."""
        return Ask(Capability.ASK, (pixels,), {"question": question, "options": options})

    def answer(self, model: Model, ask: Ask) -> Answer:
        """Return the answer to one call."""
        return bare(model.run([model.prepare(ask)])[0])

    def check(self, ask: Ask, answer: Any) -> None:
        """See FamilyContract."""
        told = bare(answer)
        scores = [label.score for label in told.options]
        assert told.score is not None
        assert scores == sorted(scores, reverse=True)
        if told.options:
            assert (told.text, told.score) == (told.options[0].name, scores[0])
        if ask.arguments["options"]:
            assert {label.name for label in told.options} == set(ask.arguments["options"])
            assert math.isclose(math.fsum(scores), 1, abs_tol=1e-6)

    def same(self, one: Any, other: Any) -> bool:
        """See FamilyContract."""
        first, second = bare(one), bare(other)
        shares = [{label.name: label.score for label in told.options} for told in (first, second)]
        near = all(abs(shares[0][name] - shares[1].get(name, 9)) < TOLERANCE for name in shares[0])
        return first.text == second.text and near and abs((first.score or 0) - (second.score or 0)) < TOLERANCE

    def test_scores_of_options_are_told_to_be_shares(self, model: Model) -> None:
        asks = [self.asked(coloured(40, 40, 1), "is it red ?", options) for options in (("yes", "no"), ())]

        closed, free = (model.run([model.prepare(ask)])[0] for ask in asks)

        kinds = [told.scores or model.scores if isinstance(told, Told) else model.scores for told in (closed, free)]
        assert kinds == [ScoreKind.SOFTMAX, model.scores]

    def test_pictures_and_questions_are_told_apart(self, model: Model) -> None:
        first, other = coloured(*self.sizes[0], 0), coloured(*self.sizes[0], 9)
        questions = [(first, "is it red ?"), (other, "is it red ?"), (first, "is it a dog ?")]

        seen, otherwise, asked = (
            self.answer(model, self.asked(pixels, question, ("yes", "no"))) for pixels, question in questions
        )

        assert not self.same(seen, otherwise)
        assert not self.same(seen, asked)

    def test_options_of_each_call_are_its_own(self, model: Model) -> None:
        options = [("yes", "no"), ("left", "right", "one"), ("two",)]
        asks = [self.asked(coloured(*self.sizes[0], 1), "where is the cat ?", told) for told in options]

        answers = model.run([model.prepare(ask) for ask in asks])

        for ask, answer in zip(asks, answers, strict=True):
            self.check(ask, answer)
            assert self.same(answer, self.answer(model, ask))
        assert bare(answers[2]).score == 1

    def test_an_option_asked_twice_counts_once(self, model: Model) -> None:
        answer = self.answer(model, self.asked(coloured(40, 40, 1), "is it red?", ("yes", "no", "yes")))

        assert sorted(label.name for label in answer.options) == ["no", "yes"]

    def test_a_question_longer_than_the_positions_is_cut_and_told(self, model: Model) -> None:
        (answer,) = model.run([model.prepare(self.asked(coloured(40, 40, 1), "the cat " * 50, ("yes", "no")))])

        assert isinstance(answer, Told)
        assert answer.remarks == {"cut_tokens": 102 - POSITIONS}

    def test_jobs_prepare_beside_one_another_and_the_tokenizer_serves_one_at_a_time(
        self, model: Model, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # given a tokenizer that is slow, and cannot serve two
        tokenizer, free = model._tokenizer, threading.Lock()  # type: ignore[attr-defined]

        def slow(text: str, **more: Any) -> Any:
            assert free.acquire(blocking=False), "two threads are at the tokenizer"
            time.sleep(0.005)
            told = tokenizer(text, **more)
            free.release()
            return told

        monkeypatch.setattr(model, "_tokenizer", slow)

        # when jobs ask at once
        asks = [self.asked(coloured(40, 40, 1), "the cat " * count, ("yes", "no")) for count in (1, 50, 2, 40)]
        with ThreadPoolExecutor(len(asks)) as jobs:
            prepared = list(jobs.map(model.prepare, asks))

        # then each question has its own length
        lengths = [one.payload.inputs["input_ids"].shape[1] for one in prepared]
        assert lengths == [4, POSITIONS, 6, POSITIONS]
        assert tokenizer.backend_tokenizer.truncation is None

    @pytest.mark.parametrize(("question", "options"), [(" ", ()), ("is it?", ("yes", " "))])
    def test_questions_and_options_without_words_are_refused(
        self, model: Model, question: str, options: tuple[str, ...]
    ) -> None:
        with pytest.raises(ModelError, match="need words"):
            model.prepare(self.asked(coloured(9, 9, 0), question, options))

    def test_a_schema_is_refused(self, model: Model) -> None:
        asked = {"question": "is it?", "schema": {"type": "boolean"}}
        with pytest.raises(ModelError, match="cannot answer by a schema"):
            model.prepare(Ask(Capability.ASK, (grey(9, 9),), asked))

    def test_two_pictures_are_refused(self, model: Model) -> None:
        with pytest.raises(ModelError, match="takes one picture, not 2"):
            model.prepare(Ask(Capability.ASK, (grey(9, 9), grey(9, 9)), {"question": "same?"}))

    def test_a_temperature_evens_the_shares(self, model: Model, spec: ModelSpec) -> None:
        warm = family.load(spec.model_copy(update={"options": {**spec.options, "temperature": 50.0}}))
        ask = self.ask_of(coloured(*self.sizes[0], 1))

        even, sharp = (self.answer(one, ask).score or 0 for one in (warm, model))

        assert 0.5 <= even < sharp
        warm.close()

    def test_a_temperature_of_nothing_is_refused(self, spec: ModelSpec) -> None:
        with pytest.raises(ModelUnavailable, match="temperature"):
            family.load(spec.model_copy(update={"options": {**spec.options, "temperature": 0}}))


class HeadContract(VqaContract):
    """What models hold to that choose among answers of their own."""

    scores = ScoreKind.SIGMOID

    def test_the_best_answers_are_told(self, model: Model, spec: ModelSpec) -> None:
        two = family.load(spec.model_copy(update={"options": {**spec.options, "top": 2}}))

        five, best = (self.answer(one, self.asks()[0]) for one in (model, two))

        assert model.classes == ANSWERS
        assert len(five.options) == 5
        assert best.options == five.options[:2]
        two.close()

    def test_the_scores_are_of_the_kind_that_it_says(self, model: Model, spec: ModelSpec) -> None:
        whole = family.load(spec.model_copy(update={"options": {**spec.options, "top": 99}}))

        total = math.fsum(label.score for label in self.answer(whole, self.asks()[0]).options)

        assert model.scores == self.scores
        assert math.isclose(total, 1, abs_tol=1e-5) == (self.scores == ScoreKind.SOFTMAX)
        whole.close()

    def test_options_keep_the_proportions_of_the_scores(self, model: Model) -> None:
        pixels = coloured(*self.sizes[0], 3)
        whole = {label.name: label.score for label in self.answer(model, self.asked(pixels, "is it?")).options}
        first, second = list(whole)[:2]

        told = self.answer(model, self.asked(pixels, "is it?", (second, first)))

        shares = {label.name: label.score for label in told.options}
        assert math.isclose(shares[first] / shares[second], whole[first] / whole[second], rel_tol=1e-3)
        assert told.text == first

    def test_options_are_known_whatever_their_case_and_blanks(self, model: Model) -> None:
        answer = self.answer(model, self.asked(coloured(40, 40, 1), "is it?", ("YES", "a  Red car")))

        assert {label.name for label in answer.options} == {"YES", "a  Red car"}

    def test_options_that_the_head_does_not_know_are_refused_by_name(self, model: Model) -> None:
        with pytest.raises(ModelError, match=r"7 answers do not include 'purple', 'maybe'$"):
            model.prepare(self.asked(coloured(9, 9, 0), "is it?", ("purple", "yes", "maybe")))

    def test_a_head_without_names_is_refused(self, spec: ModelSpec, tmp_path: Path) -> None:
        unnamed = self.without_names(spec, tmp_path)

        with pytest.raises(ModelUnavailable, match="head has 7 answers"):
            family.load(unnamed)

    def test_the_answers_of_a_head_may_be_named_by_a_file(self, spec: ModelSpec, tmp_path: Path) -> None:
        (tmp_path / "answers.json").write_text(json.dumps([f"answer {index}" for index in range(7)]))
        unnamed = self.without_names(spec, tmp_path)

        model = family.load(unnamed.model_copy(update={"options": {**spec.options, "answers": "answers.json"}}))

        assert model.classes[0] == "answer 0"
        model.close()

    @pytest.mark.parametrize("options", [{"top": 0}, {"answers": "../answers.json"}, {"answers": "none.json"}])
    def test_options_without_sense_are_refused(self, spec: ModelSpec, options: dict[str, Any]) -> None:
        with pytest.raises(ModelUnavailable):
            family.load(spec.model_copy(update={"options": {**spec.options, **options}}))

    def without_names(self, spec: ModelSpec, other: Path) -> ModelSpec:
        """Copy the checkpoint, with what hubs have in place of the answers' names."""
        for file in spec.path.iterdir():
            if file.is_file():
                (other / file.name).write_bytes(file.read_bytes())
        told = json.loads((other / "config.json").read_text())
        told["id2label"] = {index: f"LABEL_{index}" for index in range(7)}
        told["label2id"] = {f"LABEL_{index}": index for index in range(7)}
        (other / "config.json").write_text(json.dumps(told))
        return spec.model_copy(update={"source": str(other), "revision": revision(other)})
