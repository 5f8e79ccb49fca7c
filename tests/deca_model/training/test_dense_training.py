"""The dense landmarks in a run: from manifest or pack to the loss; off, with a line, where there are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from deca_model.data.faces import open_table
from deca_model.data.loading import FaceDataset
from deca_model.data.sampler import Draws
from deca_model.settings.batches import AugmentSettings
from deca_model.settings.reading import load_config
from deca_model.training.loop import train
from deca_model.training.records import read_metrics
from deca_model.training.usable_losses import usable_losses
from deca_model.use.inference import load_model
from manifests.errors import UsageError, WorkFailed
from manifests.images.crop import crop_pixels
from manifests.reading import open_manifest
from pipelines.share.pack import pack
from pipelines.share.pack_rows import CropSettings
from tests.deca_model.synthetic import make_manifest
from tests.deca_model.training.said import Said

SMALL = [
    "stage=pretrain", "data.size=64", "data.workers=0", "model.uv_size=32", "model.render_size=32",
    "log.pictures_every=1000", "log.every=1", "pretrain.steps=1", "pretrain.subjects=2", "pretrain.images=2",
]  # fmt: skip


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six faces with meshes, made of the 68 landmarks in a row, and one face without."""
    path = make_manifest(tmp_path_factory.mktemp("dense"), (3, 4))
    table = pq.read_table(path)
    workspace = open_manifest(path).workspace_path("dense")
    workspace.mkdir()
    paths: list[str | None] = []
    for number, flat in enumerate(table["landmarks"].to_pylist()):
        points = np.array(flat, np.float32).reshape(68, 2)
        mesh = np.concatenate([np.tile(points, (8, 1))[:478], np.zeros((478, 1), np.float32)], axis=1)
        np.save(workspace / f"{number}.npy", mesh)
        paths.append(f"dense/{number}.npy")
    paths[-1] = None
    column = pa.array(paths, pa.string())
    place = table.column_names.index("dense_path") if "dense_path" in table.column_names else None
    table = (
        table.append_column("dense_path", column)
        if place is None
        else table.set_column(place, "dense_path", column)
    )
    pq.write_table(table, path)
    return path


def draws(count: int) -> Draws:
    scales, shifts = np.full(count, 1.6), np.zeros((count, 2))
    return Draws(0, 0, np.arange(count), scales, shifts, np.arange(count))


@pytest.mark.parametrize("changed", [False, True])
def test_a_mesh_moves_with_its_landmarks(manifest: Path, changed: bool):
    augmentation = AugmentSettings(rotation=20, scale=(0.8, 1.2)) if changed else None
    table = open_table([manifest])
    batch = FaceDataset(table, 64, augmentation, dense=True).load(draws(7))
    assert batch.dense is not None
    assert batch.has_dense is not None
    assert batch.has_dense.tolist() == [True] * 6 + [False]
    torch.testing.assert_close(batch.dense[:6, :68], batch.landmarks[:6], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(batch.dense[:6, 68:136], batch.landmarks[:6], atol=1e-6, rtol=1e-6)
    plain = FaceDataset(table, 64, augmentation).load(draws(7))
    assert plain.dense is None
    assert torch.equal(plain.landmarks, batch.landmarks)
    assert torch.equal(plain.images, batch.images)


def test_a_pack_carries_the_meshes(manifest: Path, tmp_path: Path):
    pack([manifest], tmp_path / "pack", CropSettings(), quiet=True)
    packed = open_table([tmp_path / "pack/train.json"])
    assert packed.has_dense
    batch = FaceDataset(packed, 64, dense=True).load(draws(7))
    assert batch.dense is not None
    assert batch.has_dense is not None
    assert batch.has_dense.tolist() == [True] * 6 + [False]
    raw = FaceDataset(open_table([manifest]), 64, dense=True).load(draws(7))
    assert raw.dense is not None
    moved = crop_pixels(batch.dense[:6].numpy(), 64) - crop_pixels(raw.dense[:6].numpy(), 64)
    assert np.abs(moved).max() < 1.5


def test_the_loss_is_in_the_run_where_the_manifest_has_meshes(manifest: Path, tmp_path: Path):
    said = Said()
    train(load_config("cpu", [*SMALL, "loss.dense=1"]), manifest, None, tmp_path / "run", progress=said)
    record = read_metrics(tmp_path / "run/metrics.jsonl")[0]
    assert record["dense"] > 0
    assert not any("loss.dense" in line for line in said.notes)


def test_the_loss_is_off_with_one_line_where_it_has_none(tmp_path: Path):
    said, plain = Said(), make_manifest(tmp_path, (2, 2))
    train(load_config("cpu", [*SMALL, "loss.dense=1"]), plain, None, tmp_path / "run", progress=said)
    told = [line for line in said.notes if "loss.dense" in line]
    assert len(told) == 1
    assert told[0].startswith("loss.dense is off: the manifest has no dense landmarks; `deca-data landmarks")
    assert "dense" not in read_metrics(tmp_path / "run/metrics.jsonl")[0]


def test_flame_takes_the_points_of_mediapipes_embedding(
    manifest: Path, tiny_flame_folder: Path, tmp_path: Path
):
    random = np.random.default_rng(0)
    embedding = tmp_path / "their_embedding.npz"
    np.savez(  # as published: 105 points
        embedding,
        lmk_face_idx=random.integers(0, 98, 105),
        lmk_b_coords=random.dirichlet(np.ones(3), 105),
        landmark_indices=random.permutation(468)[:105],
    )
    flame = ["loss.dense=1", "model.head=flame", f"model.head_path={tiny_flame_folder}"]
    table = open_table([manifest])
    without, lines = usable_losses(load_config("cpu", [*SMALL, *flame]), ["pretrain"], table)
    assert without.loss.dense == 0
    assert (
        "loss.dense is off: the flame head has no dense landmarks; for FLAME put "
        "mediapipe_landmark_embedding.npz beside its file, or name it with --set model.dense_path=FILE"
    ) in lines
    config = load_config("cpu", [*SMALL, *flame, f"model.dense_path={embedding}"])
    last = train(config, manifest, None, tmp_path / "run")
    assert read_metrics(tmp_path / "run/metrics.jsonl")[0]["dense"] > 0
    embedding.unlink()
    load_model(last, torch.device("cpu"))  # only training needs the file
    with pytest.raises(UsageError, match=r"their_embedding\.npz: there is no such file"):
        usable_losses(config, ["pretrain"], table)


def test_a_damaged_mesh_is_named(manifest: Path, tmp_path: Path):
    table = open_table([manifest])
    path = open_manifest(manifest).workspace_path("dense/0.npy")
    kept = path.read_bytes()
    path.write_bytes(kept[:100])
    try:
        with pytest.raises(WorkFailed, match=r"dense/0\.npy: the dense mesh is missing or damaged"):
            FaceDataset(table, 64, dense=True).load(draws(1))
        assert len(FaceDataset(table, 64).load(draws(1)).images) == 1  # unread without the loss
    finally:
        path.write_bytes(kept)
