"""Real strangers in two folders, by the real commands: said, stopped, and trained on once nobody is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import manifests
from deca_model.data.faces import open_table
from deca_model.data.sampler import SubjectSampler
from tests.e2e.conftest import Run


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory, faces: Path) -> Path:
    """Twelve strangers in each of two folders."""
    pytest.importorskip("dlib")
    root = tmp_path_factory.mktemp("raw") / "mine"
    for n in range(24):
        path = root / f"batch{1 + n % 2}/{n:02d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((faces / f"cfp/{n + 1:03d}/frontal/01.jpg").read_bytes())
    return root


@pytest.fixture(scope="module")
def persons(tmp_path_factory: pytest.TempPathFactory, faces: Path) -> Path:
    """Four persons in val/ and train/, one photo in five being of another."""
    root = tmp_path_factory.mktemp("raw") / "real"
    for n in range(40):
        person, photo = divmod(n, 10)
        of = (person + 1) % 4 if photo < 2 else person
        path = root / f"{'train' if person < 2 else 'val'}/{person}/{photo}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((faces / f"cfp/{of + 1:03d}/frontal/{photo + 1:02d}.jpg").read_bytes())
    return root


def test_strangers_stop_the_build_until_the_user_says_who_they_are(strangers: Path, run: Run, tmp_path: Path):
    done = run("deca-data run {root} --workers 1", root=strangers)
    assert done.returncode == 0, done.stderr
    assert "mine: 24 photos of 2 persons (from the sub-folder names)\n" in done.stderr
    done = run("deca-data build-manifest --workers 1")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: the faces of 'mine/batch1' do not agree")
    assert "--identities none" in done.stderr
    assert not list(tmp_path.glob("*.parquet"))
    done = run("deca-data build-manifest --workers 1 --identities none --set val_fraction=0.2")
    assert done.returncode == 0, done.stderr
    assert "mine: --identities none from now on; it was folder\n" in done.stderr
    assert "are up to date" in done.stderr  # no photo is looked at again
    done = run("deca-data build-manifest --workers 1 --set val_fraction=0.2 --json")
    counts = json.loads(done.stdout)["counts"]
    assert counts["train"]["ok"] + counts["val"]["ok"] >= 20
    found = manifests.read(tmp_path / "train.parquet")
    assert set(found["identity"].isna()) == {True}
    table = open_table([tmp_path / "train.parquet"])
    assert len(np.unique(table.subjects)) == len(table)  # each photo is a person of its own
    draws = SubjectSampler(table.subjects, table.datasets, subjects=2, images=4, seed=0).batch(0, 0)
    assert [len(set(rows)) for rows in draws.rows.reshape(2, 4).tolist()] == [1, 1]


def test_real_persons_below_splits_with_a_few_wrong_photos_are_built(persons: Path, run: Run, tmp_path: Path):
    done = run("deca-data run {root} --workers 1", root=persons)
    assert "real: 40 photos of 4 persons (from the sub-folder names)\n" in done.stderr
    done = run("deca-data build-manifest --workers 1 --json")
    assert done.returncode == 0, done.stderr
    reasons = json.loads(done.stdout)["reasons"]
    assert sum(count for _, stage, _, count in reasons if stage == "identity") == 8, reasons


def test_frames_of_a_clip_stay_together_where_nobody_is_known(faces: Path, run: Run, tmp_path: Path):
    line = "deca-data landmarks {root} --identities none --frames-per-clip 4 --workers 1"
    done = run(line, root=faces / "voxceleb2")
    assert "voxceleb2: 4 videos of unknown persons (--identities none)\n" in done.stderr
    assert run("deca-data build-manifest --recipe keep-all --workers 1").returncode == 0
    sides = [set(manifests.read(tmp_path / f"{side}.parquet")["clip"]) for side in ("train", "val")]
    assert sides[0]
    assert sides[1]
    assert not sides[0] & sides[1]
