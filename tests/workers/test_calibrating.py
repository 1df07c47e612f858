"""A temperature is found again where it is known, holds on pictures it was not fitted to, and changes no order."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from domain.errors import InvalidRequest, RegistrationFailed
from domain.geometry import Box
from domain.images import ImageLimits
from domain.vision import Capability, Detection
from tests.workers.brightness import Brightness
from tests.workers.models.contract import coloured
from tests.workers.models.test_dual_encoder import TestClip as Clip
from tests.workers.models.test_grounding import TestGroundingDino as Dino
from tests.workers.models.test_vqa_head import TestVilt as Vilt
from tests.workers.models.toys import spec_of
from tests.workers.test_models_cli import models, written
from workers.calibrating import calibrate, fit, measure
from workers.judging import Boxes, Judgement, Look, matched
from workers.labelled import halves
from workers.modelling.temperature import tempered
from workers.models import family
from workers.models.family import Ask, Told
from workers.registry import ModelSpec, load_profile
from workers.training.coco import read as read_boxes
from workers.training.coco import write_drawn
from workers.training.evaluating import shown as evaluating_shown
from workers.training.worlds.surfaces import HELD_OUT_TEXTURES, draw

LIMITS = ImageLimits()


def drawn(temperature: float, *, shares: bool, seed: int = 0) -> list[Judgement]:
    """Return what a model says that is as sure as the truth's logits times a temperature."""
    random, told = np.random.default_rng(seed), []
    for number in range(6_000):
        logits = random.normal(0, 2, random.integers(2, 5) if shares else 1)
        if shares:
            truth = random.choice(len(logits), p=np.exp(logits) / np.exp(logits).sum())
            scores, right = np.exp(logits * temperature), np.arange(len(logits)) == truth
            scores = scores / scores.sum()
        else:
            scores, right = 1 / (1 + np.exp(-logits * temperature)), random.random(1) < 1 / (1 + np.exp(-logits))
        told.append(Judgement(str(number), tuple(scores.tolist()), tuple(right.tolist())))
    return told


@pytest.mark.parametrize("shares", [True, False], ids=["softmax", "sigmoid"])
@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_a_known_temperature_is_found_again(temperature: float, shares: bool) -> None:
    judged = drawn(temperature, shares=shares)
    assert fit(judged, shares=shares) == pytest.approx(temperature, rel=0.05)
    if temperature == 3.0:
        before, after = measure(judged, shares=shares), measure(drawn(1.0, shares=shares), shares=shares)
        assert before.error > 0.1, "it was far too sure"
        assert after.error < 0.02
        assert after.nll < before.nll


def test_the_likelihood_and_the_error_are_those_of_the_definition() -> None:
    # given four sure answers, three right, and one that is right half-heartedly
    judged = [Judgement("a", (0.9, 0.1), (hit, not hit)) for hit in (True, True, True, False)]
    judged.append(Judgement("b", (0.6, 0.4), (True, False)))
    # when they are measured
    told = measure(judged, shares=True)
    # then by hand: 4/5 of |3/4 - 0.9| and 1/5 of |1 - 0.6|
    assert told.nll == pytest.approx(-(3 * math.log(0.9) + math.log(0.1) + math.log(0.6)) / 5)
    assert told.error == pytest.approx(0.8 * 0.15 + 0.2 * 0.4)
    assert told.right == 0.8


def test_of_scores_that_are_equal_the_model_chose_the_first() -> None:
    # given a model that knows nothing: four answers by halves, its first option right in one
    judged = [Judgement("a", (0.5, 0.5), (hit, not hit)) for hit in (True, False, False, False)]
    # when they are measured, then it is not credited with whatever is right
    assert measure(judged, shares=True).right == 0.25


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_a_tempered_score_is_the_sigmoid_of_the_logit_over_the_temperature(temperature: float) -> None:
    for logit in (-6.0, -1.0, 0.0, 3.0):
        score = 1 / (1 + math.exp(-logit))
        assert tempered(score, temperature) == pytest.approx(1 / (1 + math.exp(-logit / temperature)))
        assert tempered(tempered(score, temperature), 1 / temperature) == pytest.approx(score)
    assert (tempered(0.0, temperature), tempered(1.0, temperature)) == (0.0, 1.0)
    assert (tempered(0.5, 1e-5), tempered(0.4, 1e-5), tempered(0.4, 1e5)) == (0.5, 0.0, pytest.approx(0.5, abs=1e-5))


