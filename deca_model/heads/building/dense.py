"""Finds the open head's dense landmarks: ``python -m deca_model.heads.building.dense [FILE | --check]``.

Heads of random faces, with closed and with open mouths, are rendered from several sides. MediaPipe's FaceMesh
detects its 468 points, and each is cast back onto the mesh, as for the 68 landmarks. Points that MediaPipe
puts on the rims of lids and lips are put on those rims of the mesh, because a point beside a rim does not
move with it. The head itself must exist already.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from deca_model.heads import Head, HeadData
from deca_model.heads.building.detection import detect_on_mesh, paint
from deca_model.heads.building.landmarks import at_x, closest, halves
from deca_model.heads.building.mesh import Cut, cut_head, load_source
from deca_model.heads.dense import OPEN_DENSE, DenseLandmarks, load_open_dense, save_open_dense
from deca_model.heads.open_head import load_open_head

POINTS = 468
PEOPLE, SPREAD, SEED = 11, 0.8, 468
"""Random faces beside the mean one, and the spread of their codes."""
OPEN = (0.0, 0.2)
"""Rotations of the jaw in radians: the mouth is closed, or open by about 2 cm."""
LEFT_UPPER_LID = (362, 398, 384, 385, 386, 387, 388, 466, 263)
LEFT_LOWER_LID = (382, 381, 380, 374, 373, 390, 249)
INNER_LIPS = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_INNER_LIPS = (95, 88, 178, 87, 14, 317, 402, 318, 324)
"""Points on the rims: lids from the inner to the outer corner, lips from the subject's right to the left."""
TOLERANCE = 1e-3
"""Metres; largest allowed difference of two builds."""


def find_dense(data: HeadData, cut: Cut) -> DenseLandmarks:
    """Place the 468 points on the open head, left-right symmetric."""
    mean, faces = data.template.astype(np.float64), data.faces
    people = _people(data)
    detected = detect_on_mesh(people, mean, faces, cut.visible(faces), paint(cut, mean))[:POINTS]
    mirror = _mirror(detected)
    points = 0.5 * (detected + detected[mirror] * [-1, 1, 1])
    points[mirror == np.arange(POINTS), 0] = 0
    _place_lids(points, mean[cut.lid_edge], mirror)
    _place_lips(points, mean[cut.lip_edge])
    chosen, barycentric = closest(points, mean, faces, cut.visible(faces))
    return DenseLandmarks(np.arange(POINTS), chosen, barycentric.astype(np.float32))


def places(data: HeadData, dense: DenseLandmarks) -> np.ndarray:
    """(N, 3) the points on the mean head, metres."""
    return (data.template[data.faces[dense.faces]] * dense.barycentric[..., None]).sum(axis=1)


@torch.no_grad()
def _people(data: HeadData) -> np.ndarray:
    """(n, V, 3) the mean and random faces, each with each opening of the mouth."""
    head = Head(data)
    codes = np.random.default_rng(SEED).normal(0, SPREAD, (PEOPLE, data.shape_basis.shape[-1]))
    shape = torch.from_numpy(np.concatenate([np.zeros_like(codes[:1]), codes])).float()
    jaws = []
    for angle in OPEN:
        pose = torch.zeros(len(shape), 6)
        pose[:, 3] = angle
        jaws.append(head(shape, shape.new_zeros(len(shape), 1), pose).vertices.double().numpy())
    return np.concatenate(jaws)


def _mirror(points: np.ndarray) -> np.ndarray:
    """(N,) each point's partner on the other side: the pairing with the smallest distances."""
    from scipy.optimize import linear_sum_assignment

    distance = np.linalg.norm(points[:, None] - points * [-1, 1, 1], axis=-1)
    return linear_sum_assignment(distance**2 + (distance**2).T)[1]


def _place_lids(points: np.ndarray, edge: np.ndarray, mirror: np.ndarray) -> None:
    """Put the points of both eyes on the lids' rims; their share of the eye's width stays as detected."""
    inner, outer = edge[edge[:, 0].argmin()], edge[edge[:, 0].argmax()]
    upper, lower = halves(edge)
    start, width = points[362, 0], points[263, 0] - points[362, 0]
    for half, numbers in ((upper, LEFT_UPPER_LID), (lower, LEFT_LOWER_LID)):
        for number in numbers:
            share = (points[number, 0] - start) / width
            points[number] = at_x(half, inner[0] + share * (outer[0] - inner[0]))
            points[mirror[number]] = points[number] * [-1, 1, 1]


def _place_lips(points: np.ndarray, edge: np.ndarray) -> None:
    """Put the points of the mouth's opening on the line where the lips touch."""
    upper, lower = halves(edge)
    scale = edge[:, 0].max() / points[308, 0]
    for half, numbers in ((upper, INNER_LIPS), (lower, LOWER_INNER_LIPS)):
        for number in numbers:
            points[number] = at_x(half, points[number, 0] * scale)


def main() -> None:
    """Find the points and write them, or with ``--check`` compare them with the file in the package."""
    data = load_open_head()
    found = find_dense(data, cut_head(load_source()))
    if sys.argv[1:] == ["--check"]:
        kept = load_open_dense(len(data.faces))
        largest = np.linalg.norm(places(data, found) - places(data, kept), axis=1).max()
        print(f"{OPEN_DENSE.name}: the new points differ by up to {1000 * largest:.2g} mm")
        sys.exit(1 if largest > TOLERANCE else 0)
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else OPEN_DENSE
    save_open_dense(found, path)
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
