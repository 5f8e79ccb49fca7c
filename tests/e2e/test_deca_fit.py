"""`deca fit`, and `deca reconstruct` without a model, on the demo's portraits as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipelines.demo.portraits import save_portraits
from tests.conftest import ALL
from tests.e2e.conftest import Run
from tests.e2e.test_deca_commands import check_texture


def test_fit_makes_heads_of_the_portraits(run: Run, tmp_path: Path) -> None:
    """Landmarks within 2 % of the eyes' distance; she smiles with an open mouth, her mouth is shut."""
    save_portraits(tmp_path / "portraits")
    (tmp_path / "portraits/wall.png").write_bytes((tmp_path / "portraits/hopper.png").read_bytes()[:2000])
    done = run("deca fit portraits --out heads --json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [Path(each["mesh"]).name for each in told["reconstructed"]] == ["astronaut.obj", "hopper.obj"]
    assert [Path(each["photo"]).name for each in told["skipped"]] == ["wall.png"]
    for each in told["reconstructed"]:
        assert each["landmark_error"] < 0.02
        check_texture(tmp_path / each["photo"], tmp_path / each["mesh"])
    jaws = [np.load(tmp_path / f"heads/{name}.npz")["pose"][3] for name in ("astronaut", "hopper")]
    assert jaws[0] > 0.03 > jaws[1]
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
