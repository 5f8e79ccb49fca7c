"""Whether the landmarks stay in place when the box is shifted: a check that finds wrong landmarks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from deca_data.backends.protocols import Landmarker, LandmarkResult
from deca_data.head_pose import TURNED, head_pose
from deca_data.sample import Sample


class ConsistencySettings(BaseModel):
    """How the box is shifted.

    Attributes:
        shift: to the right and down, in parts of the box's sides, for the shift error.
        doubt: shift error from which the box is also shifted to the left and up.
        aside: to the left and to the right, in parts of the box's sides, for the spread.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shift: float = Field(default=0.05, gt=0, le=0.5)
    doubt: float = Field(default=0.04, ge=0)
    aside: float = Field(default=0.2, gt=0, le=0.5)


class ConsistencyStage:
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
    version = 4
    reads = ("box", "landmarks")
    writes = ("landmark_shift_error", "landmark_shift_back", "landmark_spread")
    batch = 8
    Settings = ConsistencySettings
    in_run = True
    backend_kind = "landmarker"
    same_backend_as = "landmarks"  # it asks the very model whose landmarks it doubts

    def __init__(self, settings: ConsistencySettings, backend: Landmarker) -> None:
        self.settings = settings
        self.backend = backend

    def fingerprint(self) -> dict[str, Any]:
        """Settings, and the landmarker's name, version and weights."""
        return {
            "settings": self.settings.model_dump(mode="json"),
            "backend": {"name": self.backend.name, **self.backend.fingerprint()},
        }

    def run(self, samples: Sequence[Sample], workspace: Path) -> None:
        """Sets the columns."""
        boxes = [sample.box() for sample in samples]
        points = [sample.landmarks() for sample in samples]
        shift, aside = self.settings.shift, self.settings.aside
        errors = self._errors(samples, points, boxes, range(len(samples)), shift)
        doubted = [place for place, error in errors.items() if error >= self.settings.doubt]
        back = self._errors(samples, points, boxes, doubted, -shift)
        for place, sample in enumerate(samples):
            sample.row.update(landmark_shift_error=errors[place], landmark_shift_back=back.get(place))
            sample.row["landmark_spread"] = None
        facing = [place for place, landmarks in enumerate(points) if _faces_camera(landmarks)]
        some, theirs = [samples[place] for place in facing], [boxes[place] for place in facing]
        pairs = [self._again(some, theirs, (way * aside, 0)) for way in (-1, 1)]
        for place, left, right in zip(facing, *pairs, strict=True):
            samples[place].row["landmark_spread"] = spread(points[place], left, right, boxes[place])

    def _errors(
        self,
        samples: Sequence[Sample],
        points: Sequence[np.ndarray],
        boxes: Sequence[np.ndarray],
        places: Iterable[int],
        shift: float,
    ) -> dict[int, float]:
        """The shift errors of the samples at ``places``, by place."""
        asked = list(places)
        again = self._again(
            [samples[place] for place in asked], [boxes[place] for place in asked], (shift, shift)
        )
        found = zip(asked, again, strict=True)
        return {place: shift_error(points[place], result, boxes[place]) for place, result in found}

    def _again(
        self, samples: Sequence[Sample], boxes: Sequence[np.ndarray], move: tuple[float, float]
    ) -> list[LandmarkResult | None]:
        """The landmarks found in boxes shifted by ``move``, x and y in parts of the box's sides."""
        moved = [box + np.tile((box[2:] - box[:2]) * move, 2) for box in boxes]
        return self.backend.landmarks([sample.image for sample in samples], moved)


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


def _side(box: np.ndarray) -> float:
    return max(float(np.mean(box[2:] - box[:2])), 1e-6)


def _faces_camera(landmarks: np.ndarray) -> bool:
    pose = head_pose(landmarks)
    return pose is not None and abs(pose.yaw) <= TURNED
