"""Build step 5a: several faces in; the positions of detected points on the mean face out.

Several faces are rendered with plain shading from several sides. MediaPipe's FaceMesh detects its points in
the images. They, or the 68 landmarks by the map that photos go through, are projected back onto the mesh: so
the landmarks of the head mean the same as those of photos. The result is the mean over faces and sides.
MediaPipe is used only here, when the head is built; the finished head does not need it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from deca_model.heads.building.mesh import Cut
from deca_model.heads.rotations import axis_angle_to_matrix
from deca_model.render.camera import project, to_pixels
from deca_model.render.normals import vertex_normals
from deca_model.render.rasterize import interpolate, rasterize

YAWS = (-30, -15, 0, 15, 30)
SIZE = 512
SCALE = 7.0
"""Camera scale of the images: normalised units per metre."""
LIGHT = (0, 0.5, 0.85)
"""From above and in front; light from one side would pull the detected jaw line to the shadow's edge."""
PointsOf = Callable[[np.ndarray], np.ndarray]
"""From FaceMesh's (478, 3) points, in pixels, to (N, 2) points in the same image."""
SKIN, LIPS, SCLERA, IRIS = (205, 160, 138), (170, 100, 95), (225, 225, 225), (60, 45, 35)


def paint(cut: Cut, mean: np.ndarray) -> np.ndarray:
    """(V, 3) colours of skin, lips, and eyes with a dark iris, so that FaceMesh detects a face."""
    colours = np.tile(np.array(SKIN, np.float32), (len(mean), 1))
    colours[cut.lips] = LIPS
    for ball in cut.eyeball.values():
        centre = mean[ball].mean(axis=0)
        ahead = (mean[ball] - centre)[:, 2] / np.linalg.norm(mean[ball] - centre, axis=1)
        colours[ball] = np.where((ahead > np.cos(np.deg2rad(21)))[:, None], IRIS, SCLERA)
    return colours


def picture(
    vertices: np.ndarray, faces: np.ndarray, colours: np.ndarray, yaw: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Render a head rotated by ``yaw`` degrees.

    Returns:
        (S, S, 3) uint8 image; (S, S) visible triangle or -1; (V, 2) vertices in pixels.
    """
    turn = axis_angle_to_matrix(torch.tensor([0, np.deg2rad(yaw), 0], dtype=torch.float64))
    points = torch.from_numpy(vertices)[None].double() @ turn.T
    camera = torch.tensor([[SCALE, 0.0, 0.02]], dtype=torch.float64)
    triangles = torch.from_numpy(faces)
    projected = project(points, camera)
    fragments = rasterize(projected, triangles, SIZE)
    shade = torch.cat([vertex_normals(points, triangles), torch.from_numpy(colours)[None].double()], dim=-1)
    values = interpolate(fragments, shade[:, triangles])[0].numpy()
    normal = values[..., :3] / np.maximum(np.linalg.norm(values[..., :3], axis=-1, keepdims=True), 1e-9)
    light = 0.4 + 0.6 * np.clip(normal @ LIGHT / np.linalg.norm(LIGHT), 0, 1)
    index = fragments.face_index[0].numpy()
    image = np.where(index[..., None] >= 0, np.clip(values[..., 3:] * light[..., None], 0, 255), 90)
    return image.astype(np.uint8), index, to_pixels(projected, SIZE)[0].numpy()


def every_point(mesh: np.ndarray) -> np.ndarray:
    """(478, 2): FaceMesh's own points."""
    return mesh[:, :2]


def detect_on_mesh(
    people: np.ndarray,
    mean: np.ndarray,
    faces: np.ndarray,
    skin: np.ndarray,
    colours: np.ndarray,
    points_of: PointsOf = every_point,
) -> np.ndarray:
    """(N, 3) positions of points on the mean face (V, 3), from renders of people (n, V, 3).

    A point may lie only on the triangles ``skin``, (F,) bool: surfaces seen between the lips or the lids are
    behind the skin that the point belongs to. ``colours`` are (V, 3).

    Raises:
        RuntimeError: no face was found in the images of the heads.
    """
    from mediapipe.python.solutions.face_mesh import FaceMesh

    places, weights = [], []
    with FaceMesh(static_image_mode=True, refine_landmarks=True, max_num_faces=1) as network:
        for vertices in people:
            for yaw in YAWS:
                image, index, pixels = picture(vertices, faces, colours, yaw)
                result: Any = network.process(image)
                found = result.multi_face_landmarks
                if not found:
                    continue
                mesh = np.array([[p.x, p.y, p.z] for p in found[0].landmark]) * SIZE - (0.5, 0.5, 0)
                points = points_of(mesh)
                index[~np.append(skin, False)[index]] = -1
                place, trust = _cast(points, index, pixels, mean, faces, yaw)
                places.append(place * trust)
                weights.append(trust)
    if not weights:
        raise RuntimeError("no face was found in the images of the head: check the mesh and the colours")
    return np.sum(places, axis=0) / np.maximum(np.sum(weights, axis=0), 1e-9)


def _cast(
    points: np.ndarray, index: np.ndarray, pixels: np.ndarray, mean: np.ndarray, faces: np.ndarray, yaw: float
) -> tuple[np.ndarray, np.ndarray]:
    """Positions (N, 3) on the mean face under image points (N, 2); weights (N, 1), 1 where seen head-on."""
    column, row = np.clip(np.round(points), 0, SIZE - 1).astype(int).T
    seen = index[row, column]
    corners = faces[np.maximum(seen, 0)]
    a, b, c = (pixels[corners[:, k]] for k in range(3))
    area = _cross(b - a, c - a)
    second, third = _cross(points - a, c - a) / area, _cross(b - a, points - a) / area
    inside = np.clip(np.stack([1 - second - third, second, third], axis=1), 0, 1)
    inside /= inside.sum(axis=1, keepdims=True)
    place = np.einsum("nk,nkc->nc", inside, mean[corners])
    normal = np.cross(mean[corners[:, 1]] - mean[corners[:, 0]], mean[corners[:, 2]] - mean[corners[:, 0]])
    angle = np.deg2rad(yaw)
    view = np.array([-np.sin(angle), 0, np.cos(angle)])  # towards the viewer, in head space
    square = np.maximum(normal @ view / np.maximum(np.linalg.norm(normal, axis=1), 1e-12), 0) ** 2
    return place, (square * (seen >= 0))[:, None]


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
