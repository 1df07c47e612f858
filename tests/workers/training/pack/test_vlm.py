"""The recipe of the embedded VLM: what it learns from, its losses, and a checkpoint that its family serves."""

import numpy as np
import pytest
import torch

from domain.vision import Capability
from workers.hub import digest
from workers.imaging.boxes_in_text import BoxFormat, boxes_in
from workers.models import family
from workers.models.family import Ask, Told
from workers.registry import ModelSpec
from workers.training.loop import fit
from workers.training.pack import eye
from workers.training.pack.vlm_examples import LEARNED, NOTHING, PATCH, SIDE, VALIDATED, batch, boxes, of_scene, where
from workers.training.pack.vlm_learning import AnswerLearner, EyeLearner, packed
from workers.training.pack.vlm_network import Seeing, save
from workers.training.pack.vlm_words import before, question, tokenizer
from workers.training.plan import Schedule
from workers.training.worlds import scenes
from workers.training.worlds.scene_words import described, names, phrases

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def words():
    return tokenizer()


def test_the_examples_are_cut_as_the_eye_sees():
    assert PATCH == eye.PATCH


def test_batches_are_the_same_for_the_same_seed_and_never_what_is_validated_on():
    one, again, other = (batch(LEARNED, seed, 4, True, 0) for seed in (1, 1, 2))
    assert np.array_equal(one.pixels, again.pixels)
    assert one.asked == again.asked
    assert not np.array_equal(one.pixels, other.pixels)
    assert not np.array_equal(one.pixels, batch(VALIDATED, 1, 4, True, 0).pixels)
    assert {asked.kind for each in batch(LEARNED, 1, 24, True, 0).asked for asked in each} == {
        *("count", "colour", "thing", "position", "yes/no"),
        *("kind", "caption", "box", "finding", "side", "draft"),
    }


def test_what_is_answered_of_places_is_read_back_as_the_boxes_that_are_there():
    for seed in range(8):
        scene = scenes.draw(seed, side=SIDE)
        for phrase in phrases(scene):
            found, dropped = boxes_in(boxes(phrase.text, phrase.boxes), BoxFormat.PALIGEMMA, (SIDE, SIDE))
            assert dropped == 0
            assert {one.label for one in found} == {phrase.text}
            wanted = sorted((box.x0, box.y0, box.x1, box.y1) for box in phrase.boxes)
            assert np.abs(SIDE * np.array([one.corners for one in found]) - wanted).max() <= SIDE / 64
    assert boxes_in(NOTHING, BoxFormat.PALIGEMMA, (SIDE, SIDE)) == ([], 0)


def test_patches_of_a_finding_lie_where_it_is():
    shown = batch(LEARNED, 3, 20, True, 0)
    phantoms = shown.findings[:, 0, 0] >= 0
    assert phantoms.sum() == 6
    assert (shown.kinds[phantoms] == -100).all()
    assert (shown.kinds[~phantoms] >= 0).any()
    for found, asked in zip(shown.findings[phantoms], shown.asked, strict=False):
        there = {one.question.removeprefix("detect ") for one in asked if one.kind == "box" and one.answer != NOTHING}
        assert (found.max(axis=0) > 0).sum() == len(there)


def test_every_name_of_the_worlds_is_read_whole_and_few_tokens_long(words):
    for name in names(scenes.ALL_WORLD):
        tokens = question(words, f"Is there a {name}?")
        assert len(tokens) < 16
        assert words.decode(tokens, skip_special_tokens=True) == f"Is there a {name}?"


def test_a_scene_is_described_by_all_that_is_on_it():
    rng = np.random.default_rng(0)
    for seed in range(20):
        scene = scenes.draw(seed)
        text = described(scene)
        assert all(thing.kind.split()[0][:3] in text for thing in scene.things)
        assert text.startswith("There are" if len(scene.things) > 1 else "There is")
        assert text in {asked.answer for asked in of_scene(rng, scene) if asked.kind == "caption"}


