"""The family `remote_vlm` against a real server: `transformers serve` with toy models of random weights."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from domain.errors import ModelError, SightlineError
from domain.vision import Answer, Capability, Grounding
from tests.workers.models.contract import FamilyContract, coloured, grey
from tests.workers.models.serving import serving, toy
from workers.models import family
from workers.models.family import Ask, Model, Pixels, ScoreKind, Told
from workers.models.remote_vlm import RemoteVlm
from workers.registry import ModelSpec

pytestmark = [pytest.mark.model, pytest.mark.service]

TOKENS = 12
BOX = '[{"box": [250, 100, 750, 600], "label": "car"}, {"box": [9, 9]}]'


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("served") / "log") as url:
        yield url


@pytest.fixture(scope="module")
def babbling(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that says what its random weights make of the question and the picture."""
    return toy(tmp_path_factory.mktemp("babbling"))


@pytest.fixture
def saying(url: str, tmp_path: Path) -> Iterator[Callable[..., RemoteVlm]]:
    """Load models that say a text of ours, whatever they are asked."""
    loaded: list[RemoteVlm] = []

    def load(text: str, **options: Any) -> RemoteVlm:
        loaded.append(_load(url, toy(tmp_path / f"says{len(loaded)}", text), max_new_tokens=64, **options))
        return loaded[-1]

    yield load
    for model in loaded:
        model.close()


def _load(url: str, name: str, **options: Any) -> RemoteVlm:
    model = family.load(
        ModelSpec(
            name="toy",
            family="remote_vlm",
            capabilities=(Capability.ASK,),
            source=url,
            revision=f"served:{name}",
            licence="none",
            options=options,
        )
    )
    assert isinstance(model, RemoteVlm)
    return model


def _value(answer: Any) -> Any:
    return answer.value if isinstance(answer, Told) else answer


def _asked(model: Model, capability: Capability, *pictures: Pixels, **arguments: Any) -> Any:
    return model.run([model.prepare(Ask(capability, pictures, arguments))])[0]


