"""Model files in their publishers' formats, written by the tests: the repository holds no licensed file."""

from __future__ import annotations

import pickle
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest

FlameWriter = Callable[..., Path]


_PurePickler: Any = vars(pickle)["_Pickler"]  # the pickler written in Python, whose output can be changed


class Python2Pickler(_PurePickler):
    """Writes like Python 2: text and bytes are both byte strings, which must be read as latin1."""

    dispatch: ClassVar = dict(_PurePickler.dispatch)

    def save_string(self, value: str | bytes) -> None:
        data = value.encode("latin1") if isinstance(value, str) else value
        self.write(b"T" + struct.pack("<i", len(data)) + data)
        self.memoize(value)

    dispatch[bytes] = save_string
    dispatch[str] = save_string


@pytest.fixture(scope="session")
def flame_writer() -> FlameWriter:
    """Writes FLAME's .pkl as it was published: chumpy objects, a scipy matrix, Python 2's protocol 2."""
    return _write_flame


@pytest.fixture(scope="session")
def flame_folder(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like a FLAME user's: the real topology, embedding and mask, and random bases."""
    assets = shared / "assets" / "deca"
    if not assets.is_dir():
        pytest.skip("needs FLAME's topology in ../shared/assets/deca, which is not part of the project")
    folder = tmp_path_factory.mktemp("flame")
    for name in ("landmark_embedding.npy", "head_template.obj", "uv_face_eye_mask.png"):
        shutil.copy(assets / name, folder / name)
    lines = (folder / "head_template.obj").read_text().splitlines()
    vertices = np.array([line.split()[1:4] for line in lines if line.startswith("v ")], float)
    polygons = [line.split()[1:] for line in lines if line.startswith("f ")]
    faces = np.array([[int(word.split("/")[0]) - 1 for word in polygon] for polygon in polygons])
    vertices[:, 1] -= 1.5  # the published model has its origin inside the head
    _write_flame(folder / "generic_model.pkl", vertices, faces)
    return folder


@pytest.fixture
def tiny_flame_folder(tmp_path: Path) -> Path:
    """A folder in FLAME's format that needs no asset: a curved grid of 8 x 8 vertices."""
    steps = np.linspace(-0.08, 0.08, 8)
    x, y = np.meshgrid(steps, steps)
    vertices = np.stack([x, y, 0.05 - 4 * (x**2 + y**2)], axis=-1).reshape(-1, 3)
    corner = (np.arange(7)[:, None] * 8 + np.arange(7)).reshape(-1)
    faces = np.concatenate(
        [np.stack([corner, corner + 1, corner + 9], 1), np.stack([corner, corner + 9, corner + 8], 1)]
    )
    _write_flame(tmp_path / "generic_model.pkl", vertices, faces)
    uv = (vertices[:, :2] + 0.08) / 0.16
    lines = [f"v {a:.6f} {b:.6f} {c:.6f}" for a, b, c in vertices] + [f"vt {u:.6f} {v:.6f}" for u, v in uv]
    lines += ["f " + " ".join(f"{i + 1}/{i + 1}" for i in face) for face in faces]
    (tmp_path / "head_template.obj").write_text("\n".join(lines))
    rng = np.random.default_rng(0)

    def points(*shape: int) -> tuple[np.ndarray, np.ndarray]:
        return rng.integers(0, len(faces), shape), rng.dirichlet(np.ones(3), shape)

    embedding = {}
    for name, shape in (("static", (51,)), ("dynamic", (79, 17)), ("full", (1, 68))):
        embedding[f"{name}_lmk_faces_idx"], embedding[f"{name}_lmk_bary_coords"] = points(*shape)
    np.save(tmp_path / "landmark_embedding.npy", np.array(embedding, dtype=object), allow_pickle=True)
    return tmp_path


def _write_flame(path: Path, vertices: np.ndarray, faces: np.ndarray, **changes: Any) -> Path:
    """Write smooth random bases on the given topology; ``changes`` replaces entries, None removes them."""
    fakes = {name: ModuleType(name) for name in ("chumpy", "chumpy.ch", "scipy.sparse.csc")}
    chumpy_array = type("Ch", (), {"__module__": "chumpy.ch"})
    sparse = type("csc_matrix", (), {"__module__": "scipy.sparse.csc"})
    fakes["chumpy.ch"].Ch = chumpy_array  # type: ignore[attr-defined]
    fakes["scipy.sparse.csc"].csc_matrix = sparse  # type: ignore[attr-defined]
    regressor: Any = sparse()
    regressor.__dict__ |= _joint_regressor(vertices)
    rng = np.random.default_rng(7)
    content = {
        "v_template": _chumpy(chumpy_array, vertices),
        "shapedirs": _chumpy(chumpy_array, _smooth_fields(vertices, 400, rng) * 0.004),
        "posedirs": _smooth_fields(vertices, 36, rng) * 0.001,
        "J_regressor": regressor,
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.uint32),
        "weights": _skinning(vertices),
        "f": faces.astype(np.uint32),
        "bs_style": "lbs",
        "bs_type": "lrotmin",
    } | changes
    content = {key: value for key, value in content.items() if value is not None}
    before = {name: sys.modules.get(name) for name in fakes}
    sys.modules.update(fakes)
    try:
        with open(path, "wb") as file:
            Python2Pickler(file, protocol=2).dump(content)
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
    return path


def _chumpy(kind: type, numbers: np.ndarray) -> Any:
    value = kind()
    value.__dict__ |= {"x": numbers, "_dirty_vars": set(), "_itr": None}
    return value


def _smooth_fields(vertices: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    waves = rng.normal(size=(count, 3)) * 12
    phase = rng.uniform(0, 2 * np.pi, count)
    direction = rng.normal(size=(3, count))
    return np.sin(vertices @ waves.T + phase)[:, None, :] * direction[None]


def _joint_regressor(vertices: np.ndarray) -> dict[str, Any]:
    """The state of a scipy csc matrix (5, V): each joint is the mean of the 8 vertices next to its place."""
    eye = [0.03, 0.03, 0.05]
    places = np.array([[0, -0.15, 0], [0, -0.05, -0.03], [0, -0.01, 0.0], eye, [-eye[0], *eye[1:]]])
    dense = np.zeros((5, len(vertices)))
    for joint, place in enumerate(places):
        dense[joint, np.argsort(((vertices - place) ** 2).sum(1))[:8]] = 1 / 8
    column, row = np.nonzero(dense.T)
    counts = np.bincount(column, minlength=len(vertices))
    return {
        "_shape": dense.shape,
        "maxprint": 50,
        "data": dense[row, column],
        "indices": row.astype(np.int32),
        "indptr": np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
    }


def _skinning(vertices: np.ndarray) -> np.ndarray:
    x, y, z = vertices.T
    jaw = 1 / (1 + np.exp((y + 0.05) * 200)) * (z > 0)
    neck = (1 - jaw) / (1 + np.exp(-(y + 0.1) * 100))
    return np.stack([1 - jaw - neck, neck, jaw, 0 * x, 0 * x], axis=1)