def test_questions_that_are_packed_are_learned_as_if_each_were_asked_alone(words):
    torch.manual_seed(0)
    learner = AnswerLearner(Seeing(words).eval(), words, seed=0, size=4, validation=1)
    shown = batch(LEARNED, 0, 3, True, 0)
    together = packed(shown.asked, words)
    with torch.inference_mode():
        logits, _ = learner._answered(shown, together)
    row = 0
    for number, each in enumerate(shown.asked):
        for one in each:
            alone = packed([[one]], words)
            with torch.inference_mode():
                seen = learner._seeing.looked(shown.pixels[number : number + 1])
                out = learner._seeing.vlm(
                    input_ids=alone.tokens, mm_encoder_outputs={"image": seen}, use_cache=False
                ).logits[0, alone.columns]
            assert torch.allclose(out.float(), logits[row : row + len(out)].float(), atol=0.05)
            row += len(out)
    assert row == len(logits)


def test_the_eye_learns_a_batch_by_heart_and_answers_move_the_words_too(words):
    torch.manual_seed(0)
    network = Seeing(words)
    shown = batch(LEARNED, 0, 8, True, 0)
    eye = EyeLearner(network, seed=0, size=8, validation=1)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(15):
        step = eye.loss(shown)
        optimizer.zero_grad()
        step.loss.backward()
        optimizer.step()
        losses.append(float(step.loss.detach()))
    assert losses[-1] < 0.7 * losses[0]
    assert network.vlm.model.multi_modal_projector.linear_1.weight.grad is None

    AnswerLearner(network, words, 0, size=8, validation=1).loss(shown).loss.backward()
    for part in (network.vlm.model.multi_modal_projector, network.vlm.model.language_model):
        assert all(float(each.grad.abs().sum()) > 0 for each in part.parameters())


def test_a_trained_vlm_is_served_by_its_family(words, tmp_path):
    # given a few steps of training
    learner = AnswerLearner(Seeing(words), words, 0, size=4, validation=1)
    fitted = fit(learner, Schedule(minutes=0.01, rounds=1, threads=1), tmp_path / "run")
    save(learner._seeing, words, tmp_path / "vlm")
    assert fitted.examples >= 4
    # when the family loads what was saved
    model = family.load(
        ModelSpec(
            name="candidate",
            family="chat_vlm",
            capabilities=(Capability.ASK, Capability.CAPTION, Capability.DRAFT, Capability.GROUND),
            source=str(tmp_path / "vlm"),
            revision=digest(tmp_path / "vlm"),
            licence="Apache-2.0",
            options={
                "boxes": "paligemma",
                "ground_prompt": "detect {}",
                "choose_prompt": "{}",
                "max_new_tokens": 8,
                "threads": 1,
            },
        )
    )
    # then a question is put to it in the words, and with the pixels, that it learned from
    shown = batch(VALIDATED, 0, 1, True, 0)
    asked = next(one for one in shown.asked[0] if one.kind == "box")
    phrase = asked.question.removeprefix(where(""))
    prepared = model.prepare(Ask(Capability.GROUND, (shown.pixels[0],), {"phrases": (phrase,)}))
    inputs = prepared.payload.inputs
    assert inputs["input_ids"][0].tolist() == before(words) + question(words, asked.question)
    values = (torch.from_numpy(shown.pixels[:1]).permute(0, 3, 1, 2) / 255 - 0.5) / 0.5
    assert torch.allclose(inputs["pixel_values"], values, atol=1e-3)
    # and it answers in each of the four ways
    for capability, arguments in (
        (Capability.GROUND, {"phrases": (phrase,)}),
        (Capability.ASK, {"question": "What colour is the cat?"}),
        (Capability.ASK, {"question": "What colour is the cat?", "options": ("red", "blue")}),
        (Capability.CAPTION, {}),
        (Capability.DRAFT, {"instruction": "Draft a report of this chest radiograph."}),
    ):
        (told,) = model.run([model.prepare(Ask(capability, (shown.pixels[0],), arguments))])
        assert (told.value if isinstance(told, Told) else told) is not None
