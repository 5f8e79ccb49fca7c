"""Read ICT-FaceKit's folder of about 150 OBJ files of 4 MB each, and cache its arrays in one file.

Source of the format: the published ``FaceXModel`` folder (Li et al. 2020, "Learning formation of
physically-based face attributes"). Its lengths are in centimetres.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deca_model.files.obj import read_obj, read_obj_vertices
from manifests.errors import UsageError
from manifests.files import atomic_path

NEUTRAL_FILE, INDEX_FILE = "generic_neutral_mesh.obj", "vertex_indices.json"
_METRES = 0.01
_VERSION = 1  # version of the cache's layout


@dataclass(frozen=True)
class IctModel:
    """ICT-FaceKit as published, in metres."""

    neutral: np.ndarray  # (V, 3) float32
    uv: np.ndarray  # (T, 2) float32; one unit tile of the plane per material
    faces: np.ndarray  # (F, 3) int64
    uv_faces: np.ndarray  # (F, 3) int64
    materials: np.ndarray  # (F,) str
    identity: np.ndarray  # (N, V, 3) float32, offsets
    expression: np.ndarray  # (M, V, 3) float32, offsets
    expression_names: np.ndarray  # (M,) str
    landmarks: np.ndarray  # (68,) int64: vertices, iBUG order


def read_ict(folder: Path, cache: Path | None = None) -> IctModel:
    """Read the folder, or its cached arrays while its files are unchanged.

    Args:
        folder: ``FaceXModel``, or the folder that holds it.
        cache: A folder to cache the arrays in; None caches nothing.

    Raises:
        UsageError: The folder or one of its files is missing or damaged.
    """
    folder = folder if (folder / NEUTRAL_FILE).is_file() else folder / "FaceXModel"
    if not (folder / NEUTRAL_FILE).is_file():
        raise UsageError(f"{folder.parent} holds no {NEUTRAL_FILE}: give ICT-FaceKit's FaceXModel folder")
    kept = cache / f"ict-{_fingerprint(folder)}.npz" if cache else None
    if kept is not None and kept.is_file():
        with np.load(kept, allow_pickle=False) as arrays:
            return IctModel(**dict(arrays))
    model = _read_folder(folder)
    if kept is not None:
        with atomic_path(kept) as temporary:
            np.savez(temporary, **vars(model))
    return model


def _read_folder(folder: Path) -> IctModel:
    mesh = read_obj(folder / NEUTRAL_FILE)
    if not len(mesh.uv_faces):
        raise UsageError(f"{folder / NEUTRAL_FILE} has no texture coordinates: download the file again")
    names, landmarks = _read_index(folder / INDEX_FILE, len(mesh.vertices))
    identities = sorted(folder.glob("identity[0-9]*.obj"))
    if not identities:
        raise UsageError(f"{folder} holds no identity*.obj files: download ICT-FaceKit's light model again")
    neutral = mesh.vertices * _METRES
    return IctModel(
        neutral=neutral.astype(np.float32),
        uv=mesh.uv,
        faces=mesh.faces,
        uv_faces=mesh.uv_faces,
        materials=mesh.materials,
        identity=np.stack([_offsets(path, neutral) for path in identities]),
        expression=np.stack([_offsets(folder / f"{name}.obj", neutral) for name in names]),
        expression_names=np.array(names),
        landmarks=landmarks,
    )


def _offsets(path: Path, neutral: np.ndarray) -> np.ndarray:  # (V, 3)
    vertices = read_obj_vertices(path)
    if vertices.shape != neutral.shape:
        found = f"{path} has {len(vertices)} vertices, not {len(neutral)}"
        raise UsageError(f"{found}: use files of the same model as {NEUTRAL_FILE}")
    return (vertices * _METRES - neutral).astype(np.float32)


def _read_index(path: Path, vertices: int) -> tuple[list[str], np.ndarray]:
    """Names of the expressions, and the landmark vertices."""
    try:
        index = json.loads(path.read_text())
        names = [str(name) for name in index["expressions"]]
        landmarks = np.array(index["idx_to_landmark_verts"], np.int64)
    except OSError as error:
        raise UsageError(
            f"cannot read {path} ({error.strerror}): download ICT-FaceKit's file again"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is not ICT-FaceKit's index ({error}): download the file again") from error
    if landmarks.shape != (68,) or landmarks.min() < 0 or landmarks.max() >= vertices:
        raise UsageError(f"{path} does not name 68 landmark vertices of the mesh: download the file again")
    return names, landmarks


def _fingerprint(folder: Path) -> str:
    """A hash that changes when a file of the folder changes its name, size or time."""
    files = [path for path in sorted(folder.iterdir()) if path.suffix in (".obj", ".json")]
    lines = [f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files]
    return hashlib.sha256("\n".join([str(_VERSION), *lines]).encode()).hexdigest()[:16]