def test_a_box_is_right_once_and_only_on_its_own_class() -> None:
    def box(x: float) -> Box:
        return Box(x0=x, y0=0, x1=x + 10, y1=10)

    found = [("pit", 0.4, box(1)), ("pit", 0.9, box(2)), ("crack", 0.8, box(50)), ("pit", 0.7, box(56))]
    truth = [("pit", box(0)), ("pit", box(50))]
    assert list(matched(found, truth)) == [(0.9, True), (0.8, False), (0.7, False), (0.4, False)]


def test_a_box_that_lies_in_a_crowd_is_neither_right_nor_wrong() -> None:
    within, beside = (Box(x0=x, y0=0, x1=x + 10, y1=10) for x in (30, 80))
    found = [("pit", 0.9, within), ("crack", 0.8, within), ("pit", 0.7, beside)]
    crowds = [("pit", Box(x0=0, y0=0, x1=60, y1=60))]
    assert list(matched(found, [("pit", beside)], crowds)) == [(0.8, False), (0.7, True)]


def test_a_model_of_pairs_is_shown_the_reference_laid_over_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a model that compares, and three pictures with their templates, of which one cannot be laid
    for name, grey in (("images", 200), ("templates", 100)):
        (tmp_path / name).mkdir()
        for number in range(3):
            Image.new("RGB", (20, 20), (grey + number,) * 3).save(tmp_path / name / f"{number}.png")
    images = [{"id": n, "file_name": f"{n}.png", "template": f"{n}.png", "width": 20, "height": 20} for n in range(3)]
    objects = [{"id": n, "image_id": n, "category_id": 1, "bbox": [0, 0, 20, 20], "iscrowd": n == 2} for n in range(3)]
    told = {"images": images, "annotations": objects, "categories": [{"id": 1, "name": "pit"}, {"id": 2, "name": "no"}]}
    (tmp_path / "annotations.json").write_text(json.dumps(told))
    seen: list[tuple[int, int]] = []

    class Pairing(Brightness):
        preprocessing = "pairs/1"
        classes = ("pit",)

        def _answer(self, ask: Ask) -> Any:
            picture, reference = ask.pictures
            seen.append((picture[0, 0, 0], reference[0, 0, 0]))
            return (Detection(label="pit", score=0.9, box=Box(x0=0, y0=0, x1=20, y1=20)),)

    def laid(picture: np.ndarray, reference: np.ndarray) -> Any:
        if picture[0, 0, 0] == 201:
            raise RegistrationFailed("they show different things")
        return SimpleNamespace(pixels=reference)

    monkeypatch.setattr(evaluating_shown, "register", laid)
    # when it judges the set
    asked = Boxes(tmp_path, read_boxes(tmp_path), Capability.DETECT)
    model = Pairing({"sure": 1.0, "temperature": 1.0, "kind": "sigmoid"})
    judgements = list(asked.judged(model, 1.0, Look(LIMITS)))
    # then it saw both, but of the pair that is none; what lies in a crowd is not judged, and `no` need not be known
    assert seen == [(200, 100), (202, 102)]
    assert [one.right for one in judgements] == [(True,)] * len(judgements)


# The command, on models that answer.


def pictures(folder: Path, count: int) -> list[str]:
    for seed in range(count):
        Image.fromarray(coloured(40, 40, seed)).save(folder / f"{seed}.png")
    return [f"{seed}.png" for seed in range(count)]


def lines(file: Path, told: Sequence[dict[str, object]]) -> Path:
    file.write_text("\n".join(json.dumps(line) for line in told))
    return file


def labelled_by(spec: ModelSpec, folder: Path, count: int, labels: tuple[str, str], sure: float) -> Path:
    """Label pictures by chance, with the model's own odds to the power of 1 / `sure`: it is too sure by that."""
    model, random, told = family.load(spec), np.random.default_rng(3), []
    for name in pictures(folder, count):
        pixels = np.array(Image.open(folder / name))
        (answer,) = model.run([model.prepare(Ask(Capability.CLASSIFY, (pixels,), {"labels": labels}))])
        scores = {one.name: one.score for one in (answer.value if isinstance(answer, Told) else answer)}
        weights = np.array([scores[label] for label in labels]) ** (1 / sure)
        told.append({"image": name, "label": str(random.choice(labels, p=weights / weights.sum()))})
    model.close()
    return lines(folder / "labelled.jsonl", told)


