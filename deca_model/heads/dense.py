"""The dense landmarks of a head: where points of MediaPipe's face mesh are on its triangles.

The open head's are part of the package. FLAME's come from the file that MediaPipe's embedding for FLAME was
published as (``mediapipe_landmark_embedding.npz``, 105 points of brows, eyes, nose and mouth), which the user
puts beside the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from manifests.array_files import read_arrays
from manifests.errors import UsageError

MESH_POINTS = 478
"""Points of MediaPipe's face mesh with its irises."""
OPEN_DENSE = Path(__file__).with_name("open_head_dense.npz")
FLAME_DENSE = "mediapipe_landmark_embedding.npz"
_FLAME_KEYS = {"points": "landmark_indices", "faces": "lmk_face_idx", "barycentric": "lmk_b_coords"}


@dataclass(frozen=True)
class DenseLandmarks:
    """Places of N points of the mesh on a head; ``points`` says which points they are."""

    points: np.ndarray  # (N,) int64, numbers of MediaPipe's points, each below 478 and at most once
    faces: np.ndarray  # (N,) int64, triangles of the head
    barycentric: np.ndarray  # (N, 3) float32

    def check(self, triangles: int, path: Path) -> None:
        """Check that the arrays fit together and to a head of so many triangles.

        Raises:
            UsageError: they do not.
        """
        count = len(self.points)
        fits = self.points.shape == self.faces.shape == (count,) and self.barycentric.shape == (count, 3)
        known = fits and len(set(self.points.tolist())) == count > 0 and np.isfinite(self.barycentric).all()
        if not (known and _within(self.points, MESH_POINTS) and _within(self.faces, triangles)):
            raise UsageError(f"{path}: its dense landmarks do not fit the head; download the file again.")


def load_open_dense(triangles: int, path: Path = OPEN_DENSE) -> DenseLandmarks:
    """The open head's 468 points: the whole mesh without the irises.

    Raises:
        UsageError: the file is missing or damaged.
    """
    return _read(path, {name: name for name in _FLAME_KEYS}, triangles, "install the package again")


def load_flame_dense(place: Path, triangles: int) -> DenseLandmarks | None:
    """FLAME's points from their file, or from the file in the model's folder; None if the folder lacks it.

    Raises:
        UsageError: the file is damaged, is another one, or a file that was named is missing.
    """
    path = place / FLAME_DENSE if place.is_dir() else place
    if place.is_dir() and not path.is_file():
        return None
    return _read(path, _FLAME_KEYS, triangles, "download the file again")


def save_open_dense(dense: DenseLandmarks, path: Path = OPEN_DENSE) -> None:
    """Write the points for ``load_open_dense``."""
    np.savez_compressed(
        path,
        points=dense.points.astype(np.int32),
        faces=dense.faces.astype(np.int32),
        barycentric=dense.barycentric.astype(np.float32),
    )


def _read(path: Path, keys: dict[str, str], triangles: int, advice: str) -> DenseLandmarks:
    try:
        arrays = read_arrays(path, keys.values())
        found = DenseLandmarks(
            points=arrays[keys["points"]].astype(np.int64).reshape(-1),
            faces=arrays[keys["faces"]].astype(np.int64).reshape(-1),
            barycentric=arrays[keys["barycentric"]].astype(np.float32),
        )
    except FileNotFoundError:
        raise UsageError(f"the dense landmarks {path}: there is no such file; {advice}.") from None
    except (OSError, KeyError, ValueError, TypeError) as error:  # some of a cast from another kind
        raise UsageError(
            f"the dense landmarks {path} cannot be read ({type(error).__name__}): {advice}"
        ) from error
    found.check(triangles, path)
    return found


def _within(numbers: np.ndarray, limit: int) -> bool:
    return bool(numbers.min() >= 0 and numbers.max() < limit)
