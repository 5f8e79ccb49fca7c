"""`deca transfer` and `deca animate` without a trained model, on the demo's portraits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from benchmarks.carried import frontal, row
from cli import deca
from commands.exit_codes import run_app
from commands.fitted import INSTEAD, fitted, open_fitter
from deca_model.training.openings import openings
from pipelines.demo.portraits import save_portraits
from pipelines.photo_faces import FaceFinder
from tests.conftest import ALL

Call = Callable[..., Any]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Calls `deca` in a folder without a run; checks the exit code, returns what was printed."""
    monkeypatch.chdir(tmp_path)

    def run(line: str, code: int = 0) -> Any:
        monkeypatch.setattr("sys.argv", ["deca", *line.split()])
        with pytest.raises(SystemExit) as ended:
            run_app(deca)
        assert (ended.value.code or 0) == code
        return capsys.readouterr()

    return run


def test_a_fitted_head_takes_the_open_smile_of_another(tmp_path: Path):
    save_portraits(tmp_path)
    finder, fitter = FaceFinder("mediapipe", None, "cpu"), open_fitter(True, True)
    faces = [finder.one(tmp_path / f"{name}.png") for name in ("hopper", "astronaut")]
    person, driver = (next(fitted(fitter, [face])) for face in faces)
    own, moved = (frontal(fitter.model, person, head) for head in (person, driver))
    closed, wide = (float(openings(head.posed.landmarks)[0, 0]) for head in (own, moved))
    photo = float(openings(torch.from_numpy(faces[1].landmarks)[None])[0, 0])
    assert closed < 0.02
    assert wide == pytest.approx(photo, rel=0.25)
    torch.testing.assert_close(moved.posed.codes.shape, person.posed.codes.shape)
    assert person.displacement is not None
    assert moved.displacement is person.displacement  # a fit has no details that move


def test_a_picture_without_a_face_is_not_counted():
    photo = np.array([[0.1, 0.2], [0.2, 0.1], [0.3, 0.4]])
    ours = np.array([[0.2, 0.4], [0.4, 0.2], [np.nan, np.nan]])
    assert row("fitted", "its picture", photo, ours) == ["fitted", "its picture", 2, "1.000", "1.000"]


def test_without_a_model_the_rasteriser_is_the_one_that_is_named(tmp_path: Path, call: Call):
    (tmp_path / "photo.jpg").write_bytes(b"not looked at before")
    told = call("reconstruct photo.jpg --rasterizer other", 2)
    assert told.err.endswith("error: rasteriser 'other' is unknown: choose one of builtin, pytorch3d\n")


@pytest.mark.skipif(not ALL, reason="ten seconds: part of make test-all")
def test_transfer_and_animate_say_that_they_fit(tmp_path: Path, call: Call):
    save_portraits(tmp_path)
    told = call("transfer --person hopper.png --driver astronaut.png --json")
    files = json.loads(told.out)["files"]
    assert not told.err
    assert "transfers/hopper_as_astronaut_detail.glb" in files
    assert call("animate hopper.png --frames 3 --out turn.mp4").err.startswith(INSTEAD)
    assert call("animate astronaut.png --drive turn.mp4 --out driven.mp4").out.startswith("driven.mp4: ")
    with av.open(str(tmp_path / "driven.mp4")) as film:
        assert film.streams.video[0].frames > 0