@pytest.mark.service
@pytest.mark.model
def test_a_models_temperature_is_fitted_and_written_into_the_profile(tmp_path: Path) -> None:
    # given a toy that is too sure by a temperature of 3
    Clip().build(tmp_path / "toy")
    profile = written(tmp_path, str(tmp_path / "toy"))
    models("pin", "--profile", profile)
    (spec, _) = load_profile(str(profile)).profile.models
    sharp = spec.model_copy(update={"options": {"temperature": 1.0}})
    labelled = labelled_by(sharp, tmp_path, 160, ("a cat", "a dog"), sure=3.0)
    # when it is calibrated
    told = models("calibrate", "toy", labelled, "--profile", profile, "--out", tmp_path / "warm.toml", "--json")
    # then a temperature like it stands in the new profile, beside the options there were, and the model loads with it
    assert told.returncode == 0, told.stderr
    fitted = json.loads(told.stdout)
    assert (fitted["capability"], fitted["pictures"]) == ("classify", 160)
    assert (fitted["fitted_on"], fitted["held_out"]) == (80, 80)
    assert 1.5 < fitted["temperature"] < 6
    assert fitted["nll"][1] < fitted["nll"][0]
    assert fitted["error"][1] < fitted["error"][0]
    assert "by picture" in fitted["split"]
    assert f"temperature = {fitted['temperature']}" in (tmp_path / "warm.toml").read_text()
    assert "threads = 1" in (tmp_path / "warm.toml").read_text()
    assert models("check", "--profile", tmp_path / "warm.toml").returncode == 0


@pytest.mark.service
def test_a_temperature_that_does_worse_on_the_held_out_half_is_not_written(tmp_path: Path) -> None:
    # given labels of a model that is as sure as it should be, but for the half that is fitted to: there they are chance
    file = greys(tmp_path, 100, chance(6.0))
    told = [json.loads(line) for line in file.read_text().splitlines()]
    fitting, _ = halves([str(tmp_path / line["image"]) for line in told], file)
    random = np.random.default_rng(4)
    for line in told:
        if str(tmp_path / line["image"]) in fitting and random.random() < 0.6:
            line["label"] = str(random.choice(["bright", "dark"]))
    profile = tmp_path / "models.toml"
    profile.write_text(
        '[[models]]\nname = "toy"\nfamily = "tests.workers.brightness"\ncapabilities = ["classify"]\n'
        'source = "/nowhere"\nrevision = "none"\nlicence = "none"\noptions = { sure = 6.0 }\n'
    )
    # when it is calibrated
    done = models("calibrate", "toy", lines(file, told), "--profile", profile, "--out", tmp_path / "new.toml")
    # then the figures are shown, and nothing is written
    assert done.returncode == 1
    assert "negative log-likelihood" in done.stdout
    assert "does worse than none" in done.stderr
    assert not (tmp_path / "new.toml").exists()


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.timeout(300)
def test_a_detectors_boxes_are_calibrated_against_drawn_truth(tmp_path: Path) -> None:
    # given the detector that ships, and surfaces whose defects are known
    spec = load_profile("embedded").find(Capability.DETECT)
    assert spec is not None
    write_drawn(tmp_path / "set", 40, 8_000_000, textures=HELD_OUT_TEXTURES, size=(256, 256), processes=1)
    # when it is calibrated
    fitted = calibrate(spec, tmp_path / "set", LIMITS)
    # then the temperature is measured on boxes of pictures that it was not fitted to
    assert fitted.capability == "detect"
    assert fitted.pictures == 40
    assert min(fitted.fitted_on, fitted.held_out) > 20
    assert 0.5 < fitted.accuracy < 1
    assert 0.1 < fitted.temperature < 3
    assert fitted.nll[1] < fitted.nll[0] + 0.01


@pytest.mark.model
def test_a_detectors_temperature_changes_how_sure_it_is_and_nothing_else() -> None:
    # given the detector as it ships and at a temperature of 2
    spec = load_profile("embedded").find(Capability.DETECT)
    assert spec is not None
    warm = spec.model_copy(update={"options": {**spec.options, "temperature": 2.0}})
    pixels = draw(8_000_001, size=(256, 256), textures=HELD_OUT_TEXTURES, defects=3).pixels
    # when both are asked, the warm one for what it calls the same score
    plain, tempered_ones = (
        loaded.run([loaded.prepare(Ask(Capability.DETECT, (pixels,), {"min_score": least}))])[0]
        for loaded, least in ((family.load(spec), 0.05), (family.load(warm), tempered(0.05, 2.0)))
    )
    # then boxes and labels are the same, in their order, and each logit is halved
    assert len(plain) > 2
    assert [(one.label, one.box) for one in tempered_ones] == [(one.label, one.box) for one in plain]
    assert [one.score for one in tempered_ones] == pytest.approx([tempered(one.score, 2.0) for one in plain])