class TestRemoteVlm(FamilyContract):
    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, url: str, babbling: str) -> Iterator[Model]:
        model = _load(url, babbling, max_new_tokens=TOKENS)
        yield model
        model.close()

    @pytest.fixture(autouse=True)
    def _keep_what_is_served(self, url: str, babbling: str) -> None:
        self._served = url, babbling

    def fresh(self) -> Model:
        """See FamilyContract."""
        return _load(*self._served, max_new_tokens=TOKENS)

    def asks(self) -> Sequence[Ask]:
        """See FamilyContract."""
        pictures = [coloured(40 + 9 * seed, 64, seed) for seed in range(3)]
        questions = ("how many cats are there?", "é漢字 ?", "x" * 500)
        return [
            *(
                Ask(Capability.ASK, (picture,), {"question": question, "options": ()})
                for picture, question in zip(pictures, questions, strict=True)
            ),
            Ask(
                Capability.ASK,
                tuple(pictures[:2]),
                {"question": "and this?", "examples": ((0, "what is it?", "a car"),)},
            ),
            Ask(Capability.CAPTION, (pictures[0],)),
            Ask(Capability.DRAFT, tuple(pictures[:2]), {"instruction": "compare the two"}),
        ]

    def ask_of(self, pixels: Pixels) -> Ask:
        """See FamilyContract."""
        return Ask(Capability.CAPTION, (pixels,))

    def check(self, ask: Ask, answer: Any) -> None:
        """See FamilyContract."""
        value = _value(answer)
        text = value.text if isinstance(value, Answer) else value
        assert isinstance(value, Answer if ask.capability == Capability.ASK else str)
        assert 0 < len(text) < 30 * TOKENS

    def same(self, one: Any, other: Any) -> bool:
        """See FamilyContract."""
        return bool(one == other)

    def test_the_row_says_that_nothing_is_pinned_and_nothing_computes_here(
        self, model: Model, record_property: Any
    ) -> None:
        capabilities = ["ask", "caption", "draft", "ground"]
        record_property(
            "architecture", json.dumps(["chat completions", "remote_vlm", capabilities, "transformers serve"])
        )

        assert (model.device, model.dtype, model.scores) == ("remote", "served", ScoreKind.MEAN)

    def test_an_answer_depends_on_the_picture(self, model: Model) -> None:
        dark, light = (grey(32, 32) // 255, grey(32, 32) // 255 + 254)

        assert _asked(model, Capability.CAPTION, dark) != _asked(model, Capability.CAPTION, light)

    def test_a_text_that_was_cut_is_remarked_on(self, model: Model) -> None:
        told = _asked(model, Capability.CAPTION, coloured(40, 40, 1))

        assert isinstance(told, Told)
        assert told.remarks["cut_after_tokens"] == TOKENS

    def test_without_probabilities_an_answer_has_no_score_and_says_so(self, model: Model) -> None:
        told = _asked(model, Capability.ASK, coloured(40, 40, 1), question="what is it?")

        assert told.value.score is None
        assert told.scores == ScoreKind.NONE

    def test_an_answer_that_is_no_option_is_refused_with_what_was_said(self, model: Model) -> None:
        with pytest.raises(ModelError, match="which is none of yes, no"):
            _asked(model, Capability.ASK, coloured(40, 40, 1), question="is it?", options=("yes", "no"))

    def test_a_request_that_the_server_fails_on_is_told_in_its_words(self, url: str) -> None:
        model = _load(url, "nobody/serves-this", retries=0)

        with pytest.raises(SightlineError, match="refuses with"):
            _asked(model, Capability.CAPTION, coloured(40, 40, 1))
        model.close()


class TestWhatIsSaid:
    def test_a_caption_and_a_draft_are_what_the_model_says(self, saying: Callable[..., RemoteVlm]) -> None:
        model = saying("a cat on the red car", logprobs=False)

        assert _asked(model, Capability.CAPTION, coloured(40, 40, 1)) == "a cat on the red car"
        assert _asked(model, Capability.DRAFT, *[coloured(40, 40, 1)] * 2, instruction="x") == "a cat on the red car"

    @pytest.mark.parametrize(
        ("text", "chosen"), [("B", "a dog"), ("b.", "a dog"), (" A Dog", "a dog"), ("(A)", "yes."), ("Yes.", "yes.")]
    )
    def test_an_option_is_chosen_by_its_letter_or_its_words(
        self, saying: Callable[..., RemoteVlm], text: str, chosen: str
    ) -> None:
        told = _asked(saying(text), Capability.ASK, grey(9, 9), question="what?", options=("yes.", "a dog"))

        assert told.value == Answer(text=chosen)
        assert told.scores == ScoreKind.NONE

    def test_a_schema_does_not_keep_a_server_that_heeds_none_from_answering(
        self, saying: Callable[..., RemoteVlm]
    ) -> None:
        schema = {"type": "object", "properties": {"cars": {"type": "integer"}}, "required": ["cars"]}

        told = _asked(saying('{"cars": 2}'), Capability.ASK, grey(40, 40), question="how many?", schema=schema)

        assert told.value == Answer(text='{"cars": 2}')

    def test_boxes_lie_in_the_pictures_own_pixels(self, saying: Callable[..., RemoteVlm]) -> None:
        model = saying(BOX, boxes="json1000", longest_side=64)

        told = _asked(model, Capability.GROUND, coloured(200, 400, 1), phrases=("car", "cat", "car"), min_score=0)

        assert [grounding.phrase for grounding in told.value] == ["car", "cat"]
        assert all(isinstance(grounding, Grounding) and grounding.score == 1 for grounding in told.value)
        assert all(grounding.box.xyxy == pytest.approx((100, 20, 300, 120)) for grounding in told.value)
        assert (told.remarks, told.scores) == ({"dropped_boxes": 2}, ScoreKind.NONE)

    def test_boxes_in_a_padded_picture_are_cut_at_its_edges(self, saying: Callable[..., RemoteVlm]) -> None:
        model = saying(BOX, boxes="json1000")

        told = _asked(model, Capability.GROUND, coloured(8, 64, 1), phrases=("car",))

        assert told.value[0].box.xyxy == pytest.approx((16, 3.2, 48, 8))

    def test_no_phrases_ask_nothing(self, saying: Callable[..., RemoteVlm]) -> None:
        assert _asked(saying(BOX, boxes="json1000"), Capability.GROUND, grey(40, 40), phrases=()) == ()
