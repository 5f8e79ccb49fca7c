"""Whether the landmarks stay when the box is shifted: a check for landmarks that are not to be trusted."""

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
        shift: to the right and downwards, in box sides, for the shift error.
        doubt: shift error from which the box is shifted the other way too.
        aside: to the left and to the right, in box sides, for the spread.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shift: float = Field(default=0.05, gt=0, le=0.5)
    doubt: float = Field(default=0.04, ge=0)
    aside: float = Field(default=0.2, gt=0, le=0.5)


class ConsistencyStage:
    """Writes the scores below; it drops nothing.

    - landmark_shift_error is the cleaning rule of DECA's supplement: the box is shifted by 5 % of its size to
      the bottom right, the landmarks are found anew, and photos are discarded where the largest disagreement
      is 0.1 of the box's size or more. Both sets of landmarks are in pixels of the photo, so there is no
      shift left to remove. The rule there widens the boxes for a network that takes them as they are; here
      each backend adds the margin that its own network wants. It is 1 where the model sees no face in the
      shifted box, and at most 1.
    - landmark_shift_back is the same with the box shifted to the top left, and null where the first is below
      ``doubt``. By it a recipe can spare a photo for one slip of the model in the shifted box: of nine photos
      of CFP that one shift drops, the landmarks themselves, looked at one by one, seemed well placed on six.
    - landmark_spread: a network that looks for a face on its own hardly notices so small a shift, and makes
      the same mistake again. So the box is shifted much farther, by a fifth to the left and to the right, and
      what counts is the mean distance of the landmarks of the one from those of the other: where nothing in
      the photo holds them, they follow the box. The far side of a turned head is a guess that follows the box
      as well, and so it is null for heads turned by more than ``TURNED`` degrees, and where the model sees no
      face in either box.
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
        """The shift errors of the samples at some places."""
        asked = list(places)
        again = self._again(
            [samples[place] for place in asked], [boxes[place] for place in asked], (shift, shift)
        )
        found = zip(asked, again, strict=True)
        return {place: shift_error(points[place], result, boxes[place]) for place, result in found}

    def _again(
        self, samples: Sequence[Sample], boxes: Sequence[np.ndarray], move: tuple[float, float]
    ) -> list[LandmarkResult | None]:
        """The landmarks as they are found in boxes moved by ``move``, x and y in their sides."""
        moved = [box + np.tile((box[2:] - box[:2]) * move, 2) for box in boxes]
        return self.backend.landmarks([sample.image for sample in samples], moved)


def shift_error(landmarks: np.ndarray, again: LandmarkResult | None, box: np.ndarray) -> float:
    """Largest distance of a landmark from its second finding over the mean of the box's sides, 0 to 1."""
    if again is None:
        return 1.0
    largest = float(np.linalg.norm(landmarks - again.points, axis=1).max())
    return min(largest / _side(box), 1.0)


def spread(
    landmarks: np.ndarray, left: LandmarkResult | None, right: LandmarkResult | None, box: np.ndarray
) -> float | None:
    """Mean distance between the landmarks of two shifted boxes over the mean of the box's sides, 0 to 1.

    Where the model sees no face in one of them, it is twice the distance from the landmarks themselves,
    which are half as far away; where it sees none in either, None.
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