def asked(toy: Vilt, folder: Path, count: int) -> tuple[ModelSpec, list[dict[str, object]]]:
    toy.build(folder / "toy")
    spec = spec_of(folder / "toy", "vqa_head", (Capability.ASK,), options=dict(toy.options))
    options = list(family.load(spec).classes[:3])
    told = [
        {"image": name, "question": "how many?", "options": options, "answer": options[number % 3]}
        for number, name in enumerate(pictures(folder, count))
    ]
    return spec, told


@pytest.mark.model
def test_answers_by_options_are_calibrated(tmp_path: Path) -> None:
    # given a head whose answers are guesses, on which it is unsure to the right degree or nearly so
    spec, told = asked(Vilt(), tmp_path, 60)
    model, random = family.load(spec), np.random.default_rng(5)
    for line in told:
        pixels = np.array(Image.open(tmp_path / str(line["image"])))
        call = {"question": line["question"], "options": line["options"]}
        (answer,) = model.run([model.prepare(Ask(Capability.ASK, (pixels,), call))])
        shares = np.array([one.score for one in answer.value.options])
        line["answer"] = str(random.choice([one.name for one in answer.value.options], p=shares / shares.sum()))
    # when it is calibrated
    fitted = calibrate(spec, lines(tmp_path / "asked.jsonl", told), LIMITS)
    # then a temperature is measured
    assert (fitted.capability, fitted.fitted_on, fitted.held_out) == ("ask", 30, 30)
    assert 0.05 <= fitted.temperature <= 20


@pytest.mark.model
def test_an_option_that_the_model_does_not_know_is_named(tmp_path: Path) -> None:
    spec, told = asked(Vilt(), tmp_path, 20)
    told[3] |= {"options": ["unheard of", "three"], "answer": "three"}
    with pytest.raises(InvalidRequest, match=r"how many\?.*unheard of"):
        calibrate(spec, lines(tmp_path / "asked.jsonl", told), LIMITS)


# What no temperature can be told from.


@pytest.mark.parametrize("text", ['{"image": 3}', "[]", '{"image": "a", "label": ""}', "{"])
def test_a_malformed_line_is_named(text: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"labelled\.jsonl, line 2"):
        calibrate(spec_of_nothing(), _text(tmp_path, f"\n{text}\n"), LIMITS)


@pytest.mark.parametrize(
    ("answer", "options"), [("maybe", ["yes", "no"]), ("yes", ["yes"]), ("yes", ["yes", "yes"]), ("", ["yes", "no"])]
)
def test_an_answer_that_is_no_option_is_named(answer: str, options: list[str], tmp_path: Path) -> None:
    line = {"image": "a.png", "question": "shut?", "options": options, "answer": answer}
    with pytest.raises(InvalidRequest, match="line 1"):
        calibrate(spec_of_nothing(Capability.ASK), lines(tmp_path / "labelled.jsonl", [line]), LIMITS)


def test_a_set_of_both_kinds_is_refused(tmp_path: Path) -> None:
    question = {"image": "a.png", "question": "shut?", "options": ["yes", "no"], "answer": "no"}
    file = lines(tmp_path / "labelled.jsonl", [{"image": "a.png", "label": "a cat"}, question])
    with pytest.raises(InvalidRequest, match="line 2: a file has labels, questions, phrases, texts"):
        calibrate(spec_of_nothing(), file, LIMITS)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ({"image": "a.png", "question": "how many?", "answer": "three"}, "has no options"),
        (
            {"image": "a.png", "question": "report", "answer": "no finding", "findings": []},
            "drafts, translations and places of phrases",
        ),
        (
            {"source": "Ausgang", "target": "exit", "from": "de", "to": "en"},
            "drafts, translations and places of phrases",
        ),
    ],
)
def test_a_set_without_scores_to_calibrate_is_refused(line: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=told):
        calibrate(spec_of_nothing(Capability.ASK), lines(tmp_path / "labelled.jsonl", [line]), LIMITS)


def test_a_set_for_what_the_model_cannot_do_is_refused(tmp_path: Path) -> None:
    file = _text(tmp_path, '{"image": "a.png", "label": "a cat"}')
    with pytest.raises(InvalidRequest, match=r"cannot classify, which .* asks for; it can ask"):
        calibrate(spec_of_nothing(Capability.ASK), file, LIMITS)


