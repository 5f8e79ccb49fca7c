"""Finds the main face of a photo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel, Field

from deca_data.backends.protocols import Detection, Detector
from deca_data.boxes import longer_side, overlap
from deca_data.sample import Sample
from deca_data.stage import ModelStage

PART, AROUND = 0.55, 0.3
"""See ``without_parts``."""


class DetectSettings(BaseModel, frozen=True, extra="forbid"):
    """What counts as a face.

    Attributes:
        min_score: detections with a lower score are ignored.
        min_size: faces whose box has a longer side below this, in pixels, are ignored.
    """

    min_score: float = Field(default=0.0, ge=0, le=1)
    min_size: float = Field(default=16.0, ge=0)


class DetectStage(ModelStage):
    """Writes the box of one face and the number of faces.

    Where the dataset gives a box, the face with the largest overlap is chosen, or the given box itself if the
    detector finds no face there. Otherwise the largest central face is chosen: the one with the largest
    side * (1 - distance / 2), where side is the geometric mean of the box's sides, and distance is 0 in the
    middle of the photo and 1 in its corners.

    Ears, eyes and mouths that the detector reports as small faces are not counted (see ``without_parts``).
    """

    name = "detect"
    version = 3
    reads: tuple[str, ...] = ()
    writes = ("box", "box_score", "faces", "width", "height", "content_hash")  # decoding sets the last
    batch = 8
    Settings = DetectSettings
    in_run = True
    backend_kind = "detector"
    default_backend = "mediapipe"
    command = ("detect", "Find the face in each photo.", "deca-data detect ./vggface2")

    settings: DetectSettings
    backend: Detector

    def run(self, samples: Sequence[Sample], workspace: Path) -> None:
        """Sets the columns; a sample without a face is dropped."""
        for sample, faces in zip(
            samples, self.backend.detect([sample.image for sample in samples]), strict=True
        ):
            width, height = sample.size
            faces = self._in_photo(sample, faces)
            whole = without_parts(faces)
            given = sample.row.get("given_box")
            chosen = choose_given(faces, given) if given is not None else choose_central(whole, width, height)
            sample.row.update(width=width, height=height, faces=len(whole))
            if chosen is None:
                sample.drop(self.name, "no face found")
                continue
            # float32 as in the file: later stages must get the same box in this pass and in a later one
            box = [float(value) for value in np.asarray(chosen.box, np.float32)]
            sample.row.update(box=box, box_score=None if np.isnan(chosen.score) else float(chosen.score))

    def all_faces(self, sample: Sample) -> list[Detection]:
        """Every face that counts, from left to right, in pixels of the photo."""
        (faces,) = self.backend.detect([sample.image])
        return sorted(without_parts(self._in_photo(sample, faces)), key=lambda face: float(face.box[0]))

    def _in_photo(self, sample: Sample, faces: Sequence[Detection]) -> list[Detection]:
        """The faces that count, in pixels of the photo."""
        whole = [Detection(sample.to_photo(face.box), face.score) for face in faces]
        return [face for face in whole if self._counts(face)]

    def _counts(self, face: Detection) -> bool:
        return face.score >= self.settings.min_score and longer_side(face.box) >= self.settings.min_size


def without_parts(faces: Sequence[Detection]) -> list[Detection]:
    """The faces without detections that show only a part of a larger face's head.

    A detection counts as an ear, an eye or a mouth if its side is less than ``PART`` of a larger box's
    side and its centre is at most ``AROUND`` of that side outside the larger box: a real face there would
    hide the larger one. Of 1,400 portraits 12 have such a detection, and none of these is a face.
    """
    sides = [longer_side(face.box) for face in faces]

    def is_part(face: Detection, side: float) -> bool:
        x, y = (face.box[:2] + face.box[2:]) / 2
        for other, larger in zip(faces, sides, strict=True):
            x0, y0, x1, y1 = other.box + np.array([-1, -1, 1, 1]) * AROUND * larger
            if side < PART * larger and x0 <= x <= x1 and y0 <= y <= y1:
                return True
        return False

    return [face for face, side in zip(faces, sides, strict=True) if not is_part(face, side)]


def choose_central(faces: Sequence[Detection], width: int, height: int) -> Detection | None:
    """The largest central face (see ``DetectStage``), or None where there is none."""
    middle = np.array([width - 1, height - 1]) / 2
    reach = max(float(np.linalg.norm(middle)), 1.0)

    def weight(face: Detection) -> float:
        x0, y0, x1, y1 = (float(value) for value in face.box)
        side = max((x1 - x0) * (y1 - y0), 0.0) ** 0.5
        off = float(np.linalg.norm(np.array([x0 + x1, y0 + y1]) / 2 - middle)) / reach
        return side * (1 - min(off, 1.0) / 2)

    return max(faces, key=weight, default=None)


def choose_given(faces: Sequence[Detection], given: Sequence[float]) -> Detection:
    """The face with the largest overlap with the dataset's box, or that box itself with the score NaN."""
    box = np.asarray(given, np.float64)
    best = max(faces, key=lambda face: overlap(face.box, box), default=None)
    if best is not None and overlap(best.box, box) >= 0.2:
        return best
    return Detection(box, float("nan"))
