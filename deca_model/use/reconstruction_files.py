"""Writing a reconstruction: meshes, textures and maps, codes, landmarks, and a picture."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deca_model.files.png import write_png
from deca_model.networks.codes import Codes
from deca_model.networks.model import Deca
from deca_model.networks.pictures import as_uint8
from deca_model.use.detail_maps import (
    DEPTH_STEP,
    DISPLACEMENT_STEP,
    as_steps,
    depth_maps,
    normals_as_uint8,
    tangent_normals,
)
from deca_model.use.face_pictures import face_pictures
from deca_model.use.inference import SHARP_SIZE, Reconstruction
from deca_model.use.mesh_files import coarse_mesh, detailed_mesh, write_mesh
from deca_model.use.photo_texture import albedo_maps, photo_texture
from manifests.array_files import NotArrays, read_arrays
from manifests.errors import UsageError
from manifests.files import atomic_path, write_atomic
from manifests.machine_faults import stop_at_machine_fault

ENDINGS = ("_detail", "_texture", "_albedo", "_displacement", "_normals", "_depth")
"""What is added to a face's name in the names of its files."""

LONGEST_NAME = 80
"""Characters of a head's name that are read."""

_SHAPES = {
    "pose": (6,),
    "eyes": (6,),
    "camera": (3,),
    "light": (9, 3),
}  # of codes; the others have any number of modes


@dataclass(frozen=True)
class Outputs:
    """What is written for each face.

    Attributes:
        formats: of the meshes, some of ``mesh_files.FORMATS``.
        depth: whether to write the depth map.
    """

    formats: tuple[str, ...] = ("glb", "obj")
    depth: bool = False


@torch.no_grad()
def save_reconstruction(
    model: Deca, found: Reconstruction, names: list[str], out: Path, outputs: Outputs | None = None
) -> list[Path]:
    """Write the files of each face.

    The meshes are in metres, y up, the face to +z, turned as in the photo. With a face's NAME:

    - NAME.glb, .obj (with .mtl), .ply: the head. With details, NAME_detail.* is the dense mesh.
    - NAME.png: photo, landmarks, shape, shape with details, and the textured head from two other sides.
    - NAME_texture.png: the photo's colours on the head; NAME_albedo.png: the skin's colour without light.
    - With details, NAME_displacement.png: 16-bit, metres are (number - 32768) * 1e-6; NAME_normals.png: the
      details as a normal map in tangent space.
    - With ``outputs.depth``, NAME_depth.png: 16-bit, z in head space over the crop at 512 pixels; metres are
      (number - 32768) * 1e-5, larger is nearer, and 0 is beside the head.
    - NAME.npz and NAME.json: codes, crop and landmarks.

    Returns:
        The written files, in order.
    """
    outputs = outputs or Outputs()
    texture = photo_texture(model, found)
    pictures = face_pictures(model, found, texture)
    albedo = as_uint8(albedo_maps(model, found.posed.codes.texture))
    depth = depth_maps(model, found, SHARP_SIZE).cpu().numpy() if outputs.depth else None
    written = []
    for n, name in enumerate(names):
        place = out / name
        written += write_meshes(model, found, n, texture[n], place, outputs.formats)
        written += write_codes(_named(place, ".npz"), found.posed.codes, n, found, model.head.name)
        maps = {".png": pictures[n], "_albedo.png": albedo[n], **_detail_maps(model, found, n)}
        if depth is not None:
            maps["_depth.png"] = as_steps(depth[n], DEPTH_STEP)
        for ending, picture in maps.items():
            write_png(_named(place, ending), picture)
            written.append(_named(place, ending))
    return written


def write_meshes(
    model: Deca, found: Reconstruction, n: int, texture: Tensor, place: Path, formats: tuple[str, ...]
) -> list[Path]:
    """Write the head of face ``n`` and its dense mesh in each format, and the texture (3, T, T) beside them.

    Args:
        model: any model; with ``found.displacement`` the dense mesh is written too.
        found: faces.
        n: which one.
        texture: the texture of this face, see ``photo_texture``.
        place: the files' path without an ending.
        formats: of ``mesh_files.FORMATS``.

    Returns:
        The written files.
    """
    picture = _named(place, "_texture.png")
    write_png(picture, as_uint8(texture[None])[0])
    written = write_mesh(place, coarse_mesh(model, found, n, texture), formats, picture.name)
    if found.displacement is not None:
        dense = detailed_mesh(model, found, n, texture)
        written += write_mesh(_named(place, "_detail"), dense, formats, picture.name)
    return [*written, picture]