def test_too_few_pictures_are_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    told = [{"image": f"{number}.png", "label": "ab"[number % 2]} for number in range(19)]
    with pytest.raises(InvalidRequest, match="19 pictures; 20 are the fewest"):
        calibrate(spec_of_nothing(), lines(tmp_path / "labelled.jsonl", told), LIMITS)


def brightness(**options: object) -> ModelSpec:
    told = {"family": "tests.workers.brightness", "options": {"sure": 4.0, **options}}
    return spec_of_nothing().model_copy(update=told)


def greys(folder: Path, count: int, label: Callable[[float], str]) -> Path:
    """Write pictures from black to white, and label each by its brightness in [-1, 1]."""
    told = []
    for number, grey in enumerate(np.linspace(1, 254, count).round().astype(int)):
        Image.new("L", (4, 4), int(grey)).save(folder / f"{number}.png")
        told.append({"image": f"{number}.png", "label": label(grey / 127.5 - 1)})
    return lines(folder / "labelled.jsonl", told)


def chance(sure: float) -> Callable[[float], str]:
    """Label bright with the chance of a model that is as sure as that."""
    random = np.random.default_rng(1)
    return lambda value: "bright" if random.random() < 1 / (1 + math.exp(-sure * value)) else "dark"


def test_what_is_measured_was_measured_with_the_temperature_on_the_other_half(tmp_path: Path) -> None:
    # given a model that is four times too sure
    file = greys(tmp_path, 600, chance(4.0))
    # when it is calibrated
    fitted = calibrate(brightness(sure=16.0), file, LIMITS)
    # then it is as sure as it should be, on what it was not fitted to
    assert fitted.temperature == pytest.approx(4, rel=0.25)
    assert (fitted.fitted_on, fitted.held_out) == (300, 300)
    assert fitted.error[0] > 0.08
    assert fitted.error[1] < 0.06
    assert fitted.nll[1] < 0.7 * fitted.nll[0]
    # and once more it is the same
    assert calibrate(brightness(sure=16.0), file, LIMITS) == fitted


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (lambda value: "bright" if value > 0 else "dark", "each of 20 answers is right, so that nothing bounds"),
        (lambda value: "dark" if value > 0 else "bright", "each of 20 answers is wrong; see that labels"),
        (lambda value: "bright" if abs(value) > 0.6 else "dark", "no temperature from 0.05 to 20 fits"),
        (lambda value: "bright", "every label is 'bright'; add pictures of another"),
    ],
    ids=["right", "wrong", "unrelated", "alike"],
)
def test_what_no_temperature_can_be_told_from_is_refused(
    label: Callable[[float], str], words: str, tmp_path: Path
) -> None:
    file = greys(tmp_path, 40, label)
    with pytest.raises(InvalidRequest, match=words):
        calibrate(brightness(), file, LIMITS)


def test_a_temperature_that_works_otherwise_is_fitted_until_it_stays(tmp_path: Path) -> None:
    # given a family that divides its logits by the root of the temperature, and is twice too sure
    file = greys(tmp_path, 600, chance(4.0))
    # when it is calibrated, then the temperature is not 2 but 4
    fitted = calibrate(brightness(sure=8.0, power=0.5), file, LIMITS)
    assert fitted.temperature == pytest.approx(4, rel=0.3)
    # and what was measured is what a family that takes it as it is measures at 2
    assert fitted.nll == pytest.approx(calibrate(brightness(sure=8.0), file, LIMITS).nll, abs=0.002)


def test_a_family_that_takes_no_temperature_is_found_out(tmp_path: Path) -> None:
    file = greys(tmp_path, 100, chance(2.0))
    with pytest.raises(InvalidRequest, match=r"the family 'tests\.workers\.brightness' takes no temperature"):
        calibrate(brightness(power=0), file, LIMITS)


def test_readings_are_calibrated(tmp_path: Path) -> None:
    # given a reader that is three times too sure of EXIT, which is said the likelier, the brighter the picture is
    file = greys(tmp_path, 400, chance(3.0))
    says = {"bright": " EXIT ", "dark": "FXIT"}
    told = [json.loads(line) for line in file.read_text().splitlines()]
    lines(file, [{"image": line["image"], "text": says[line["label"]]} for line in told])
    spec = brightness(sure=9.0, kind="mean").model_copy(update={"capabilities": (Capability.READ,)})
    # when it is calibrated
    fitted = calibrate(spec, file, LIMITS)
    # then it is as sure as it should be
    assert (fitted.capability, fitted.fitted_on) == ("read", 200)
    assert fitted.temperature == pytest.approx(3, rel=0.3)
    assert fitted.helps


