"""The commands of a FLAME user, on a file in FLAME's format: from training to a mesh.

The file has FLAME's real topology, embedding and UV layout, and random shape bases (see ``flame_folder``).
"""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from cli import deca
from commands.exit_codes import run_app
from deca_model.files.obj import read_obj
from deca_model.training.records import read_metrics
from tests.deca_model.synthetic import make_manifest

SMALL = """--set data.size=64 --set data.workers=0 --set model.uv_size=64 --set model.render_size=64
    --set pretrain.steps=3 --set coarse.steps=2 --set detail.steps=2 --set pretrain.subjects=2
    --set coarse.subjects=2 --set detail.subjects=2 --set log.pictures_every=1000 --set log.picture_faces=2"""
STAGES = {"pretrain": 3, "coarse": 2, "detail": 2}
VERTICES, FACES = 5023, 9976


@pytest.fixture(scope="module")
def trained(flame_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of all stages on FLAME."""
    folder = tmp_path_factory.mktemp("flame-run")
    make_manifest(folder, (3, 3))
    make_manifest(folder, (2,), name="val", seed=4)
    command(
        "train --manifest train.parquet --preset cpu --stage all --out run --quiet "
        f"--set model.head=flame --set model.head_path={flame_folder / 'generic_model.pkl'} {SMALL}",
        folder,
    )
    return folder  # fmt: skip


def command(line: str, folder: Path) -> None:
    """Runs ``deca`` in a folder, in this process; it must succeed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["deca", *shlex.split(line)])
        with pytest.raises(SystemExit) as exit_:
            run_app(deca)
    assert not exit_.value.code


def test_all_stages_run_on_flame(trained: Path):
    for stage, steps in STAGES.items():
        records = read_metrics(trained / "run" / stage / "metrics.jsonl")
        losses = [record for record in records if record["kind"] == "train"]
        assert len(losses) == steps
        figures = [record for record in records if record["kind"] == "validation"]
        assert figures[-1]["faces"] == 2
        for record in (*losses, *figures):
            numbers = [value for value in record.values() if isinstance(value, (int, float))]
            assert np.isfinite(numbers).all()
        grid = cv2.imread(str(trained / f"run/{stage}/pictures/step-{steps:08d}.png"))
        assert grid is not None
        assert grid.std() > 10
    detail = read_metrics(trained / "run/detail/metrics.jsonl")
    assert 0 < detail[0]["detail_photometric"] < 1
    assert 0 < figures[-1]["detail_error"] < 1


def test_reconstruct_and_animate_from_the_flame_run(trained: Path, capsys: pytest.CaptureFixture[str]):
    from skimage.data import astronaut

    cv2.imwrite(str(trained / "photo.png"), np.ascontiguousarray(astronaut()[..., ::-1]))
    command("reconstruct photo.png --model run --out faces --json", trained)
    told = json.loads(capsys.readouterr().out)
    assert [each["mesh"] for each in told["reconstructed"]] == ["faces/photo.obj"]
    mesh = read_obj(trained / "faces/photo.obj")
    assert mesh.vertices.shape == (VERTICES, 3)
    assert len(mesh.faces) == FACES
    assert mesh.uv_faces is not None
    codes = np.load(trained / "faces/photo.npz")
    assert (codes["shape"].shape, codes["expression"].shape, codes["pose"].shape) == ((100,), (50,), (6,))
    dense = read_obj(trained / "faces/photo_detail.obj")
    assert len(dense.vertices) > 1000
    size = np.ptp(mesh.vertices, axis=0)
    assert 0.1 < size.max() < 0.6  # metres
    assert np.allclose(np.ptp(dense.vertices, axis=0), size, atol=0.03)
    assert cv2.imread(str(trained / "faces/photo.png")).std() > 10
    command("animate photo.png --model run --frames 2 --out turn --json", trained)
    assert len(list((trained / "turn").iterdir())) == 2
