"""`sightline models`: as typed by a user, against a hub on loopback that holds a toy."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.hub import COMMIT, Hub, hub
from tests.support.system import ROOT
from tests.workers.models.test_dual_encoder import TestClip as Clip
from tests.workers.models.test_vqa_regions import TestVisualBert as VisualBert
from tests.workers.models.yolo_toys import save_clip, save_world
from workers.hub import digest

pytestmark = [pytest.mark.service, pytest.mark.model]

PROFILE = """
# what stands here stays
[defaults]
classify = "toy"

[[models]]
name = "toy"  # a remark
family = "dual_encoder"
capabilities = ["classify", "embed"]
source = "{source}"
revision = "unpinned"
licence = "{licence}"
options = {{ threads = 1 }}

[[models]]
name = "gated"
family = "dual_encoder"
capabilities = ["classify"]
source = "hub:toys/absent"
revision = "unpinned"
licence = "not for you"
enabled = false
"""


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a hub holds it."""
    folder = tmp_path_factory.mktemp("toy")
    Clip().build(folder)
    return folder


def written(folder: Path, source: str, licence: str = "Apache-2.0") -> Path:
    file = folder / "models.toml"
    file.write_text(PROFILE.format(source=source, licence=licence))
    return file


def models(
    *told: object, there: Hub | None = None, home: Path | None = None, **more: str
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "200", "HF_HUB_OFFLINE": "1", **more}
    if there is not None and home is not None:
        environment |= there.environment(home)
    return subprocess.run(
        [sys.executable, "-m", "sightline", "models", *map(str, told)],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_a_hub_model_is_pinned_pulled_and_checked_and_then_needs_no_hub(toy: Path, tmp_path: Path) -> None:
    with hub(toy=toy) as there:
        profile = written(tmp_path, "hub:toys/toy")
        told = {"there": there, "home": tmp_path / "home"}
        # given a row that is not pinned: it is refused, with the advice
        refused = models("check", "--profile", profile, **told)
        assert refused.returncode == 1
        assert "models pin toy" in " ".join(refused.stdout.split())
        assert there.asked == []
        # when it is pinned, then the commit stands in the file, and all else as it did
        assert models("pin", "--profile", profile, **told).returncode == 0
        text = profile.read_text()
        assert f'revision = "{COMMIT}"' in text
        assert "# what stands here stays" in text
        assert "# a remark" in text
        assert text.count("unpinned") == 1, "the row that is off is left alone"
        # when it is pulled, then it is here
        assert "not fetched" in models("list", "--profile", profile, **told).stdout
        pulled = models("pull", "--profile", profile, **told)
        assert pulled.returncode == 0, pulled.stderr
        listed = json.loads(models("list", "--profile", profile, "--json", **told).stdout)
        assert [(row["name"], row["state"]) for row in listed] == [("toy", "here"), ("gated", "off: an example")]
    # then it answers without any hub
    checked = models("check", "--profile", profile, "--json", HF_HOME=str(tmp_path / "home"))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    (toy_told,) = json.loads(checked.stdout)
    assert set(toy_told["answers"]) == {"classify", "embed"}
    assert toy_told["answers"]["embed"] == "a vector of 24"


STANDING = """
[[models]]
name = "toy"
family = "vqa_head"
capabilities = ["ask"]
source = "hub:toys/asked"
revision = "unpinned"
licence = "Apache-2.0"
options = { region_count = 6, detector = { source = "hub:toys/seen", revision = "unpinned" } }  # it stands on it
"""


PHRASES = """
[[models]]
name = "toy"
family = "yolo"
capabilities = ["detect", "ground"]
source = "{file}"
revision = "unpinned"
licence = "AGPL-3.0"
options = {{ threads = 1, text_encoder = {{ source = "hub:toys/clip", revision = "unpinned" }} }}
"""


def test_a_detector_that_a_row_names_is_pinned_pulled_and_checked_with_it(tmp_path: Path) -> None:
    # given a model that stands on another, both on a hub
    asked, seen, profile = tmp_path / "asked", tmp_path / "seen", tmp_path / "models.toml"
    VisualBert().build(asked)
    VisualBert.detector(seen)
    profile.write_text(STANDING)
    with hub(asked=asked, seen=seen) as there:
        told = {"there": there, "home": tmp_path / "home"}
        # when they are pinned, then each has its commit, and the remark is where it was
        pinned = models("pin", "--profile", profile, **told)
        assert f"toy detector: {COMMIT}" in pinned.stdout
        assert profile.read_text().count(COMMIT) == 2
        assert "  # it stands on it" in profile.read_text()
        # when they are pulled one after the other, then the model is here once both are
        assert models("pull", "--profile", profile, **told).returncode == 0
        assert _listed(profile, tmp_path / "home") == {"parts": {"detector": "hub:toys/seen"}, "state": "here"}
    checked = models("check", "--profile", profile, "--json", HF_HOME=str(tmp_path / "home"))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_text_encoder_of_a_file_is_pinned_and_pulled_too(tmp_path: Path) -> None:
    # given a YOLO-World in a file, and its text encoder on a hub
    clip, profile, home = tmp_path / "clip", tmp_path / "models.toml", tmp_path / "home"
    save_clip(clip)
    save_world(tmp_path / "world.pt")
    profile.write_text(PHRASES.format(file=tmp_path / "world.pt"))
    with hub(clip=clip) as there:
        # when both are pinned and what the hub has is pulled
        assert models("pin", "--profile", profile, there=there, home=home).returncode == 0
        assert models("pull", "--profile", profile, there=there, home=home).returncode == 0
    # then each has what pins it, and phrases are looked for without a hub
    text = profile.read_text()
    assert f'revision = "{digest(tmp_path / "world.pt")}"' in text
    assert f'source = "hub:toys/clip", revision = "{COMMIT}"' in text
    checked = models("check", "--profile", profile, "--json", HF_HOME=str(home))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert set(json.loads(checked.stdout)[0]["answers"]) == {"detect", "ground"}


def test_a_model_is_here_only_if_all_that_it_stands_on_is(tmp_path: Path) -> None:
    asked, profile = tmp_path / "asked", tmp_path / "models.toml"
    VisualBert().build(asked)
    # given a model that is pinned and here, on a detector that is not pinned
    profile.write_text(STANDING.replace("hub:toys/asked", str(asked)).replace("unpinned", digest(asked), 1))
    assert _listed(profile, tmp_path)["state"] == "not pinned"
    # when the detector is pinned, and nobody fetched it
    profile.write_text(profile.read_text().replace('"unpinned"', f'"{COMMIT}"'))
    assert _listed(profile, tmp_path)["state"] == "not fetched"
    # then the hub is asked for it, and told of
    with hub(asked=asked) as there:
        pulled = models("pull", "--profile", profile, there=there, home=tmp_path / "home")
    assert pulled.returncode == 1
    assert "the hub cannot be reached for toys/seen" in pulled.stderr


def _listed(profile: Path, home: Path) -> dict[str, object]:
    (row,) = json.loads(models("list", "--profile", profile, "--json", HF_HOME=str(home)).stdout)
    return {name: row[name] for name in ("parts", "state")}


def test_a_file_that_comes_damaged_is_found(toy: Path, tmp_path: Path) -> None:
    with hub(toy=toy) as there:
        profile = written(tmp_path, "hub:toys/toy")
        told = {"there": there, "home": tmp_path / "home"}
        models("pin", "--profile", profile, **told)
        there.damaged.add("preprocessor_config.json")
        pulled = models("pull", "--profile", profile, **told)
        assert pulled.returncode == 1
        assert "damaged" in pulled.stderr
        assert "preprocessor_config.json" in pulled.stderr


def test_what_cannot_be_reached_is_said_plainly(tmp_path: Path) -> None:
    profile = written(tmp_path, "hub:toys/toy")
    offline = models("pin", "--profile", profile)
    assert offline.returncode == 1
    assert "HF_HUB_OFFLINE is set" in offline.stderr
    nobody = models("pin", "--profile", profile, HF_HUB_OFFLINE="0", HF_ENDPOINT="http://127.0.0.1:9")
    assert nobody.returncode == 1
    assert "cannot be reached for toys/toy" in nobody.stderr
    assert "Traceback" not in offline.stderr + nobody.stderr
    assert "unpinned" in profile.read_text()


def test_a_licence_that_the_hub_states_otherwise_is_told(toy: Path, tmp_path: Path) -> None:
    with hub(toy=toy) as there:
        there.licence = "cc-by-nc-4.0"
        pinned = models("pin", "--profile", written(tmp_path, "hub:toys/toy"), there=there, home=tmp_path / "home")
        assert "the hub states the licence 'cc-by-nc-4.0'" in pinned.stdout


def test_a_folder_is_pinned_by_its_digest_and_refused_once_it_changed(toy: Path, tmp_path: Path) -> None:
    profile = written(tmp_path, str(toy))
    assert models("pin", "--profile", profile).returncode == 0
    assert f'revision = "{digest(toy)}"' in profile.read_text()
    profile.write_text(profile.read_text().replace(digest(toy), f"sha256:{'0' * 64}"))
    changed = models("check", "--profile", profile)
    assert changed.returncode == 1
    assert "not the pinned" in " ".join(changed.stdout.split())


def test_a_shipped_profile_is_not_written_to(tmp_path: Path) -> None:
    refused = models("pin", "--profile", "gpu")
    assert refused.returncode == 1
    assert "--out models.toml" in refused.stderr


def test_the_gpu_profile_is_read_and_none_of_its_hub_rows_has_a_made_up_commit() -> None:
    rows = json.loads(models("list", "--profile", "gpu", "--json").stdout)
    assert {row["revision"] for row in rows if row["source"].startswith("hub:")} == {"unpinned"}
    assert all(row["licence"] and row["licence_from"] and row["reason"] and row["memory_mb"] for row in rows)


def test_bench_measures_each_batch_size_bare_and_the_batcher(toy: Path, tmp_path: Path) -> None:
    # given a pinned toy
    profile = written(tmp_path, str(toy))
    models("pin", "--profile", profile)
    # when it is measured for a moment
    command = [
        "bench",
        "models",
        "--profile",
        profile,
        "--seconds",
        "0.2",
        "--rounds",
        "2",
        "--out",
        tmp_path,
        "--json",
    ]
    told = subprocess.run(
        [sys.executable, "-m", "sightline", *map(str, command)], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    # then there is a figure for each size, for the batcher, their ratio, and a picture
    assert told.returncode == 0, told.stderr
    (speed,) = json.loads(told.stdout)["models"]
    assert list(speed["bare"]) == ["1", "2", "4", "8"]
    assert min(speed["bare"].values()) > 0
    assert speed["batcher"] > 0
    assert 0.5 < speed["busy"] < 1.1
    assert len(speed["ratios"]) == 2
    assert (tmp_path / "models.png").read_bytes().startswith(b"\x89PNG")
