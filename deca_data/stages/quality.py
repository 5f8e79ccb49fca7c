"""Scores of a photo's quality."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import imagehash
import numpy as np
import pyarrow as pa

from deca_data.face_scores import SIDE, eye_openness, mouth_openness, scores_in, square_of
from deca_data.head_pose import HeadPose, head_pose
from deca_data.picture_hash import LONG, SHORT, perceptual_hash, small_grey
from deca_data.picture_hash import SIDE as HASH_SIDE
from deca_data.sample import Sample
from deca_data.stage import NoSettings
from deca_data.stages.landmarks import POSE
from manifests.schema import Column

PICTURE_HASH, LONG_HASHES = "picture_hash", "long_hashes"
"""Columns of hashes, which stay in the workspace."""


class QualityStage:
    """Writes the scores below; it drops nothing.

    - face_size: square root of the area of the landmarks' box, pixels.
    - sharpness: variance of the Laplacian of the luma, in grey levels squared, inside the landmarks' hull on
      a square of 128 pixels around the face (Pech-Pacheco et al., ICPR 2000).
    - brightness: mean luma of the same pixels, 0 to 1.
    - clipping: share of the same pixels that are black or burnt out.
    - yaw, pitch, roll: degrees, by the dense mesh where the landmark backend has one, else by ``head_pose``.
    - eye_openness: mean distance of the lid pairs over the eye's width, of both eyes together, or of the near
      eye on a turned head (after Soukupova and Cech, "Real-time eye blink detection", CVWW 2016).
    - mouth_openness: mean distance of the inner lip pairs over the width between the mouth's corners.
    - phash: 64-bit perceptual hash of the face (see ``picture_hash``), 16 hex digits.

    The hashes of its workspace columns are for the search for near duplicates.
    """

    name = "quality"
    version = 6
    reads = ("landmarks",)
    writes = (
        "face_size", "yaw", "pitch", "roll", "sharpness", "brightness", "clipping",
        "eye_openness", "mouth_openness", "phash",
    )  # fmt: skip
    batch = 1
    Settings = NoSettings
    in_run = True
    command = ("quality", "Measure size, sharpness, light and pose of each face.", "deca-data quality")
    workspace_columns = (
        Column(PICTURE_HASH, pa.binary(8), "", "pHash of the whole picture"),
        Column(LONG_HASHES, pa.binary(64), "", "long hashes of face and picture, one after the other"),
    )

    def __init__(self, settings: NoSettings) -> None:
        self.settings = settings

    def fingerprint(self) -> dict[str, Any]:
        """The versions of OpenCV and ImageHash, whose resizing and hashes the results depend on."""
        versions = {"opencv": cv2.__version__, "imagehash": imagehash.__version__}
        return {"settings": self.settings.model_dump(mode="json"), **versions}

    def run(self, samples: Sequence[Sample], workspace: Path) -> None:
        """Sets the columns."""
        for sample in samples:
            landmarks = sample.landmarks()
            luma, to_square = square_of(sample.image, landmarks, SIDE)
            look = scores_in(luma, to_square, sample.image.shape, landmarks)
            face = cv2.resize(luma, (HASH_SIDE, HASH_SIDE), interpolation=cv2.INTER_AREA)
            picture = small_grey(sample.image)
            pose = HeadPose(*sample.row[POSE]) if sample.row.get(POSE) else head_pose(landmarks)
            sample.row.update(
                face_size=sample.shrunk * float(np.sqrt(np.prod(np.ptp(landmarks, axis=0)))),
                **look._asdict(),
                yaw=pose.yaw if pose else None,
                pitch=pose.pitch if pose else None,
                roll=pose.roll if pose else None,
                eye_openness=eye_openness(landmarks, pose.yaw if pose else 0.0),
                mouth_openness=mouth_openness(landmarks),
                phash=perceptual_hash(face, SHORT).hex(),
            )
            sample.row[PICTURE_HASH] = perceptual_hash(picture, SHORT)
            sample.row[LONG_HASHES] = perceptual_hash(face, LONG) + perceptual_hash(picture, LONG)
