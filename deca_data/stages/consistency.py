"""Whether the landmarks stay when the box is shifted: a check for landmarks that are not to be trusted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from deca_data.backends.protocols import Landmarker, LandmarkResult
from deca_data.sample import Sample
from manifests.landmarks import MIRROR

CORNERS = ((1, 1), (-1, -1), (1, -1), (-1, 1))
"""Where the box is shifted to, x and y; the paper's is the first."""

Found = list[LandmarkResult | None]


class ConsistencySettings(BaseModel):
    """How the box is shifted.

    Attributes:
        shift: to the right and downwards, in box sides.
        thorough: also shifts the box to the other three corners, and looks at the mirrored photo: five times
            the work finds several times as many displaced landmarks, and doubts twice as many profiles.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shift: float = Field(default=0.05, gt=0, le=0.5)
    thorough: bool = False


class ConsistencyStage:
    """Writes `landmark_shift_error`; it drops nothing.

    The cleaning rule of DECA's supplement: the box is shifted by 5 % of its size to the bottom right, the
    landmarks are found anew, and photos are discarded where the largest disagreement is 0.1 of the box's
    size or more. Both sets of landmarks are in pixels of the photo, so there is no shift left to remove.
    The rule there widens the boxes for a network that takes them as they are; here each backend adds the
    margin that its own network wants.

    The error is 1 where the model sees no face in the shifted box, and at most 1.
    """

    name = "consistency"
    version = 1
    reads = ("box", "landmarks")
    writes = ("landmark_shift_error",)
    batch = 8
    Settings = ConsistencySettings

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
        """Sets the column."""
        images = [sample.image for sample in samples]
        boxes = [np.asarray(sample.row["box"], np.float64) for sample in samples]
        errors = np.zeros(len(samples))
        for found in self._again(images, boxes):
            for place, (sample, again, box) in enumerate(zip(samples, found, boxes, strict=True)):
                landmarks = np.asarray(sample.row["landmarks"], np.float32).reshape(68, 2)
                errors[place] = max(errors[place], shift_error(landmarks, again, box))
        for sample, error in zip(samples, errors.tolist(), strict=True):
            sample.row["landmark_shift_error"] = error

    def _again(self, images: list[np.ndarray], boxes: list[np.ndarray]) -> Iterator[Found]:
        """The landmarks as they are found in shifted boxes, and in the mirrored photos."""
        for corner in CORNERS if self.settings.thorough else CORNERS[:1]:
            moves = [self.settings.shift * np.tile((box[2:] - box[:2]) * corner, 2) for box in boxes]
            yield self.backend.landmarks(images, [box + move for box, move in zip(boxes, moves, strict=True)])
        if self.settings.thorough:
            yield self._mirrored(images, boxes)

    def _mirrored(self, images: list[np.ndarray], boxes: list[np.ndarray]) -> Found:
        lasts = [image.shape[1] - 1 for image in images]
        found = self.backend.landmarks(
            [np.ascontiguousarray(image[:, ::-1]) for image in images],
            [np.array([x - box[2], box[1], x - box[0], box[3]]) for x, box in zip(lasts, boxes, strict=True)],
        )
        return [
            each and each._replace(points=each.points[MIRROR] * (-1, 1) + (x, 0))
            for each, x in zip(found, lasts, strict=True)
        ]


def shift_error(landmarks: np.ndarray, again: LandmarkResult | None, box: np.ndarray) -> float:
    """Largest distance of a landmark from its second finding over the mean of the box's sides, 0 to 1."""
    if again is None:
        return 1.0
    largest = float(np.linalg.norm(landmarks - again.points, axis=1).max())
    return min(largest / max(float(np.mean(box[2:] - box[:2])), 1e-6), 1.0)
