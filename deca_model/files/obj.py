"""Reading and writing Wavefront OBJ meshes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from manifests.errors import UsageError
from manifests.files import read_file, require_file, write_atomic


@dataclass(frozen=True)
class ObjMesh:
    """A triangle mesh; polygons are split into triangle fans."""

    vertices: np.ndarray  # (V, 3) float32
    uv: np.ndarray  # (T, 2) float32, v up
    faces: np.ndarray  # (F, 3) int64
    uv_faces: np.ndarray  # (F, 3) int64; empty (0, 3) if the file has no texture coordinates
    materials: np.ndarray  # (F,) str: the material of each triangle, "" if none


def read_obj(path: Path) -> ObjMesh:
    """Read vertices, texture coordinates, faces and the faces' materials.

    Raises:
        UsageError: The file is missing or is no OBJ.
    """
    vertices: list[list[float]] = []
    uv: list[list[float]] = []
    corners: list[tuple[int, int]] = []  # three per triangle: vertex, texture vertex (0 if none)
    materials: list[str] = []
    material = ""
    try:
        with open(require_file(path), encoding="utf-8", errors="replace") as file:
            for line in file:
                kind, _, rest = line.partition(" ")
                if kind == "v":
                    vertices.append([float(number) for number in rest.split()[:3]])
                elif kind == "vt":
                    uv.append([float(number) for number in rest.split()[:2]])
                elif kind == "usemtl":
                    material = rest.strip()
                elif kind == "f":
                    polygon = [_corner(word) for word in rest.split()]
                    for second in range(1, len(polygon) - 1):
                        corners += [polygon[0], polygon[second], polygon[second + 1]]
                        materials.append(material)
    except OSError as error:
        raise UsageError(f"cannot read {path} ({error.strerror}): check the path") from error
    except ValueError as error:
        raise UsageError(f"{path} is not a plain OBJ mesh ({error}): download the file again") from error
    if not vertices or not corners:
        raise UsageError(f"{path} holds no mesh: download the file again")
    index = np.array(corners, np.int64).reshape(-1, 3, 2) - 1
    uv_faces = index[..., 1] if uv and index[..., 1].min() >= 0 else np.empty((0, 3), np.int64)
    return ObjMesh(
        np.array(vertices, np.float32),
        np.array(uv, np.float32).reshape(-1, 2),
        index[..., 0],
        uv_faces,
        np.array(materials),
    )


def read_obj_vertices(path: Path) -> np.ndarray:  # (V, 3) float32
    """Read only the vertices, which is several times faster.

    Raises:
        UsageError: The file is missing or is no OBJ.
    """
    try:
        lines = [line[2:] for line in read_file(path).splitlines() if line.startswith(b"v ")]
        return np.array(b" ".join(lines).split(), dtype=np.float32).reshape(len(lines), -1)[:, :3]
    except OSError as error:
        raise UsageError(f"cannot read {path} ({error.strerror}): check the path") from error
    except ValueError as error:
        raise UsageError(f"{path} is not a plain OBJ mesh ({error}): download the file again") from error


def _corner(word: str) -> tuple[int, int]:
    parts = word.split("/")
    vertex, texture = int(parts[0]), int(parts[1]) if len(parts) > 1 and parts[1] else 0
    if vertex < 1 or texture < 0:
        raise ValueError("relative indices")
    return vertex, texture


def write_obj(
    path: Path,
    vertices: np.ndarray,  # (V, 3)
    faces: np.ndarray,  # (F, 3)
    colours: np.ndarray | None = None,  # (V, 3) RGB in [0, 1]
    uv: np.ndarray | None = None,  # (T, 2), v up
    uv_faces: np.ndarray | None = None,  # (F, 3)
    head: str = "",
) -> None:
    """Write a mesh atomically, after the lines of ``head``.

    Colours follow the coordinates in the vertex lines, as MeshLab reads them.
    """
    rows = vertices if colours is None else np.concatenate([vertices, colours.clip(0, 1)], axis=1)
    lines = [("v" + " {:.6f}" * rows.shape[1]).format(*row) for row in rows.tolist()]
    if uv is None or uv_faces is None:
        lines += ["f {} {} {}".format(*face) for face in (faces + 1).tolist()]
    else:
        lines += ["vt {:.6f} {:.6f}".format(*row) for row in uv.tolist()]
        both = np.stack([faces + 1, uv_faces + 1], axis=2).reshape(-1, 6)
        lines += ["f {}/{} {}/{} {}/{}".format(*face) for face in both.tolist()]
    write_atomic(path, (head + "\n".join(lines) + "\n").encode())
