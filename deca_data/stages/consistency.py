"""Whether the landmarks stay in place when the box is shifted: a check that finds wrong landmarks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel, Field

from deca_data.backends.protocols import Landmarker, LandmarkResult
from deca_data.head_pose import TURNED, head_pose
from deca_data.sample import Sample
from deca_data.stage import ModelStage


class ConsistencySettings(BaseModel, frozen=True, extra="forbid"):
    """How the box is shifted.

    Attributes:
        shift: to the right and down, in parts of the box's sides, for the shift error.
        doubt: shift error from which the box is also shifted to the left and up.
        aside: to the left and to the right, in parts of the box's sides, for the spread.
    """

    shift: float = Field(default=0.05, gt=0, le=0.5)
    doubt: float = Field(default=0.04, ge=0)
    aside: float = Field(default=0.2, gt=0, le=0.5)


class ConsistencyStage(ModelStage):
    """Writes the scores below; it drops nothing.

    - landmark_shift_error is the cleaning rule of DECA's supplement: shift the box by 5 % of its size to the
      bottom right, find the landmarks again, and discard the photo if a landmark moves by 0.1 of the box's
      size or more. Both sets of landmarks are in pixels of the photo, so the shift itself does not count as a
      movement. DECA first widens the box, because its network takes the box as it is; here each backend adds
      the margin that its network needs. The score is at most 1; it is 1 where the model sees no face in the
      shifted box.
    - landmark_shift_back is the same score with the box shifted to the top left; null where
      landmark_shift_error is below ``doubt``. With it a recipe can keep a photo on which the model failed in
      only one of the shifted boxes: of nine photos of CFP that one shift drops, six have correct landmarks
      (checked by eye).
    - landmark_spread: a network that searches for the face by itself reacts little to such a small shift, and
      repeats its mistake. So the box is also shifted by a fifth, once to the left and once to the right. The
      score is the mean distance between the landmarks of these two boxes: landmarks that nothing in the photo
      supports move with the box. On a turned head the landmarks of the far side are guesses, which also move
      with the box. So the score is null for heads turned by more than ``TURNED`` degrees. It is also null
      where the model sees no face in either box.
    """

    name = "consistency"
    version = 5
    reads = ("box", "landmarks")
    writes = ("landmark_shift_error", "landmark_shift_back", "landmark_spread")
    batch = 8
    Settings = ConsistencySettings
    in_run = True
    backend_kind = "landmarker"
    same_backend_as = "landmarks"  # it asks the very model whose landmarks it doubts

    settings: ConsistencySettings
    backend: Landmarker

    def run(self, samples: Sequence[Sample], workspace: Path) -> None:
        """Sets the columns."""
        boxes = [sample.box() for sample in samples]
        points = [sample.landmarks() for sample in samples]

        def again(places: Iterable[int], *move: float) -> dict[int, LandmarkResult | None]:
            """By place: the landmarks in the box shifted by ``move``, x and y in parts of its sides."""
            moved = {place: boxes[place] + np.tile(_sides(boxes[place]) * move, 2) for place in places}
            found = self.backend.landmarks([samples[place].image for place in moved], list(moved.values()))
            return dict(zip(moved, found, strict=True))

        def errors(places: Iterable[int], shift: float) -> dict[int, float]:
            found = again(places, shift, shift)
            return {place: shift_error(points[place], found[place], boxes[place]) for place in found}

        forth = errors(range(len(samples)), self.settings.shift)
        doubted = [place for place, error in forth.items() if error >= self.settings.doubt]
        back = errors(doubted, -self.settings.shift)
        facing = [place for place, landmarks in enumerate(points) if _faces_camera(landmarks)]
        left, right = (again(facing, way * self.settings.aside, 0) for way in (-1, 1))
        for place, sample in enumerate(samples):
            sample.row.update(
                landmark_shift_error=forth[place],
                landmark_shift_back=back.get(place),
                landmark_spread=spread(points[place], left.get(place), right.get(place), boxes[place]),
            )


def shift_error(landmarks: np.ndarray, again: LandmarkResult | None, box: np.ndarray) -> float:
    """Largest movement of a landmark, over the mean of the box's sides, 0 to 1."""
    if again is None:
        return 1.0
    largest = float(np.linalg.norm(landmarks - again.points, axis=1).max())
    return min(largest / _side(box), 1.0)


def spread(
    landmarks: np.ndarray, left: LandmarkResult | None, right: LandmarkResult | None, box: np.ndarray
) -> float | None:
    """Mean distance between the landmarks of two shifted boxes, over the mean of the box's sides, 0 to 1.

    If the model sees no face in one of the boxes, the original landmarks replace those of that box, and the
    distance is doubled, because the boxes are half as far apart. If it sees no face in either, None.
    """
    if left is None and right is None:
        return None
    first = landmarks if left is None else left.points
    second = landmarks if right is None else right.points
    times = 2 if left is None or right is None else 1
    return min(times * float(np.linalg.norm(first - second, axis=1).mean()) / _side(box), 1.0)


def _sides(box: np.ndarray) -> np.ndarray:
    return box[2:] - box[:2]


def _side(box: np.ndarray) -> float:
    return max(float(np.mean(_sides(box))), 1e-6)


def _faces_camera(landmarks: np.ndarray) -> bool:
    pose = head_pose(landmarks)
    return pose is not None and abs(pose.yaw) <= TURNED