def write_codes(path: Path, codes: Codes, n: int, found: Reconstruction, head: str) -> list[Path]:
    """Write the codes of one face by name as .npz and .json, with crop, landmarks and the head's name."""
    square = found.squares[n]
    arrays = {name: value[n].cpu().numpy() for name, value in zip(Codes._fields, codes, strict=True)}
    extra = {
        "crop": np.array([*square.center, square.side]),
        "landmarks": found.landmarks()[n],
        "landmarks_3d": found.posed.head.landmarks_3d[n].cpu().numpy(),
        "eyes": np.zeros(6, np.float32) if found.posed.eyes is None else found.posed.eyes[n].cpu().numpy(),
    }
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays, **extra, head=np.array(head))
    told: dict[str, Any] = {"head": head, "units": _UNITS}
    told |= {name: np.round(value.astype(float), 6).tolist() for name, value in (arrays | extra).items()}
    write_atomic(path.with_name(f"{path.stem}.json"), (json.dumps(told, indent=1) + "\n").encode())
    return [path, path.with_name(f"{path.stem}.json")]


_UNITS = {
    "vertices": "metres, y up, the face to +z",
    "pose": "radians: axis-angle of the head, then of the jaw",
    "eyes": "radians: axis-angle of the left eye, then of the right one, from straight ahead",
    "camera": "scale, tx, ty: pixel x = crop_x + crop_side / 2 * scale * (x + tx); "
    "pixel y = crop_y - crop_side / 2 * scale * (y + ty)",
    "crop": "centre x, y and side in pixels of the photo, pixel centres at integers",
    "landmarks": "iBUG 68, pixels of the photo",
    "landmarks_3d": "metres in head space",
    "displacement": f"metres = (number - 32768) * {DISPLACEMENT_STEP}",
    "depth": f"metres = (number - 32768) * {DEPTH_STEP}, 0 beside the head",
}


def read_codes(path: Path) -> Codes:
    """Read the file of ``write_codes`` as a batch of one.

    Raises:
        UsageError: the file is missing or holds no codes.
    """
    arrays = _read(path, Codes._fields)
    try:
        return Codes(*(_code(name, arrays) for name in Codes._fields))
    except NotArrays as error:
        raise _no_codes(path, error) from error


def read_eyes(path: Path) -> Tensor:  # (1, 6)
    """The turns of the eyes in the file of ``write_codes``; zeros where it has none.

    Raises:
        UsageError: the file is missing or damaged.
    """
    arrays = _read(path, ("eyes",))
    try:
        return _code("eyes", arrays) if "eyes" in arrays else torch.zeros(1, 6)
    except NotArrays as error:
        raise _no_codes(path, error) from error


def read_head_name(path: Path) -> str:
    """The name of the head in the file of ``write_codes``, or "" where it has none.

    Raises:
        UsageError: the file is missing or damaged.
    """
    return str(_read(path, ("head",)).get("head", ""))[:LONGEST_NAME]


def _read(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    try:
        return read_arrays(path, names)
    except (OSError, NotArrays) as error:
        stop_at_machine_fault(error)
        raise _no_codes(path, error) from error


def _no_codes(path: Path, error: Exception) -> UsageError:
    why = error.strerror if isinstance(error, OSError) else error
    return UsageError(f"{path}: this is no file of codes ({why}); make one with `deca reconstruct`.")


def _code(name: str, arrays: dict[str, np.ndarray]) -> Tensor:  # (1, N) or (1, 9, 3) float32
    if name not in arrays:
        raise NotArrays(f"it has no '{name}'")
    values = arrays[name]
    if values.dtype.kind not in "fiu":
        raise NotArrays(f"'{name}' in it has no numbers")
    shape = _SHAPES.get(name, (values.size,))
    if values.shape != shape:
        raise NotArrays(f"'{name}' in it has the shape {values.shape}, not {shape}")
    with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite
        values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise NotArrays(f"'{name}' in it has numbers that are not finite")
    return torch.from_numpy(values)[None]


def _detail_maps(model: Deca, found: Reconstruction, n: int) -> dict[str, np.ndarray]:
    if found.displacement is None:
        return {}
    one = found.displacement[n : n + 1]
    metres = (one * model.surface.region)[0, 0].cpu().numpy()
    normals = tangent_normals(model, found.posed.head.vertices[n : n + 1], one)[0].cpu().numpy()
    return {
        "_displacement.png": as_steps(metres, DISPLACEMENT_STEP),
        "_normals.png": normals_as_uint8(normals),
    }


def _named(place: Path, ending: str) -> Path:
    return place.with_name(place.name + ending)
