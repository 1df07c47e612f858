"""The recipe of the embedded encoder: what it learns from, its losses, and a checkpoint that its family serves."""

import numpy as np
import pytest
import torch

from domain.vision import Capability
from workers.hub import digest
from workers.models import family
from workers.models.family import Ask
from workers.registry import ModelSpec
from workers.training.loop import fit
from workers.training.pack import eye
from workers.training.pack.encoder_examples import PATCH, VALIDATED, scenes, seen, seen_batch, told_batch
from workers.training.pack.encoder_learning import ContrastLearner, EyeLearner, contrast_loss
from workers.training.pack.encoder_network import LONGEST, Seeing, save, tokenizer
from workers.training.plan import Schedule
from workers.training.worlds.scene_words import names
from workers.training.worlds.scenes import ALL_WORLD

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def words():
    return tokenizer()


def test_the_examples_are_cut_as_the_eye_sees():
    assert PATCH == eye.PATCH


def test_batches_are_the_same_for_the_same_seed_and_never_what_is_validated_on():
    one, again, other = (told_batch(seed, 4, 0) for seed in (1, 1, 2))
    assert np.array_equal(one.pixels, again.pixels)
    assert one.texts == again.texts
    assert not np.array_equal(one.pixels, other.pixels)
    assert not np.array_equal(one.pixels, seen(scenes(VALIDATED, 1, 0, 4)).pixels)


def test_each_scene_has_a_text_that_is_true_of_it():
    batch = told_batch(3, 8, 0)
    assert batch.true.shape == (8, len(batch.texts))
    assert batch.true.diagonal().all()


def test_every_name_of_the_worlds_is_read_whole(words):
    for name in names(ALL_WORLD):
        tokens = words(f"a picture of {name}.")["input_ids"]
        assert len(tokens) < LONGEST
        assert name.lower() in words.decode(tokens, skip_special_tokens=True)
    assert words("A Red FISH")["input_ids"] == words("a red fish")["input_ids"]


def test_a_text_that_is_true_of_another_picture_is_no_negative_for_it():
    # given two pictures that the same text fits, and a third text
    logits = torch.tensor([[2.0, 2.0, -1.0], [2.0, 2.0, -1.0]])
    alike, alone = torch.ones(2, 3, dtype=torch.bool), torch.eye(2, 3, dtype=torch.bool)
    alike[:, 2] = False
    # then confusing the two costs nothing where both are known to fit
    assert contrast_loss(logits, alike) < 0.05
    assert contrast_loss(logits, alone) > 0.5


def test_the_eye_learns_a_batch_by_heart_and_the_captions_move_the_texts_too(words):
    torch.manual_seed(0)
    network = Seeing(words)
    batch = seen_batch(0, 8, 0)
    eye = EyeLearner(network, seed=0, size=8, validation=2)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(15):
        step = eye.loss(batch)
        optimizer.zero_grad()
        step.loss.backward()
        optimizer.step()
        losses.append(float(step.loss.detach()))
    assert losses[-1] < 0.7 * losses[0]

    ContrastLearner(network, words, seed=0, size=8, validation=2).loss(told_batch(0, 8, 0)).loss.backward()
    towers = (network.clip.text_model.embeddings.token_embedding, network.clip.text_projection)
    assert all(float(tower.weight.grad.abs().sum()) > 0 for tower in towers)


def test_a_trained_encoder_is_served_by_its_family(words, tmp_path):
    # given a few steps of training
    learner = ContrastLearner(Seeing(words), words, seed=0, size=4, validation=4)
    fitted = fit(learner, Schedule(minutes=0.01, rounds=1, threads=1), tmp_path / "run")
    save(learner.network, words, tmp_path / "encoder")
    assert fitted.examples >= 4
    # when the family loads what was saved
    model = family.load(
        ModelSpec(
            name="candidate",
            family="dual_encoder",
            capabilities=(Capability.CLASSIFY, Capability.EMBED),
            source=str(tmp_path / "encoder"),
            revision=digest(tmp_path / "encoder"),
            licence="Apache-2.0",
            options={"templates": ["{}"], "threads": 1},
        )
    )
    # then it computes what the learner's network does
    (scene,) = scenes(VALIDATED, 5, 0, 1)
    (found,) = model.run([model.prepare(Ask(Capability.EMBED, (scene.pixels,), {}))])
    with torch.inference_mode():
        wanted = learner.network.looked(scene.pixels[None])[0]
    assert torch.nn.functional.cosine_similarity(torch.tensor(found), wanted[0].float(), dim=0) > 0.999