def test_phrases_are_calibrated_by_the_names_of_the_classes(tmp_path: Path) -> None:
    # given pictures with a square each, the brighter the likelier to be a square of the set, and a model four times too
    # sure of squares
    random, images, objects = np.random.default_rng(2), [], []
    (tmp_path / "images").mkdir()
    for number in range(400):
        grey = int(random.integers(60, 255))
        pixels = np.zeros((20, 24), dtype=np.uint8)
        pixels[5:13, 3:11] = grey
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": 24, "height": 20})
        there = random.random() < 1 / (1 + math.exp(-3 * (grey / 127.5 - 1)))
        objects.append({"id": number, "image_id": number, "category_id": 1, "bbox": [3 if there else 12, 5, 8, 8]})
    content = {"images": images, "annotations": objects, "categories": [{"id": 1, "name": "square"}]}
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    spec = brightness(sure=12.0, kind="sigmoid").model_copy(update={"capabilities": (Capability.GROUND,)})
    # when it is calibrated, then the boxes that it would tell are
    fitted = calibrate(spec, tmp_path, LIMITS)
    assert fitted.capability == "ground"
    assert 250 < fitted.fitted_on + fitted.held_out < 400, (
        "those of a score below 0.05 at the temperature 1 are left out"
    )
    assert fitted.temperature == pytest.approx(4, rel=0.35)
    assert fitted.error[1] < fitted.error[0] - 0.05


def test_scores_that_are_no_probabilities_are_refused(tmp_path: Path) -> None:
    file = greys(tmp_path, 40, chance(2.0))
    with pytest.raises(InvalidRequest, match="are 'none'; a temperature is fitted to softmax or sigmoid"):
        calibrate(brightness(kind="none"), file, LIMITS)


def test_a_picture_that_is_not_there_is_named(tmp_path: Path) -> None:
    file = greys(tmp_path, 40, chance(2.0))
    (tmp_path / "0.png").unlink()
    with pytest.raises(InvalidRequest, match=r"0\.png cannot be read: No such file"):
        calibrate(brightness(), file, LIMITS)


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (picture,) = pictures(tmp_path, 1)
    with pytest.raises(InvalidRequest, match=r"0\.png is no text of labelled lines, a JSON object in each"):
        calibrate(spec_of_nothing(), tmp_path / picture, LIMITS)


@pytest.mark.slow
@pytest.mark.model
def test_a_class_that_the_detector_does_not_know_is_named(tmp_path: Path) -> None:
    spec = load_profile("embedded").find(Capability.DETECT)
    assert spec is not None
    write_drawn(tmp_path / "set", 20, 1, textures=HELD_OUT_TEXTURES, size=(64, 64), processes=1)
    file = tmp_path / "set" / "annotations.json"
    file.write_text(file.read_text().replace('"stain"', '"coffee"'))
    with pytest.raises(InvalidRequest, match=r"knows no coffee; .* scratch, pit, crack, stain, inclusion"):
        calibrate(spec, tmp_path / "set", LIMITS)


@pytest.mark.slow
@pytest.mark.model
def test_phrases_of_a_model_that_never_finds_anything_right_are_refused(tmp_path: Path) -> None:
    # given a grounding toy with random weights, which is asked for the names of the classes
    Dino().build(tmp_path / "toy")
    spec = spec_of(tmp_path / "toy", "grounding", (Capability.GROUND,))
    write_drawn(tmp_path / "set", 20, 1, textures=HELD_OUT_TEXTURES, size=(64, 64), processes=1)
    # when it is calibrated, then it is told that nothing was right
    with pytest.raises(InvalidRequest, match="answers is wrong; see that labels mean what the model means"):
        calibrate(spec, tmp_path / "set", LIMITS)


def spec_of_nothing(*capabilities: Capability) -> ModelSpec:
    """Return a row whose model is never loaded."""
    return ModelSpec(
        name="toy",
        family="dual_encoder",
        capabilities=capabilities or (Capability.CLASSIFY,),
        source="/nowhere",
        revision="unpinned",
        licence="none",
    )


def _text(folder: Path, text: str) -> Path:
    file = folder / "labelled.jsonl"
    file.write_text(text)
    return file
