"""The `deca-data` commands as a user types them, on real photos, in real processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

import manifests
from manifests.streaming import open_stream
from pipelines.workspace.parts import read_part
from tests.e2e.conftest import Run, environment, small_shards, wait_for


def whole(folder: Path) -> pd.DataFrame:
    """Both manifests as one frame, landmarks as tuples, sorted by sample."""
    frames = [manifests.read(folder / f"{side}.parquet") for side in ("train", "val")]
    frame = pd.concat(frames).sort_values("sample_id").reset_index(drop=True)
    for name in ("landmarks", "box"):
        frame[name] = frame[name].map(lambda value: None if value is None else tuple(value))
    return frame


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """A folder in which the three calls of the README have been made, word for word."""
    folder = tmp_path_factory.mktemp("built")
    (folder / "vggface2").symlink_to(photos)
    for line in ("deca-data landmarks ./vggface2", "deca-data masks", "deca-data build-manifest"):
        done = subprocess.run(
            line.split(), cwd=folder, env=environment(), capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
    return folder


def test_every_file_has_a_row_and_the_faults_end_theirs(built: Path, photos: Path):
    frame = whole(built).set_index("image")
    files = {str(path.relative_to(photos)) for path in photos.rglob("*.jpg")}
    assert set(frame.index) == files
    assert len(frame) == 37
    assert frame.loc["train/n000001/0101_01.jpg", "status"] == "failed"
    assert "truncated" in frame.loc["train/n000001/0101_01.jpg", "reason"]
    assert frame.loc["train/n000001/0102_01.jpg", "status"] == "dropped"
    assert frame.loc["train/n000001/0102_01.jpg", "stage"] == "detect"
    assert frame.loc["train/n000001/0103_01.jpg", "status"] == "ok"
    assert frame.loc["train/n000002/0101_01.jpg", "reason"] == "exact duplicate"
    assert (frame["status"] == "ok").sum() >= 20


def test_photos_of_a_list_are_left_out_and_the_manifest_says_so(built: Path):
    first = whole(built)
    name = first.loc[first["status"] == "ok", "sample_id"].iloc[0]
    (built / "marks.csv").write_text(f"sample_id,reason\n{name},wrong person\nvggface2/none.jpg,\n")
    line = "deca-data build-manifest --exclude marks.csv --out excluded"
    done = subprocess.run(line.split(), cwd=built, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "photos left out: 1; dropped before: 0" in done.stdout
    assert "names that are no photo of this workspace: 1 (vggface2/none.jpg)" in done.stdout
    row = whole(built / "excluded").set_index("sample_id").loc[name]
    assert (row["status"], row["stage"]) == ("dropped", "exclude")
    assert row["reason"] == "excluded by hand: wrong person"
    info = open_stream(built / "excluded/train.parquet").head.info["excluded"]
    assert (info["files"], info["names"]) == (["marks.csv"], 2)
    kept = [frame["status"].eq("ok").sum() for frame in (first, whole(built / "excluded"))]
    assert kept[1] == kept[0] - 1


def test_landmarks_lie_in_the_upright_photo_and_in_the_npy(built: Path):
    frame = whole(built)
    for _, row in frame[frame["landmarks"].notna()].iterrows():
        points = np.load(built / "deca-workspace" / row["landmark_path"], allow_pickle=False)
        assert points.shape == (68, 2)
        assert points.dtype == np.float32
        np.testing.assert_array_equal(points.reshape(-1), np.array(row["landmarks"], dtype=np.float32))
        # The photos are turned by 18 degrees at most: eyes above nose above mouth, brows on top.
        heights = [
            points[part, 1].mean() for part in (slice(17, 27), slice(36, 48), slice(31, 36), slice(48, 68))
        ]
        assert heights == sorted(heights)
        assert points[36:42, 0].mean() < points[42:48, 0].mean()


def test_both_sides_of_the_split_have_a_person(built: Path):
    frame = whole(built)
    sides = frame.groupby("identity")["split"].unique()
    assert sorted(side for each in sides for side in each) == ["train", "val"]


def test_nothing_is_written_into_the_raw_folder(built: Path, photos: Path):
    assert {path.suffix for path in photos.rglob("*") if path.is_file()} == {".jpg", ".json"}


def test_a_second_run_does_no_work(built: Path):
    before = {path: path.stat().st_mtime_ns for path in built.rglob("*.parquet") if "parts" in path.parts}
    done = subprocess.run(
        ["deca-data", "masks"], cwd=built, env=environment(), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert "up to date" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_the_manifest_does_not_depend_on_the_number_of_workers(
    built: Path, photos: Path, run: Run, tmp_path: Path
):
    for line in ("deca-data landmarks {photos} --workers 1", "deca-data masks --workers 1"):
        assert run(line, photos=photos).returncode == 0
    assert run("deca-data build-manifest --workers 1").returncode == 0
    pd.testing.assert_frame_equal(whole(tmp_path), whole(built))


def test_all_in_one_pass_gives_the_same_manifest(built: Path, photos: Path, run: Run, tmp_path: Path):
    assert run("deca-data run {photos} --workers 1", photos=photos).returncode == 0
    assert run("deca-data build-manifest --workers 1").returncode == 0
    pd.testing.assert_frame_equal(whole(tmp_path), whole(built))


def test_limits_of_photos_per_person(built: Path, run: Run, tmp_path: Path):
    def kept(options: str) -> Counter[str]:
        done = run("deca-data build-manifest -w {built}/deca-workspace " + options, built=built)
        assert done.returncode == 0, done.stderr
        frame = whole(tmp_path)
        return Counter(frame["identity"][frame["status"] == "ok"])

    everyone = kept("")
    most = max(everyone.values())
    assert max(kept("--max-per-identity 3").values()) == 3 < most
    few = kept(f"--min-per-identity {most}")
    assert set(few) == {person for person, photos in everyone.items() if photos == most}


def test_a_dropped_row_holds_its_bound_as_the_recipe_says_it(built: Path, run: Run, tmp_path: Path):
    done = run("deca-data build-manifest -w {built}/deca-workspace --set max_brightness=0.3", built=built)
    assert done.returncode == 0, done.stderr
    frame = whole(tmp_path)
    bright = frame["reason"] == "brightness above 0.3"
    assert bright.sum() > 0
    ends = frame.loc[bright, ["reason_column", "reason_bound", "reason_side"]]
    assert set(ends.itertuples(index=False, name=None)) == {("brightness", 0.3, "above")}
    assert frame.loc[frame["stage"].isin(["decode", "duplicates"]), "reason_bound"].isna().all()
    bounds = open_stream(tmp_path / "val.parquet").head.info["bounds"]
    asked = {"landmark_shift_error": 0.1, "landmark_spread": 0.053, "brightness": 0.3}
    assert [[name, bound, "above"] for name, bound in asked.items()] == [b for b in bounds if b[0] in asked]
    assert ["landmark_confidence", 0.35, "below"] in bounds


def test_persons_who_look_alike_are_listed(built: Path, run: Run, tmp_path: Path):
    pytest.importorskip("dlib", reason="needs dlib (extra: dlib)")
    done = run("deca-data build-manifest -w {built}/deca-workspace --set lookalikes=0 --json", built=built)
    pairs = json.loads(done.stdout)["lookalikes"]
    assert [sorted(pair[:2]) for pair in pairs] == [["vggface2/n000001", "vggface2/n000002"]]
    assert 0 < pairs[0][2] < 0.95
    for side in ("train", "val"):
        assert open_stream(tmp_path / f"{side}.parquet").head.info["lookalikes"] == pairs


@pytest.mark.parametrize("why", ["ModuleNotFoundError('none', name='dlib')", "ImportError('broken')"])
def test_without_an_embedder_identities_are_the_folders_and_the_manifest_says_so(
    built: Path, photos: Path, tmp_path: Path, why: str
):
    for name in ("n000001/0001_01.jpg", "n000002/0002_01.jpg"):
        (tmp_path / "faces" / name).parent.mkdir(parents=True)
        shutil.copy(photos / "train" / name, tmp_path / "faces" / name)
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "dlib.py").write_text(f"raise {why}")
    path = os.pathsep.join([str(hidden), environment()["PYTHONPATH"]])
    done = subprocess.run(
        ["deca-data", "build-manifest", "faces"],
        cwd=tmp_path,
        env={**environment(), "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "identities are taken as the folders say: " in done.stderr
    assert "deca-data[dlib]" in done.stderr
    assert open_stream(tmp_path / "train.parquet").head.info["identities"] == "as the folders say"
    frame = whole(tmp_path)
    assert frame["identity"].tolist() == ["n000001", "n000002"]
    assert np.isnan(frame["identity_score"].to_numpy(dtype=float, na_value=np.nan)).all()
    assert open_stream(built / "train.parquet").head.info["identities"] == "verified"


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_in_the_middle_and_run_again(
    built: Path, photos: Path, run: Run, tmp_path: Path, workers: int
):
    small_shards(tmp_path, photos)
    line = f"deca-data landmarks {photos} --workers {workers}".split()
    process = subprocess.Popen(line, cwd=tmp_path, env=environment(), stderr=subprocess.DEVNULL)
    parts = tmp_path / "deca-workspace/parts/vggface2/detect"
    wait_for(lambda: list(parts.glob("*/*.parquet")) or process.poll() is not None)
    assert process.poll() is None, "the run was over before it could be killed"
    process.kill()
    process.wait()
    for path in parts.glob("*/[!.]*.parquet"):
        assert read_part(path).num_rows > 0
    for again in ("deca-data landmarks {photos}", "deca-data masks", "deca-data build-manifest"):
        done = run(f"{again} --workers {workers}", photos=photos)
        assert done.returncode == 0, done.stderr
    pd.testing.assert_frame_equal(whole(tmp_path), whole(built))


def test_ctrl_c_stops_in_good_order(photos: Path, tmp_path: Path):
    many = tmp_path / "vggface2"  # work for seconds, of which the first shard is finished soon
    for copy in range(6):
        shutil.copytree(photos / "train/n000001", many / f"train/n00000{copy}")
    small_shards(tmp_path, many, 2)
    process = subprocess.Popen(
        ["deca-data", "run", str(many), "--workers", "2"],
        cwd=tmp_path,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a shell's background job, perhaps this test run, ignores Ctrl-C, and so would its children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    parts = tmp_path / "deca-workspace/parts/vggface2/detect"
    wait_for(lambda: list(parts.glob("*/*.parquet")) or process.poll() is not None)
    started = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)  # 2 s on an idle machine
    assert process.returncode == 130
    assert "same command goes on from here" in errors
    assert "Traceback" not in errors
    assert "leaked" not in errors
    assert list(parts.glob("*/*.parquet"))
    _, left = psutil.wait_procs(started, timeout=10)
    assert [each for each in left if each.status() != psutil.STATUS_ZOMBIE] == []


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("deca-data landmarks ./none", "none: there is no such folder"),
        ("deca-data landmarks ./empty", "holds no photo"),
        ("deca-data landmarks ./file.jpg", "this is a file"),
        ("deca-data masks", "there is no workspace yet"),
        ("deca-data landmarks {photos} --workspace ./file.jpg", "this is a file; name a folder"),
        ("deca-data landmarks {photos} --workspace /proc/x", "cannot be written"),
        ("deca-data landmarks {photos} --backend magic", "there is no landmarker backend 'magic'"),
        ("deca-data landmarks {photos} --backend face-alignment", "2DFAN4"),
        ("deca-data landmarks {photos} --dataset celeba", "no dataset layout 'celeba'"),
        ("deca-data landmarks {photos} --set landmarks.colour=3", "landmarks.colour"),
        ("deca-data landmarks {photos} --set colour=3", "there is no stage 'colour'"),
        (
            "deca-data landmarks {photos} --set landmarks.colour=[3",
            "--set landmarks.colour: it cannot be read",
        ),
        ("deca-data landmarks {photos} --workspace {photos}/train", "lies inside the raw folder"),
        (
            "deca-data landmarks {photos} --workers 2 --scheduler tcp://127.0.0.1:9",
            "no Dask scheduler answers",
        ),
        ("deca-data build-manifest --recipe none", "choose deca-paper, keep-all, strict"),
        (
            "deca-data build-manifest --set max_per_identity=3 --max-per-identity 4",
            "max_per_identity: it is given twice",
        ),
        ("deca-data landmarks --wrong", "No such option"),
    ],
)
def test_bad_calls_are_one_sentence_and_exit_2(
    run: Run, photos: Path, tmp_path: Path, line: str, sentence: str
):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.jpg").write_bytes(b"x")
    done = run(line, photos=photos)
    assert done.returncode == 2, done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    if "--wrong" not in line:
        assert len([text for text in done.stderr.splitlines() if text.startswith("error: ")]) == 1


def test_status_and_failures_tell_how_far_it_is(built: Path):
    def call(line: str) -> str:
        return subprocess.run(
            line.split(), cwd=built, env=environment(), capture_output=True, text=True, check=True
        ).stdout

    status = {(each["dataset"], each["stage"]): each for each in json.loads(call("deca-data status --json"))}
    assert status["vggface2", "landmarks"]["done"] == 37
    assert status["vggface2", "masks"]["total"] == 37
    ended = json.loads(call("deca-data failures --json"))
    assert {each["status"] for each in ended} == {"failed", "dropped"}
    assert any(path.endswith("train/n000001/0101_01.jpg") for each in ended for path in each["paths"])
    assert "landmark_shift_error" in call("deca-data schema")
    recipes = json.loads(call("deca-data recipes --json"))
    assert [recipe["name"] for recipe in recipes] == ["deca-paper", "keep-all", "strict"]
    table = call("deca-data recipes")
    assert all(setting in table for setting in recipes[0] if setting != "name")


@pytest.mark.parametrize("command", ["deca-data", "deca"])
def test_help_shows_an_example_for_every_command(command: str, run: Run):
    listed = run(f"{command} --help").stdout
    names = [line.split()[0] for line in listed.split("Commands:")[1].splitlines() if line.strip()]
    names = [name for name in names if name.replace("-", "").isalpha() and name.islower()]
    assert len(names) >= 1
    for name in names:
        text = run(f"{command} {name} --help").stdout
        assert f"Example: {command} {name}" in text, name
