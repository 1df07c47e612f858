"""Moderation on labelled pictures: what was decided against what applies, and a draft beside the policy that holds."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from domain.audit import Actor
from domain.errors import InvalidParameters, InvalidRequest
from storage import banks, configurations, tenants
from storage.configurations import Name
from storage.promotions import Why
from storage.session import Engine, write
from storage.settings import Settings, load_settings
from storage.signals import Kind, Signal
from tests.workers.brightness import Brightness
from workers.database import opened
from workers.training.eval_cli import app
from workers.training.evaluating.policies import Held, kept
from workers.training.measures.intervals import wilson
from workers.training.sets.hashing import sha256_of

PROFILE = """
[[models]]
name = "bright"
family = "tests.workers.brightness"
capabilities = ["classify"]
source = "package:none"
revision = "sha256:abc"
licence = "none"
options = { sure = 2.0, temperature = 1.0 }
[defaults]
classify = "bright"
"""
LIGHT = {"kind": "prompts", "prompts": ["bright"], "against": ["dark"]}
KNOWN = {"kind": "banks"}
ME = Actor(name="test")


def label(*signals: dict[str, Any], act: float = 0.7, title: str = "light") -> dict[str, Any]:
    """Greys of 192 and more reach 0.7, those of 102 and more 0.4."""
    return {
        "title": title,
        "action": "block",
        "thresholds": {"review": 0.4, "act": act},
        "signals": list(signals or (LIGHT,)),
    }


POLICY = {"labels": {"light": label()}, "surfaces": {"cellar": {"light": {"enabled": False}}}}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    (tmp_path / "models.toml").write_text(PROFILE)
    monkeypatch.setenv("SIGHTLINE_MODELS", str(tmp_path / "models.toml"))
    monkeypatch.setenv("SIGHTLINE_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    return load_settings()


@pytest.fixture
def engine(settings: Settings) -> Engine:
    """The installation's database, with the policy `lamps` active as its version 1."""
    engine = opened(settings)
    write(engine, tenants.ensure, "default")
    write(engine, configurations.add, named(), POLICY, ME)
    write(engine, configurations.activate, named(), 1, ME, "it is the first")
    return engine


def named() -> Name:
    return Name(tenant="default", application="moderation", kind="policy", name="lamps")


def pictures(folder: Path, *told: tuple[int, list[str]], **more: Any) -> Path:
    """Write plain pictures of these greys with these labels."""
    folder.mkdir()
    lines = []
    for number, (grey, labels) in enumerate(told):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((64, 64, 3), grey, dtype=np.uint8))
        lines.append(json.dumps({"image": f"{number}.png", "labels": labels, **more}))
    (folder / "labels.jsonl").write_text("\n".join(lines))
    return folder


def draft(folder: Path, **labels: Any) -> Path:
    (folder / "draft.json").write_text(json.dumps({**POLICY, "labels": labels}))
    return folder / "draft.json"


def evaluated(*arguments: object) -> dict[str, Any]:
    words = ["moderation", *map(str, arguments), "--policy", "lamps", "--json"]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_what_acts_is_called_and_a_doubt_is_neither_called_nor_missed(engine: Engine, tmp_path: Path) -> None:
    # given lights of which one is seen, one is in doubt and one is missed, and others of which one is taken for one
    light: list[str] = ["light"]
    found = pictures(tmp_path / "set", (250, light), (128, light), (20, light), (250, []), (128, []), (0, []), (0, []))
    # when they are held to the policy that is active
    told = evaluated(found)
    # then the label is judged where it acts, and what is left to a person has shares of its own
    of = told["per_class"]["light"]
    assert (of["count"], of["others"], of["precision"], of["recall"]) == (3, 4, 0.5, pytest.approx(1 / 3))
    assert (of["missed"], of["grey"], of["others_grey"]) == (pytest.approx(1 / 3), pytest.approx(1 / 3), 0.25)
    assert (of["precision_low"], of["precision_high"]) == pytest.approx(wilson(1, 2))
    low, high = wilson(1, 4)
    assert of["f1"] == pytest.approx(0.4)
    assert (of["f1_low"], of["f1_high"]) == pytest.approx((2 * low / (1 + low), 2 * high / (1 + high)))
    # and so are the decisions
    metrics = told["metrics"]
    assert (metrics["allow"], metrics["review"], metrics["block"]) == pytest.approx((3 / 7, 2 / 7, 2 / 7))
    assert (metrics["wrongly_allowed"], metrics["wrongly_restricted"]) == pytest.approx((1 / 3, 1 / 4))
    assert (metrics["to_people"], metrics["failed"]) == (pytest.approx(2 / 7), 0)
    assert told["intervals"]["wrongly_allowed"] == pytest.approx(wilson(1, 3))
    assert told["revision"].startswith("version 1, version 1 of the policy 'lamps' (")
    assert told["revision"].endswith("bright sha256:abc")


