"""Photos and masks of kept rows: reduced where the crop allows it, and refused where they have changed."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from manifests.errors import WorkFailed
from manifests.images.kept import read_mask, read_mesh, read_photo
from tests.manifests.images.photo_files import saved


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("reduction", [2, 8])
def test_a_photo_that_exif_turns_is_reduced_from_its_first_pixel_on(
    turn: int, reduction: int, tmp_path: Path
):
    noise = np.random.default_rng(turn).integers(0, 255, (403, 501, 3), dtype=np.uint8)
    smooth = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 12), np.empty(0), 0, 255, cv2.NORM_MINMAX)
    path = tmp_path / "photo.jpg"
    path.write_bytes(saved(smooth, "JPEG", turn, quality=98, subsampling=0))
    upright = read_photo(path)
    height, width = upright.shape[:2]
    assert (width, height) == ((501, 403) if turn < 5 else (403, 501))
    small = read_photo(path, (width, height), reduction)
    assert small.shape == (-(-height // reduction), -(-width // reduction), 3)
    rows, columns = height // reduction, width // reduction
    whole = upright[: rows * reduction, : columns * reduction].astype(float)
    means = whole.reshape(rows, reduction, columns, reduction, 3).mean(axis=(1, 3))
    assert np.abs(small[:rows, :columns] - means).max() < 4  # a shift by half a pixel of 8 gives 10


@pytest.mark.parametrize("reduction", [1, 2, 4, 8])
def test_pngs_and_their_masks_are_reduced_as_opencv_does(reduction: int, tmp_path: Path):
    photo = np.random.default_rng(0).integers(0, 255, (203, 101, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "photo.png"), photo)
    cv2.imwrite(str(tmp_path / "mask.png"), photo[..., 0])
    small = {1: 0, 2: 16, 4: 32, 8: 64}[reduction]  # OpenCV's IMREAD_REDUCED_... without a colour
    expected = cv2.imread(str(tmp_path / "photo.png"), small | cv2.IMREAD_COLOR)[..., ::-1]
    assert np.array_equal(read_photo(tmp_path / "photo.png", (101, 203), reduction), expected)
    expected = cv2.imread(str(tmp_path / "mask.png"), small | cv2.IMREAD_GRAYSCALE)
    assert np.array_equal(read_mask(tmp_path / "mask.png", (101, 203), reduction), expected)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("reduction", [1, 2, 8])
def test_a_photo_of_another_size_is_an_error_to_the_pixel(kind: str, reduction: int, tmp_path: Path):
    path = tmp_path / "photo"
    path.write_bytes(saved(np.zeros((203, 101, 3), np.uint8), kind))
    assert read_photo(path, None, reduction).shape[2] == 3
    for size in ((101, 204), (100, 203), (203, 101)):
        with pytest.raises(WorkFailed, match=rf"photo: the image is 101 x 203.*says {size[0]} x {size[1]};"):
            read_photo(path, size, reduction)


@pytest.mark.parametrize("data", [None, b"", b"\xff\xd8 this is no picture"])
def test_what_cannot_be_read_is_one_sentence_that_says_how_to_go_on(data: bytes | None, tmp_path: Path):
    path = tmp_path / "1.jpg"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(WorkFailed, match=r"1\.jpg: it was kept but cannot be read.*deca-data.*--resume\)\.$"):
        read_photo(path)
    with pytest.raises(WorkFailed, match=r"1\.jpg: the mask is missing, .*deca-data masks.*--resume"):
        read_mask(path)


def test_a_mask_of_another_size_is_an_error(tmp_path: Path):
    Image.new("L", (101, 203)).save(tmp_path / "mask.png")
    for reduction in (1, 2, 4, 8):
        assert read_mask(tmp_path / "mask.png", (101, 203), reduction).max() == 0
        with pytest.raises(WorkFailed, match="of another size"):
            read_mask(tmp_path / "mask.png", (101 + reduction, 203), reduction)


def test_a_damaged_mesh_is_one_sentence(tmp_path: Path):
    path = tmp_path / "mesh.npy"
    good = np.zeros((478, 3), np.float32)
    np.save(path, good)
    assert read_mesh(path).shape == (478, 3)
    for values in (good + np.nan, good + 3e38, good[:68], good.astype(float), np.array([{}], dtype=object)):
        np.save(path, values)
        with pytest.raises(
            WorkFailed, match=r"mesh\.npy: the dense mesh is missing or damaged; remove the file"
        ):
            read_mesh(path)
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (4398046511104,), }\n"
    huge = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    for data in (b"", b"PK\x03\x04 no archive", huge):
        path.write_bytes(data)
        with pytest.raises(
            WorkFailed, match=r"mesh\.npy: the dense mesh is missing or damaged; remove the file"
        ):
            read_mesh(path)
