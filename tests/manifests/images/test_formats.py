"""Files of every kind: they are seen upright, and the trainer cuts its crops out of what the stages saw."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest

from deca_model.data.faces import open_table
from deca_model.data.loading import FaceBatch, FaceDataset
from deca_model.data.sampler import Draws
from manifests.images.decode import decode_file
from manifests.schema import SCHEMA
from manifests.writing import write_manifest
from tests.manifests.images.photo_files import PhotoFile, photo_files

FILES = {file.name: file for file in photo_files()}
SCALE, SIDE = 1.6, 128
"""The landmarks' box has sides of 80 pixels, so that a crop is 128 pixels of the photo."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files, and a manifest with the sizes that the stages write."""
    folder = tmp_path_factory.mktemp("formats")
    points = np.random.default_rng(0).uniform(60, 140, (68, 2)).astype(np.float32)
    points[:2] = [[60, 60], [140, 140]]
    rows = []
    for file in FILES.values():
        (folder / file.name).write_bytes(file.data)
        decoded = decode_file(folder / file.name)
        rows.append(
            {
                **{"sample_id": f"all/{file.name}", "dataset": "all", "image": file.name, "status": "ok"},
                **{"width": decoded.width, "height": decoded.height},
                "landmarks": points.reshape(-1).tolist(),
            }
        )
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    write_manifest(table, folder / "train.parquet", roots={"all": folder, "workspace": folder})
    return folder


def load(folder: Path, file: PhotoFile, size: int) -> FaceBatch:
    """The batch of one face that the trainer loads."""
    table = open_table([folder / "train.parquet"])
    row = table.sample_ids.to_pylist().index(f"all/{file.name}")
    draws = Draws(0, 0, np.array([row]), np.array([SCALE]), np.zeros((1, 2)))
    return FaceDataset(table, size).load(draws)


def crop_of(image: np.ndarray, batch: FaceBatch) -> np.ndarray:
    """The pixels of ``image`` that the batch says that its face was cut out of."""
    x, y, side = batch.squares[0].tolist()
    left, top = round(x + 0.5 - side / 2), round(y + 0.5 - side / 2)
    return image[top : top + SIDE, left : left + SIDE]


def differences(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs(a.astype(float) - b)


@pytest.mark.parametrize("file", FILES.values(), ids=FILES)
def test_a_file_is_seen_upright(file: PhotoFile, folder: Path):
    decoded = decode_file(folder / file.name)
    assert decoded.image.shape == file.upright.shape
    assert (decoded.height, decoded.width) == file.upright.shape[:2]
    assert differences(decoded.image, file.upright).max() <= file.bound


@pytest.mark.parametrize("file", FILES.values(), ids=FILES)
def test_the_trainer_cuts_its_crop_out_of_what_the_stages_saw(file: PhotoFile, folder: Path):
    batch = load(folder, file, SIDE)
    seen = crop_of(decode_file(folder / file.name).image, batch)
    assert np.array_equal(batch.images[0].numpy(), seen)


@pytest.mark.parametrize("reduction", [2, 4, 8])
@pytest.mark.parametrize("file", FILES.values(), ids=FILES)
def test_a_reduced_crop_is_the_same_but_for_resampling(file: PhotoFile, reduction: int, folder: Path):
    batch = load(folder, file, SIDE // reduction)
    seen = crop_of(decode_file(folder / file.name).image, batch)
    size = (SIDE // reduction, SIDE // reduction)
    expected = cv2.resize(seen, size, interpolation=cv2.INTER_AREA)
    assert differences(batch.images[0].numpy(), expected).mean() < file.reduced
