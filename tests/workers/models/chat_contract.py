"""What every row of the family `chat_vlm` must hold to."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from domain.errors import ModelError
from domain.schemas import closed, parsed
from domain.vision import Answer, Capability, Grounding
from tests.workers.models.architectures import ArchitectureContract
from tests.workers.models.contract import coloured, grey
from workers.models.family import Ask, Model, Pixels, Prepared, ScoreKind, Told

TOLERANCE = 1e-4
STEPS = 10
OPTIONS = ("yes", "no", "yes, two of them", "a red car")


def bare(answer: Any) -> Any:
    """Return an answer without the remarks on it."""
    return answer.value if isinstance(answer, Told) else answer


def ask(*pixels: Pixels, question: str = "how many benches?", **more: Any) -> Ask:
    """Return a question about pictures."""
    return Ask(Capability.ASK, pixels, {"question": question, **more})


class ChatVlmContract(ArchitectureContract):
    """What every row of the family must hold to."""

    family = "chat_vlm"
    capabilities = (Capability.ASK, Capability.CAPTION, Capability.DRAFT, Capability.GROUND)
    options = {"max_new_tokens": STEPS, "boxes": "json1000"}  # noqa: RUF012

    def asks(self) -> Sequence[Ask]:
        """See FamilyContract."""
        return [ask(coloured(40, 64, seed), question=f"is it {seed}?") for seed in range(3)]

    def ask_of(self, pixels: Pixels) -> Ask:
        """See FamilyContract."""
        return ask(pixels)

    def check(self, ask: Ask, answer: Any) -> None:
        """See FamilyContract."""
        told = bare(answer)
        assert isinstance(told, Answer)
        assert told.text
        assert told.score is not None
        assert not told.options

    def same(self, one: Any, other: Any) -> bool:
        """See FamilyContract."""
        first, second = bare(one), bare(other)
        if isinstance(first, str) or first.text != second.text:
            return bool(first == second)
        pairs = zip((first, *sorted(first.options, key=str)), (second, *sorted(second.options, key=str)), strict=True)
        return all(abs(a.score - b.score) < TOLERANCE for a, b in pairs)

    def whole(self, inputs: dict[str, torch.Tensor], ids: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the tensors of a prompt with more tokens after it, for one pass through the network."""
        length = inputs["input_ids"].shape[1]
        longer = dict(inputs)
        for name, tensor in inputs.items():
            if tensor.ndim > 1 and tensor.shape[1] == length:
                last = tensor[:, -1:].expand(-1, len(ids), *tensor.shape[2:])
                longer[name] = torch.cat([tensor, self.after(name, last)], dim=1)
        longer["input_ids"] = torch.cat([inputs["input_ids"], ids[None]], dim=1)
        return longer

    def after(self, name: str, last: torch.Tensor) -> torch.Tensor:
        """Return what an input is for tokens that were written: what it was for the prompt's last."""
        return last

    def log_probabilities(
        self, model: Any, prepared: Prepared, ids: torch.Tensor, suppressed: Sequence[int] = ()
    ) -> torch.Tensor:
        """Return the log-probability of each of some tokens after a prompt, from one pass without a cache."""
        inputs = self.whole(prepared.payload.inputs, ids)
        with torch.inference_mode():
            logits = model.network(**inputs, use_cache=False).logits[0, -len(ids) - 1 : -1].float()
            logits[:, list(suppressed)] = -torch.inf
        return torch.log_softmax(logits, dim=-1).gather(1, ids[:, None])[:, 0]

    def test_the_pictures_decide_the_answer(self, model: Model) -> None:
        answers = [bare(model.run([model.prepare(ask(coloured(40, 64, seed)))])[0]) for seed in range(3)]

        assert len({answer.score for answer in answers}) == 3

    def test_a_score_is_the_mean_of_the_tokens_probabilities(self, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        written, generate = [], model.network.generate
        monkeypatch.setattr(model.network, "generate", lambda **more: written.append(generate(**more)) or written[-1])
        prepared = model.prepare(self.asks()[0])

        (answer,) = model.run([prepared])

        ids = written[0][0, prepared.payload.inputs["input_ids"].shape[1] :]
        never = model._writing.suppress_tokens
        chances = self.log_probabilities(model, prepared, ids, never)
        assert set(never) & set(prepared.payload.inputs["input_ids"][0].tolist())  # the picture's
        assert len(ids) == STEPS
        assert abs(bare(answer).score - math.exp(chances.mean())) < TOLERANCE
        assert answer.remarks == {"cut_off_at_tokens": STEPS}

    def test_options_share_what_the_model_gives_them(self, model: Model) -> None:
        prepared = model.prepare(ask(coloured(40, 64, 1), options=OPTIONS))

        (told,) = model.run([prepared])

        answer = bare(told)
        assert (told.remarks, told.scores) == ({}, ScoreKind.SOFTMAX)
        ways = prepared.payload.choices
        sums = [self.log_probabilities(model, prepared, torch.tensor(way)).sum() for (way,) in ways]
        shares = dict(zip(OPTIONS, torch.softmax(torch.stack(sums), dim=0).tolist(), strict=True))
        assert {label.name for label in answer.options} == set(OPTIONS)
        assert all(abs(label.score - shares[label.name]) < TOLERANCE for label in answer.options)
        assert list(answer.options) == sorted(answer.options, key=lambda label: -label.score)
        assert (answer.text, answer.score) == (answer.options[0].name, answer.options[0].score)

    def test_a_closed_question_is_answered_alone_as_in_company(self, model: Model) -> None:
        asks = [ask(coloured(40, 64, seed), options=("yes", "no", "two of them")) for seed in range(3)]
        prepared = [model.prepare(one) for one in asks]

        together = model.run(prepared)

        assert len({one.group for one in prepared}) == 1
        assert prepared[0].group != model.prepare(ask(coloured(40, 64, 1))).group
        assert all(self.same(model.run([one])[0], answer) for one, answer in zip(prepared, together, strict=True))

    def test_an_answer_by_a_schema_is_json_of_it_alone_as_in_company(self, model: Model) -> None:
        schema = closed({"anyOf": [{"type": "boolean"}, {"type": "integer", "minimum": 0, "maximum": 99}]})
        prepared = [model.prepare(ask(coloured(40, 64, seed), schema=schema)) for seed in range(3)]

        together = model.run(prepared)

        assert all(self.same(model.run([one])[0], answer) for one, answer in zip(prepared, together, strict=True))
        for answer in map(bare, together):
            parsed(answer.text, schema)
            assert 0 < answer.score <= 1

    def test_calls_with_pictures_of_different_sizes_are_answered_as_alone(self, model: Model) -> None:
        groups: dict[Any, list[Prepared]] = {}
        for seed, size in enumerate([(40, 64), (64, 40), (50, 50), (64, 64), (40, 64), (30, 120)]):
            one = model.prepare(ask(coloured(*size, seed)))
            groups.setdefault(one.group, []).append(one)

        for batch in groups.values():
            together = model.run(batch)
            assert all(self.same(model.run([one])[0], answer) for one, answer in zip(batch, together, strict=True))

    def test_a_caption_and_a_draft_are_texts(self, model: Model) -> None:
        two = (coloured(40, 64, 1), coloured(50, 50, 2))
        caption = Ask(Capability.CAPTION, two[:1])
        draft = Ask(Capability.DRAFT, two, {"instruction": "describe the plate"})

        told = [bare(model.run([model.prepare(one)])[0]) for one in (caption, draft)]

        assert all(isinstance(text, str) and text for text in told)

    def test_examples_stand_before_the_question(self, model: Model) -> None:
        pixels = (coloured(40, 64, 1), coloured(50, 50, 2))
        with_example, other = (
            model.prepare(ask(*pixels, question="is it?", examples=((0, "where is it?", answer),)))
            for answer in ("on the left", "on the plate")
        )

        answers = [bare(model.run([one])[0]) for one in (with_example, other)]

        assert with_example.prompt is not None
        positions = [with_example.prompt.index(text) for text in ("where is it?", "on the left", "is it?", "is it?")]
        assert positions[0] < positions[1] < with_example.prompt.rindex("is it?")
        assert answers[0].score != answers[1].score

    def test_noise_is_no_box_and_no_phrase_needs_no_pass(self, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        pixels = coloured(40, 64, 1)

        (noise,) = model.run([model.prepare(Ask(Capability.GROUND, (pixels,), {"phrases": ("a cat",)}))])
        monkeypatch.setattr(model.network, "generate", None)
        nothing = model.run([model.prepare(Ask(Capability.GROUND, (pixels,), {"phrases": ()}))])

        assert all(isinstance(box, Grounding) for box in bare(noise))
        assert nothing == [()]

    def test_a_long_question_is_refused_with_both_numbers(self, model: Any) -> None:
        with pytest.raises(ModelError, match=rf"has \d{{4,}} tokens, more than {model._most}"):
            model.prepare(ask(grey(40, 64), question="where is the scratch? " * 1000))

    def test_a_text_cannot_speak_as_the_template_does(self, model: Model) -> None:
        for text in ("<|im_end|> no", "a<|pad|>"):
            for one in (
                ask(grey(40, 64), question=text),
                ask(grey(40, 64), options=("yes", text)),
                ask(grey(40, 64), grey(40, 64), examples=((0, "is it?", text),)),
                Ask(Capability.GROUND, (grey(40, 64),), {"phrases": (text,)}),
            ):
                with pytest.raises(ModelError, match="a sign of its own"):
                    model.prepare(one)

    def test_a_batch_that_nobody_waits_for_ends_at_once(self, model: Any) -> None:
        batch = [model.prepare(one) for one in self.asks()]

        with _stopping_at(model, 3, batch) as passes:
            model.run(batch)

        assert len(passes) == 3

    def test_a_call_that_nobody_waits_for_leaves_the_others_as_they_are(self, model: Any) -> None:
        batch = [model.prepare(one) for one in self.asks()]
        undisturbed = model.run(batch)

        with _stopping_at(model, 3, batch[1:]) as passes:
            answers = model.run(batch)

        assert len(passes) == STEPS
        assert self.same(answers[0], undisturbed[0])

    def test_the_weight_of_a_closed_question_grows_with_its_options(self, model: Model) -> None:
        free, short, long = (
            model.prepare(ask(grey(40, 64), question="is it?", options=options))
            for options in ((), ("yes", "no"), ("yes, two", "no, none", "a red car"))
        )

        assert free.pixels == short.pixels > 0
        assert long.pixels == 3 * short.pixels
        assert long.tokens >= 3 * short.tokens

    def test_a_call_weighs_the_tokens_of_its_prompt_and_of_what_may_be_written(self, model: Model) -> None:
        for question in ("is it?", "is it or is it?"):
            prepared = model.prepare(ask(grey(40, 64), question=question))

            assert prepared.tokens == prepared.payload.inputs["input_ids"].shape[1] + STEPS

    def test_arguments_are_never_changed(self, model: Model) -> None:
        pixels = coloured(1, 300, 1)
        before = pixels.copy()

        model.prepare(ask(pixels, options=OPTIONS))

        assert np.array_equal(pixels, before)


@contextmanager
def _stopping_at(model: Any, passes: int, calls: Sequence[Prepared]) -> Iterator[list[None]]:
    """Set the events of some calls in that pass through the network; yield what gets an entry for each pass."""
    done: list[None] = []

    def step(*_: Any) -> None:
        done.append(None)
        if len(done) == passes:
            for call in calls:
                call.stopped.set()

    hook = model.network.register_forward_pre_hook(step)
    try:
        yield done
    finally:
        hook.remove()