def test_a_signal_that_gives_no_answer_is_no_negative(engine: Engine, tmp_path: Path) -> None:
    # given a label that goes by hash banks, and plain pictures, which show too little to be looked up
    found = pictures(tmp_path / "set", (250, ["known"]), (0, []), (0, ["light"]))
    both = draft(tmp_path, light=label(), known=label(KNOWN))
    # when they are held to it
    told = evaluated(found, "--draft", both)["after"]
    # then it was neither right nor wrong about them, while the other label is judged as ever
    of = told["per_class"]["known"]
    assert (of["unanswered"], of["others_unanswered"], of["missed"], of["precision"]) == (1, 1, 0, None)
    assert (told["per_class"]["light"]["missed"], told["per_class"]["light"]["unanswered"]) == (1, 0)
    assert (told["metrics"]["signal_abstained"], told["metrics"]["signal_failed"]) == (1, 0)
    assert told["metrics"]["allow"] == 0


def test_a_broken_picture_is_counted_as_failed_and_not_as_allowed(engine: Engine, tmp_path: Path) -> None:
    found = pictures(tmp_path / "set", (250, ["light"]), (0, []), (0, ["light"]))
    (found / "1.png").write_bytes(b"cut off")
    (found / "2.png").write_bytes(b"cut off too")

    told = evaluated(found)

    assert (told["metrics"]["failed"], told["metrics"]["allow"]) == (pytest.approx(2 / 3), 0)
    assert told["metrics"]["wrongly_allowed"] == 0
    of = told["per_class"]["light"]
    assert (of["unanswered"], of["others_unanswered"], of["missed"]) == (0.5, 1, 0)


def test_a_label_that_does_not_count_where_a_picture_is_shown_is_left_out(engine: Engine, tmp_path: Path) -> None:
    told = evaluated(pictures(tmp_path / "set", (250, ["light"]), (0, []), surface="cellar"))

    assert (told["per_class"]["light"]["count"], told["per_class"]["light"]["others"]) == (0, 0)
    assert told["metrics"]["wrongly_allowed"] is None
    assert told["settings"] == {"with_a_label": 0, "with_none": 2, "labels_left_out": 1}


def test_a_draft_is_judged_beside_the_policy_and_differences_are_listed(engine: Engine, tmp_path: Path) -> None:
    # given a draft that acts later, and a policy of which a newer version is kept but not active
    found = pictures(tmp_path / "set", (250, ["light"]), (200, ["light"]), (0, []))
    later = draft(tmp_path, light=label(act=0.8))
    write(engine, configurations.add, named(), {"labels": {"light": label(act=0.99)}}, ME)
    # when both are tried
    told = evaluated(found, "--draft", later, "--out", tmp_path / "out")
    # then the one picture between the thresholds is decided otherwise
    assert told["differences"] == [
        {"picture": "1.png", "labels": ["light"], "before": "block: light", "after": "review: light"}
    ]
    assert (told["before"]["metrics"]["block"], told["after"]["metrics"]["block"]) == pytest.approx((2 / 3, 1 / 3))
    assert "the draft draft.json" in told["after"]["revision"]
    assert json.loads((tmp_path / "out" / "comparison.json").read_text()) == told
    assert (tmp_path / "out" / "before" / "confusion.png").is_file()


