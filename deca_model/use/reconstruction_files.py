"""Writing a reconstruction: meshes with texture, codes, pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d, normalize

from deca_model.files.obj import write_obj
from deca_model.files.png import write_png
from deca_model.networks.codes import Codes
from deca_model.networks.model import Deca
from deca_model.networks.pictures import as_uint8, draw_landmarks, shape_pictures, textured_pictures
from deca_model.render.light import shade
from deca_model.render.normals import vertex_normals
from deca_model.use.dense_mesh import dense_topology
from deca_model.use.inference import Reconstruction
from manifests.files import atomic_path, require_file, write_atomic

_MARK = (250, 70, 60)


@torch.no_grad()
def save_reconstruction(model: Deca, found: Reconstruction, names: list[str], out: Path) -> list[Path]:
    """Write, for each face, ``NAME.obj`` with its material and texture, codes, and pictures.

    ``NAME.npz`` holds the codes by name and the crop. ``NAME.png`` shows photo, landmarks, shape and textured
    head side by side. With details, ``NAME_detail.obj`` is the dense mesh with colours.

    Returns:
        The written files, in order.
    """
    texture = photo_texture(model, found)
    grids = _pictures(model, found)
    written = []
    for n, name in enumerate(names):
        mesh = out / f"{name}.obj"
        vertices = found.posed.head.vertices[n].cpu().numpy()
        write_textured_obj(model, mesh, vertices, texture[n])
        write_codes(out / f"{name}.npz", found.posed.codes, n, found)
        write_png(out / f"{name}.png", grids[n])
        written += [mesh, mesh.with_suffix(".npz"), mesh.with_suffix(".png")]
        if found.displacement is not None:
            dense = out / f"{name}_detail.obj"
            write_dense_obj(model, dense, found, n, texture[n])
            written.append(dense)
    return written


def photo_texture(model: Deca, found: Reconstruction) -> Tensor:  # (B, 3, U, U)
    """The photo's colours where the face is visible, the model's albedo under its light elsewhere.

    Near the rim of the visible area the two are blended, and the model's colours are scaled to the photo's
    mean over the visible area, so that no seam shows.
    """
    posed = found.posed
    normals = model.layout.from_vertices(vertex_normals(posed.head.vertices, model.head.faces))
    shading = shade(normalize(normals, dim=1).permute(0, 2, 3, 1), posed.codes.light).permute(0, 3, 1, 2)
    drawn = model.albedo(posed.codes.texture) * shading
    seen = model.surface.visible(posed.head.vertices, posed.vertices, found.covered)
    photo = model.layout.from_image(found.photos, posed.vertices)
    tone = (photo * seen).sum(dim=(2, 3)) / (drawn * seen).sum(dim=(2, 3)).clamp(min=1e-3)
    share = feathered(seen)
    return (photo * share + drawn * tone[:, :, None, None] * (1 - share)).clamp(0, 1)


def feathered(seen: Tensor) -> Tensor:  # (B, 1, U, U), 0 to 1
    """``seen``, smoothly falling to 0 towards its outer rim, over a sixteenth of the map's side.

    Holes inside it, such as eyes and mouth, keep sharp rims, because there is visible face all around them.
    """
    reach = max(1, seen.shape[-1] // 16)
    side = 2 * reach + 1
    closed = -max_pool2d(-max_pool2d(seen, side, 1, reach), side, 1, reach)
    inside = avg_pool2d(avg_pool2d(closed, side, 1, reach), side, 1, reach)  # 1/2 at a straight rim
    depth = (2 * inside - 1).clamp(0, 1)
    return seen * depth.square() * (3 - 2 * depth)


def write_textured_obj(model: Deca, path: Path, vertices: np.ndarray, texture: Tensor) -> None:
    """Write a head (V, 3) as OBJ, with a material and a PNG texture (3, U, U) beside it."""
    head = model.head
    name = path.stem
    write_png(path.with_name(f"{name}_texture.png"), as_uint8(texture[None])[0])
    material = f"newmtl face\nKa 1 1 1\nKd 1 1 1\nKs 0 0 0\nmap_Kd {name}_texture.png\n"
    write_atomic(path.with_suffix(".mtl"), material.encode())
    faces, uv, uv_faces = (t.cpu().numpy() for t in (head.faces, head.uv, head.uv_faces))
    write_obj(path, vertices, faces, uv=uv, uv_faces=uv_faces)
    body = path.read_text(encoding="utf-8")
    write_atomic(path, f"mtllib {name}.mtl\nusemtl face\n{body}".encode())


def write_dense_obj(model: Deca, path: Path, found: Reconstruction, n: int, texture: Tensor) -> None:
    """Write the mesh of all texels, with the displacement and a colour per vertex."""
    assert found.displacement is not None
    vertices = found.posed.head.vertices[n : n + 1]
    points, _ = model.surface.points(found.displacement[n : n + 1], vertices)
    topology = dense_topology(model.layout, model.head.uv_faces.cpu().numpy())
    colours = topology.vertices(texture.cpu().numpy())
    write_obj(path, topology.vertices(points[0].cpu().numpy()), topology.faces, colours)


def write_codes(path: Path, codes: Codes, n: int, found: Reconstruction) -> None:
    """Write the codes of one face by name, with the crop's centre and side in pixels of the photo."""
    arrays = {name: value[n].cpu().numpy() for name, value in zip(Codes._fields, codes, strict=True)}
    square = found.squares[n]
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays, crop=np.array([*square.center, square.side]))


def read_codes(path: Path) -> Codes:
    """Read the file of ``write_codes`` as a batch of one.

    Raises:
        UsageError: the file is missing or holds no codes.
    """
    from manifests.errors import UsageError

    try:
        with np.load(require_file(path), allow_pickle=False) as file:
            return Codes(*(torch.from_numpy(file[name][None]) for name in Codes._fields))
    except (OSError, KeyError, ValueError) as error:
        raise UsageError(
            f"{path}: this is no file of codes ({error}); make one with `deca reconstruct`."
        ) from error


def _pictures(model: Deca, found: Reconstruction) -> list[np.ndarray]:
    """Photo, landmarks, shape, textured head (and detailed shape) side by side; one image per face."""
    photos = as_uint8(found.photos)
    columns = [as_uint8(shape_pictures(model, found.posed, found.photos))]
    columns.append(as_uint8(textured_pictures(model, found.posed, found.photos)))
    if found.displacement is not None:
        columns.append(as_uint8(shape_pictures(model, found.posed, found.photos, found.displacement)))
    points = found.posed.landmarks.cpu().numpy()
    rows = []
    for n, photo in enumerate(photos):
        marked = draw_landmarks(cv2.resize(photo, None, fx=2, fy=2), points[n], _MARK)
        plain = cv2.resize(photo, None, fx=2, fy=2)
        others = [cv2.resize(column[n], None, fx=2, fy=2) for column in columns]
        rows.append(np.concatenate([plain, marked, *others], axis=1))
    return rows
