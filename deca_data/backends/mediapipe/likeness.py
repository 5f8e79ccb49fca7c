"""Whether a mesh is that of a person: how rare its shape is among people.

The networks find faces of dogs and monkeys too, and are sure of them. But the mesh there has a shape that
people have not, its points of lips and eyes move further in the network's second step, and the detector's
points lie elsewhere on it. All this together is compared with people by its Mahalanobis distance: a Gaussian
fitted to photos of people (`benchmarks.fit_likeness`), with a floor under its variances.
"""

from __future__ import annotations

import numpy as np

from deca_data.backends.mediapipe.face_frame import FaceFrame, arrays, face_frame
from deca_data.backends.mediapipe.landmark_maps import MESH_MIRROR
from deca_data.backends.mediapipe.outputs import RawDetection

FLOOR = 1e-3
"""Variance added to each feature's own."""

SUSPECT, LIKELY, UNLIKE = 3.5, 5.6, 6.2
"""Rarity from which the detector's points are asked for; up to which a mesh is a person's; and from which it
is not. The median of people is 0 and their standard deviation 1; `benchmarks.fit_likeness` says what share
of people and animals lies where."""

LARGEST_YAW = 25.0
"""Degrees of the mesh's yaw up to which shapes can be compared."""

_THIRD = np.arange(0, 468, 3)
_CHOSEN = np.unique(np.concatenate([_THIRD, MESH_MIRROR[_THIRD]]))  # every third point, and its mirror image
_POINTS = ((33, 133), (263, 362), (1,), (13, 14), (234,), (454,))  # the detector's points on the mesh
_DETECTED = 0.3  # weight of the detector's points against those of the mesh


def likeness(rare: float) -> float:
    """1 for a rarity that people have, 0 for one that they have not."""
    return float(np.clip((UNLIKE - rare) / (UNLIKE - LIKELY), 0, 1))


def rarity(
    mesh: np.ndarray, plain: np.ndarray, face: RawDetection | None = None, frame: FaceFrame | None = None
) -> float:
    """How rare a face is among people: 0 as the median, 1 a standard deviation further.

    Args:
        mesh: (478, 3), pixels.
        plain: (478, 3), the same before the refinement of lips and eyes.
        face: what a detector found there; without it, its points count as usual ones.
        frame: the mesh's frame, if it is known.
    """
    frame = face_frame(mesh) if frame is None else frame
    if abs(frame.yaw) > LARGEST_YAW:
        return 0.0
    found = arrays()
    values = features(mesh, plain, frame, face) - found["person_mean"]
    if face is None:
        values[-15:] = 0
    distance = gaussian_distance(values[None], found["person_axes"], found["person_variances"])[0]
    middle, spread = found["person_scale"]
    return float((distance - middle) / spread)


def features(mesh: np.ndarray, plain: np.ndarray, frame: FaceFrame, face: RawDetection | None) -> np.ndarray:
    """(F,) the shape, the movement of the second step, and the detector's points, in the head's frame."""
    moved = (plain - mesh)[_CHOSEN] @ frame.rotation / frame.scale
    seen = np.zeros(15) if face is None else _detected(mesh, frame, face)
    return np.concatenate([frame.shape[_CHOSEN].ravel(), moved.ravel(), _DETECTED * seen])


def gaussian_distance(values: np.ndarray, axes: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """(N,) Mahalanobis distances of (N, F) features; all variances beside the (K, F) axes are the floor."""
    along = values.astype(axes.dtype) @ axes.T
    rest = np.maximum((values * values).sum(1) - (along * along).sum(1), 0)
    return np.sqrt((along * along / (variances + FLOOR)).sum(1) + rest / FLOOR)


def _detected(mesh: np.ndarray, frame: FaceFrame, face: RawDetection) -> np.ndarray:
    own = np.array([mesh[list(group), :2].mean(0) for group in _POINTS])
    turn = frame.rotation[:2, :2] / frame.scale
    middle = (face.box[:2] + face.box[2:]) / 2
    width = max(float(face.box[2] - face.box[0]), 1e-6)
    return np.concatenate(
        [((face.points - own) @ turn).ravel(), (middle - own.mean(0)) @ turn, [np.log(width / frame.scale)]]
    )