def test_both_policies_decide_on_one_look(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a model that counts what it is asked, and two policies that ask the same
    asked: list[int] = []
    answer = Brightness._answer

    def counted(model: Brightness, ask: Any) -> Any:
        asked.append(1)
        return answer(model, ask)

    monkeypatch.setattr(Brightness, "_answer", counted)
    found = pictures(tmp_path / "set", (250, ["light"]), (0, []))

    evaluated(found, "--draft", draft(tmp_path, light=label(act=0.8)))

    assert len(asked) == 2


def test_what_was_wrongly_allowed_heads_the_worst_cases(settings: Settings, engine: Engine, tmp_path: Path) -> None:
    found = pictures(tmp_path / "set", (128, []), (250, []), (250, ["light"]), (0, ["light"]))

    evaluated(found, "--out", tmp_path / "out")

    page = (tmp_path / "out" / "worst.html").read_text()
    places = [page.index(f"<dt>{number}.png</dt>") for number in (3, 1, 0)]
    assert places == sorted(places)
    assert "<dt>2.png</dt>" not in page


def test_the_banks_of_the_installation_are_looked_into(engine: Engine, tmp_path: Path) -> None:
    # given a bank that knows one file by its SHA-256
    found = pictures(tmp_path / "set", (250, ["known"]), (0, []))
    write(engine, banks.create, "default", "harmful")
    signal = Signal(Kind.SHA256, sha256_of(found / "0.png"))
    write(engine, banks.add, "default", "harmful", signal, Why(by="test", because="reported"))
    # when a policy goes by banks, and takes pictures that show too little
    told = evaluated(found, "--draft", draft(tmp_path, light=label(), known=label({**KNOWN, "unfit": "ignore"})))
    # then that file is known
    of = told["after"]["per_class"]["known"]
    assert (of["recall"], of["precision"], of["others"]) == (1, 1, 1)


@pytest.mark.parametrize(
    ("labels", "more", "told"),
    [
        (["lihgt"], {}, "there is no label 'lihgt'; the policy's are: light"),
        ([], {"surface": "attic"}, "has no surface 'attic'; there are: default, cellar"),
    ],
)
def test_a_label_or_a_surface_that_there_is_not_is_refused(
    engine: Engine, tmp_path: Path, labels: list[str], more: dict[str, Any], told: str
) -> None:
    with pytest.raises(InvalidRequest, match=told):
        evaluated(pictures(tmp_path / "set", (250, labels), **more))


def test_a_version_is_the_one_that_is_named_and_another_is_refused(engine: Engine) -> None:
    assert isinstance(kept(engine, "default", "lamps", 1), Held)
    assert kept(engine, "default", "default").told == "version 0 of the policy 'default'"
    with pytest.raises(InvalidParameters, match="there are: default, lamps"):
        kept(engine, "default", "lamps", 7)


@pytest.mark.parametrize(("content", "told"), [("{", "TOML or JSON"), ('{"labels": {}}', "is no policy: labels")])
def test_a_file_that_is_no_policy_is_refused(engine: Engine, tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "draft.json").write_text(content)
    with pytest.raises(InvalidRequest, match=told):
        evaluated(pictures(tmp_path / "set", (0, [])), "--draft", tmp_path / "draft.json")


def test_a_draft_that_could_not_be_kept_is_told_and_judged_all_the_same(engine: Engine, tmp_path: Path) -> None:
    found = pictures(tmp_path / "set", (250, []), (0, []))
    words = ["moderation", str(found), "--policy", "lamps", "--draft", str(draft(tmp_path, light=label(title="glare")))]

    done = CliRunner().invoke(app, words, catch_exceptions=False)

    assert "cannot follow version 1 of the policy 'lamps': the label 'light' was 'light'" in done.stderr
    assert "0 of 2 pictures are decided otherwise" in done.stdout
