"""Do the landmarks stay where they are when the face's box is moved?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from deca_data.backends.protocols import Landmarker
from deca_data.sample import Sample

UNFOUND = 1.0
"""The error where the model finds no landmarks in the moved box: a whole box side."""


class ConsistencySettings(BaseModel):
    """How far the box is moved.

    Attributes:
        shift: move to the right and down, in box sides (DECA's supplement: 5 %).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shift: float = Field(0.05, gt=0, le=0.5)


class ConsistencyStage:
    """Writes `landmark_shift_error`: the largest disagreement of the landmarks of two boxes.

    DECA's supplement (Feng et al. 2021) finds landmarks twice, the second time with the box moved by 5 %
    of its size to the lower right, and discards a photo if a landmark differs by 0.1 of the box or more.
    Here both sets are in pixels of the photo, so that no shift is left to remove; the side of the box is
    the mean of its width and height. The margin around a box is the landmark model's own.
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
        boxes = [np.asarray(sample.row["box"], np.float64).reshape(4) for sample in samples]
        sides = [float((box[2] - box[0] + box[3] - box[1]) / 2) for box in boxes]
        moved = [box + self.settings.shift * side for box, side in zip(boxes, sides, strict=True)]
        results = self.backend.landmarks([sample.image for sample in samples], moved)
        for sample, side, result in zip(samples, sides, results, strict=True):
            points = np.asarray(sample.row["landmarks"], np.float64).reshape(68, 2)
            error = UNFOUND if result is None else shift_error(points, result.points, side)
            sample.row["landmark_shift_error"] = error


def shift_error(first: np.ndarray, second: np.ndarray, side: float) -> float:
    """Largest distance of corresponding points, (68, 2) each in pixels, over the box's side."""
    return float(np.linalg.norm(first - second, axis=1).max() / max(side, 1e-6))
