"""Maps between landmark schemes: from MediaPipe's mesh to iBUG-68, and to the mirrored mesh."""

from __future__ import annotations

import numpy as np

# A pair of mesh points means the mean of both. The jaw line follows the 3-D contour of the mesh, so it is
# approximate on turned faces. Eyes, brows, nose and mouth are the same places in both schemes.
_MESH_POINTS: tuple[int | tuple[int, int], ...] = (
    *(127, 234, 93, (132, 58), (58, 172), 136, 150, 176, 152),
    *(400, 379, 365, (397, 288), (361, 288), 323, 454, 356),
    *(70, 63, 105, 66, 107),
    *(336, 296, 334, 293, 300),
    *((168, 6), (197, 195), 5, 4),
    *(75, 97, 2, 326, 305),
    *(33, 160, 158, 133, 153, 144),
    *(362, 385, 387, 263, 373, 380),
    *(61, 39, 37, 0, 267, 269, 291, 321, 314, 17, 84, 91),
    *(78, 82, 13, 312, 308, 317, 14, 87),
)

_FIRST = np.array([point if isinstance(point, int) else point[0] for point in _MESH_POINTS])
_SECOND = np.array([point if isinstance(point, int) else point[1] for point in _MESH_POINTS])


def mesh_to_ibug(mesh: np.ndarray) -> np.ndarray:
    """The 68 iBUG landmarks of MediaPipe's face mesh.

    Args:
        mesh: (478 or 468, 2 or more); the first two columns are x and y in any unit.

    Returns:
        (68, 2) float32 in the same unit.
    """
    points = mesh[:, :2].astype(np.float32)
    return (points[_FIRST] + points[_SECOND]) * np.float32(0.5)


_MIDLINE = [*(0, 1, 2, 4, 5, 6), *range(8, 20), *(94, 151, 152, 164, 168, 175, 195, 197, 199, 200)]
_RIGHT_HALF = np.setdiff1d(np.arange(248), _MIDLINE)  # in this order, 248 to 467 are their mirror images
_IRISES = [473, 476, 475, 474, 477, 468, 471, 470, 469, 472]

MESH_MIRROR = np.array([*range(468), *_IRISES])
MESH_MIRROR[_RIGHT_HALF], MESH_MIRROR[248:468] = np.arange(248, 468), _RIGHT_HALF
"""(478,) int: for each mesh point, the index of the point that takes its place in a mirrored photo.

Measured: the pairing with the smallest distance between the mean mesh of 764 frontal photos and its mirror
image. It is its own inverse and keeps all but 6 of the mesh's 1,322 edges; there the mesh is not symmetric.
"""
