"""`deca view` on folders whose files are damaged or hostile: one sentence, and nothing outside is read."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from deca_model.use.reconstruction_files import read_codes
from deca_model.use.viewer import saved_faces, write_viewer
from manifests.errors import UsageError

CODES: dict[str, np.ndarray] = {
    "shape": np.zeros(100, np.float32),
    "texture": np.zeros(50, np.float32),
    "expression": np.zeros(50, np.float32),
    "pose": np.zeros(6, np.float32),
    "camera": np.array([8, 0, 0], np.float32),
    "light": np.zeros((9, 3), np.float32),
    "head": np.array("open"),
}


def archive(**changed: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **(CODES | changed))
    return file.getvalue()


def with_header(header: bytes) -> bytes:
    """An archive whose shape has another header."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name, values in CODES.items():
            each = io.BytesIO()
            np.save(each, values)
            own = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
            made.writestr(f"{name}.npy", own if name == "shape" else each.getvalue())
    return file.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of one face."""
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "a.npz").write_bytes(archive())
    cv2.imwrite(str(folder / "a_texture.png"), np.full((8, 8, 3), 90, np.uint8))
    return folder


HUGE = b"{'descr': '<f4', 'fortran_order': False, 'shape': (4398046511104,), }\n"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04 no archive",
        archive()[:900],
        archive().replace(b"\0\0\0\0\0\0\0\0", b"\0\0\0\0\1\0\0\0", 40),
        archive(shape=np.array([{}], dtype=object)),
        archive(head=np.array([{}], dtype=object)),
        archive(shape=np.array(["a"])),
        archive(shape=np.full(100, np.nan)),
        archive(pose=np.full(6, np.inf)),
        archive(pose=np.zeros(3)),
        archive(eyes=np.zeros(3)),
        archive(eyes=np.full(6, np.nan)),
        archive(expression=np.zeros((5, 5))),
        archive(shape=np.zeros(3, complex)),
        with_header(HUGE),
        with_header(b"{'descr': '<f4', 'shape': (((\n"),
    ],
)
def test_damaged_codes_are_one_sentence(folder: Path, data: bytes):
    (folder / "a.npz").write_bytes(data)
    with pytest.raises(UsageError, match=r"a\.npz: this is no file of codes \(.*\); make one with"):
        saved_faces(folder)


def test_codes_of_other_numbers_are_read(folder: Path):
    (folder / "a.npz").write_bytes(archive(shape=np.zeros(100, ">f8"), expression=np.zeros(50, int)))
    codes = read_codes(folder / "a.npz")
    assert codes.shape.dtype == codes.expression.dtype == torch.float32
    assert codes.shape.shape == (1, 100)


def test_a_pipe_is_not_waited_for(folder: Path):
    (folder / "a.npz").unlink()
    os.mkfifo(folder / "a.npz")
    with pytest.raises(UsageError, match="not a file but a named pipe"):
        saved_faces(folder)


@pytest.mark.parametrize("name", ["a.npz", "a_texture.png"])
def test_a_link_out_of_the_folder_is_refused(folder: Path, name: str):
    (folder / name).rename(folder.parent / name)
    (folder / name).symlink_to(folder.parent / name)
    with pytest.raises(UsageError, match=f"{name}: this link leads out of the folder"):
        write_viewer(saved_faces(folder), folder / "view.html")


def png(values: np.ndarray) -> bytes:
    return cv2.imencode(".png", values)[1].tobytes()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a_texture.png", b""),
        ("a_texture.png", png(np.zeros((8, 8, 3), np.uint8))[:60]),
        ("a_texture.png", png(np.zeros((1, 9000, 3), np.uint8))),
        ("a_displacement.png", png(np.zeros((8, 8, 3), np.uint8))),
        ("a_displacement.png", png(np.zeros((8, 8), np.uint8))),
    ],
)
def test_damaged_pictures_are_one_sentence(folder: Path, name: str, data: bytes):
    (folder / name).write_bytes(data)
    with pytest.raises(UsageError, match=f"{name}: this picture cannot be read"):
        write_viewer(saved_faces(folder), folder / "view.html")


def test_names_stay_text_in_the_page(folder: Path):
    name = "<img src=x onerror=alert(1)>$DATA'\"\n\u2028"
    for ending in (".npz", "_texture.png"):
        (folder / f"a{ending}").rename(folder / f"{name}{ending}")
    write_viewer(saved_faces(folder), folder / "view.html")
    text = (folder / "view.html").read_text()
    assert "<img" not in text
    assert "onerror=alert(1)\\u003e$DATA" in text
