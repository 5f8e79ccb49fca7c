"""`deca fit`, and `deca reconstruct` without a model, on the demo's portraits as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from deca_model.heads.rotations import axis_angle_to_matrix
from deca_model.use.film_files import write_film
from pipelines.demo.portraits import portraits, save_portraits
from tests.conftest import ALL
from tests.e2e.conftest import Run
from tests.e2e.test_deca_commands import check_texture


def test_fit_makes_heads_of_the_portraits(run: Run, tmp_path: Path) -> None:
    """Landmarks within 2 % of the eyes' distance; she smiles with an open mouth, her mouth is shut."""
    save_portraits(tmp_path / "portraits")
    (tmp_path / "portraits/wall.png").write_bytes((tmp_path / "portraits/hopper.png").read_bytes()[:2000])
    (tmp_path / "talk.mp4").write_bytes(b"no film")
    done = run("deca fit talk.mp4 portraits --out heads --json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [Path(each["mesh"]).name for each in told["reconstructed"]] == ["astronaut.obj", "hopper.obj"]
    assert [Path(each["photo"]).name for each in told["skipped"]] == ["wall.png", "talk.mp4"]
    for each in told["reconstructed"]:
        assert each["landmark_error"] < 0.02
        check_texture(tmp_path / each["photo"], tmp_path / each["mesh"])
    codes = [np.load(tmp_path / f"heads/{name}.npz") for name in ("astronaut", "hopper")]
    assert codes[0]["pose"][3] > 0.03 > codes[1]["pose"][3]
    for each in codes:  # both look into the camera
        head, eye = axis_angle_to_matrix(torch.from_numpy(np.stack([each["pose"][:3], each["eyes"][:3]])))
        assert each["eyes"].any()
        assert (head @ eye)[2, 2] > np.cos(np.radians(12))
    for ending in ("_detail.obj", "_texture.png", ".npz", ".png"):
        assert (tmp_path / f"heads/hopper{ending}").stat().st_size > 0


@pytest.mark.skipif(not ALL, reason="five seconds: part of make test-all")
def test_reconstruct_without_a_model_fits_and_says_so(run: Run, tmp_path: Path) -> None:
    save_portraits(tmp_path)
    done = run("deca reconstruct hopper.png --no-details")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("no --model and no run in ./runs: the open head is fitted")
    assert "faces fitted: 1, photos without a face: 0; median landmark error" in done.stdout
    assert (tmp_path / "reconstructions/hopper.obj").is_file()
    assert not (tmp_path / "reconstructions/hopper_detail.obj").exists()


def test_a_wrong_call_is_one_sentence(run: Run) -> None:
    done = run("deca fit absent.jpg")
    assert done.returncode == 2
    assert done.stderr == "error: absent.jpg: there is no such photo or folder.\n"


@pytest.mark.skipif(not ALL, reason="five seconds: part of make test-all")
def test_one_person_has_one_shape(run: Run, tmp_path: Path) -> None:
    """Two photos of one person, one of them mirrored."""
    import cv2

    save_portraits(tmp_path / "photos")
    picture = cv2.imread(str(tmp_path / "photos/astronaut.png"))
    cv2.imwrite(str(tmp_path / "photos/hopper.png"), picture[:, ::-1])
    assert run("deca fit photos --same-person --no-details --out one").returncode == 0
    first, second = (np.load(tmp_path / f"one/{name}.npz") for name in ("astronaut", "hopper"))
    assert np.array_equal(first["shape"], second["shape"])
    assert not np.array_equal(first["pose"], second["pose"])


@pytest.mark.skipif(not ALL, reason="ten seconds: part of make test-all")
def test_a_video_has_one_shape_and_a_film(run: Run, tmp_path: Path) -> None:
    """A film of one portrait that moves to the right, a pixel per frame."""
    portrait = portraits()["astronaut"]
    write_film(tmp_path / "talk.mp4", (np.roll(portrait, n, axis=1) for n in range(6)), 25.0)
    done = run("deca fit talk.mp4 --out clip --json")
    assert done.returncode == 0, done.stderr
    (told,) = json.loads(done.stdout)["reconstructed"]
    assert (told["film"], told["frames"]) == ("clip/talk.mp4", 6)
    with np.load(tmp_path / "clip/talk_frames.npz") as kept:
        assert {name: kept[name].shape for name in kept} == {
            "shape": (100,), "crop": (6, 3), "expression": (6, 50), "pose": (6, 6), "camera": (6, 3)
        }  # fmt: skip
        place = kept["crop"][:, 0] + kept["camera"][:, 0] * kept["crop"][:, 2] / 2 * kept["camera"][:, 1]
    assert 3 < place[-1] - place[0] < 6
    with av.open(str(tmp_path / "clip/talk.mp4")) as film:
        assert film.streams.video[0].codec_context.name == "h264"
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert [frame.shape for frame in frames] == [(256, 1024, 3)] * 6
    for ending in (".obj", "_detail.obj", "_texture.png", ".npz", ".png"):
        assert (tmp_path / f"clip/talk{ending}").stat().st_size > 0
