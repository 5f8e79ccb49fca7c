"""Meshes of one face as GLB, OBJ and PLY: metres, y up, the face to +z, turned as in the photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from deca_model.files.obj import write_obj
from deca_model.networks.model import Deca
from deca_model.networks.pictures import as_uint8
from deca_model.render.normals import vertex_normals
from deca_model.use.dense_mesh import dense_mesh
from deca_model.use.detail_maps import normals_as_uint8, tangent_normals
from deca_model.use.inference import Reconstruction
from manifests.errors import UsageError
from manifests.files import write_atomic

FORMATS = ("glb", "obj", "ply")


@dataclass(frozen=True)
class TexturedMesh:
    """A triangle mesh with a texture."""

    vertices: np.ndarray  # (V, 3) metres
    normals: np.ndarray  # (V, 3) unit
    faces: np.ndarray  # (F, 3) int64
    uv: np.ndarray  # (T, 2), v up
    uv_faces: np.ndarray  # (F, 3) int64
    texture: np.ndarray  # (H, W, 3) uint8 RGB
    normal_map: np.ndarray | None = None  # (U, U, 3) uint8, see detail_maps.tangent_normals


def check_formats(names: Sequence[str]) -> tuple[str, ...]:
    """The formats, each once.

    Raises:
        UsageError: one is unknown, or there is none.
    """
    kept = tuple(dict.fromkeys(name.strip().lower().lstrip(".") for name in names if name.strip()))
    unknown = [name for name in kept if name not in FORMATS]
    if unknown or not kept:
        what = f"there is no mesh format '{unknown[0]}'" if unknown else "no mesh format is named"
        raise UsageError(f"--formats: {what}; choose from {', '.join(FORMATS)}.")
    return kept


@torch.no_grad()
def coarse_mesh(model: Deca, found: Reconstruction, n: int, texture: Tensor) -> TexturedMesh:
    """The head of face ``n`` with its texture (3, T, T); the details, if any, are in the normal map."""
    head = model.head
    vertices = found.posed.head.vertices[n : n + 1]
    normals = vertex_normals(vertices, head.faces)
    relief = None
    if found.displacement is not None:
        maps = tangent_normals(model, vertices, found.displacement[n : n + 1])
        relief = normals_as_uint8(maps[0].cpu().numpy())
    return TexturedMesh(
        _array(vertices[0]),
        _array(normals[0]),
        _array(head.faces),
        _array(head.uv),
        _array(head.uv_faces),
        as_uint8(texture[None])[0],
        relief,
    )


@torch.no_grad()
def detailed_mesh(model: Deca, found: Reconstruction, n: int, texture: Tensor) -> TexturedMesh:
    """The dense mesh of face ``n``, moved by its displacement."""
    assert found.displacement is not None
    dense = dense_mesh(model.head, model.layout)
    moves = (found.displacement[n : n + 1] * model.surface.region)[0]
    points = dense.surface(found.posed.head.vertices[n], model.head.faces, moves)
    normals = vertex_normals(points[None], dense.faces)[0]
    return TexturedMesh(
        _array(points),
        _array(normals),
        _array(dense.faces),
        _array(dense.uv),
        _array(dense.uv_faces),
        as_uint8(texture[None])[0],
    )


def write_mesh(path: Path, mesh: TexturedMesh, formats: Sequence[str], texture: str) -> list[Path]:
    """Write a mesh in each format, each file completely or not at all.

    Args:
        path: the files' path without an ending.
        mesh: the mesh.
        formats: of ``FORMATS``. A GLB holds its texture, a PLY has a colour at each vertex, an OBJ has a
            material (.mtl) that names the texture.
        texture: name of the texture's PNG beside the mesh, for OBJ.

    Returns:
        The written files.
    """
    written = []
    for name in formats:
        target = path.with_name(f"{path.name}.{name}")
        written.append(target)
        if name == "glb":
            write_atomic(target, glb_bytes(mesh))
        elif name == "ply":
            write_atomic(target, ply_bytes(mesh))
        else:
            material = f"newmtl face\nKa 1 1 1\nKd 1 1 1\nKs 0 0 0\nmap_Kd {texture}\n"
            write_atomic(path.with_name(f"{path.name}.mtl"), material.encode())
            head = f"mtllib {path.name}.mtl\nusemtl face\n# metres, y up, the face to +z\n"
            write_obj(target, mesh.vertices, mesh.faces, uv=mesh.uv, uv_faces=mesh.uv_faces, head=head)
    return written


def glb_bytes(mesh: TexturedMesh) -> bytes:
    """A binary glTF 2.0 file with its pictures; the material is matt, as the photo has the light."""
    import trimesh
    from trimesh.exchange.gltf import export_glb
    from trimesh.visual import TextureVisuals
    from trimesh.visual.material import PBRMaterial

    vertex = np.zeros(len(mesh.uv), np.int64)  # glTF has one index a corner: seams are doubled
    vertex[mesh.uv_faces] = mesh.faces
    relief = None if mesh.normal_map is None else Image.fromarray(mesh.normal_map)
    material = PBRMaterial(
        name="face",
        baseColorTexture=Image.fromarray(mesh.texture),
        normalTexture=relief,
        metallicFactor=0.0,
        roughnessFactor=1.0,
    )
    solid = trimesh.Trimesh(
        mesh.vertices[vertex],
        mesh.uv_faces,
        vertex_normals=mesh.normals[vertex],
        visual=TextureVisuals(uv=mesh.uv, material=material),
        process=False,
    )
    return bytes(export_glb(trimesh.Scene({"head": solid}), include_normals=True))


def ply_bytes(mesh: TexturedMesh) -> bytes:
    """A binary PLY with a colour at each vertex; at a seam, that of one side."""
    import trimesh
    from trimesh.exchange.ply import export_ply

    solid = trimesh.Trimesh(
        mesh.vertices,
        mesh.faces,
        vertex_colors=vertex_colours(mesh),
        vertex_normals=mesh.normals,
        process=False,
    )
    return bytes(export_ply(solid, encoding="binary", vertex_normal=True))


def vertex_colours(mesh: TexturedMesh) -> np.ndarray:  # (V, 3) uint8
    """The texture's colour at each vertex; at a seam, that of one side."""
    uv = np.zeros((len(mesh.vertices), 2), np.float32)
    uv[mesh.faces] = mesh.uv[mesh.uv_faces]
    height, width = mesh.texture.shape[:2]
    x, y = uv[:, 0] * width - 0.5, (1 - uv[:, 1]) * height - 0.5
    columns = 8192  # OpenCV's pictures have at most 32767 columns
    rows = -(-len(x) // columns)
    x, y = (np.resize(each, rows * columns).reshape(rows, columns).astype(np.float32) for each in (x, y))
    found = cv2.remap(mesh.texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return found.reshape(-1, 3)[: len(uv)]


def _array(values: Tensor) -> np.ndarray:
    return values.cpu().numpy()
