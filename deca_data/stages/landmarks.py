"""Finds the 68 landmarks of the face in the box."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from pydantic import BaseModel, Field

from deca_data.backends.protocols import Landmarker, LandmarkResult
from deca_data.boxes import longer_side
from deca_data.sample import Sample
from deca_data.sidecars import sidecar_path
from deca_data.stage import ModelStage
from manifests.files import write_all_atomic


class LandmarkSettings(BaseModel, frozen=True, extra="forbid"):
    """What counts as landmarks, and where they are written.

    Attributes:
        min_confidence: photos whose landmarks have a lower confidence are dropped.
        beside_images: whether each `.npy` is also written beside its photo.
    """

    min_confidence: float = Field(default=0.0, ge=0, le=1)
    beside_images: bool = False


class LandmarkStage(ModelStage):
    """Writes the landmarks as a column and as a `.npy` file of (68, 2) float32 for each photo.

    With the MediaPipe backend it also keeps the dense mesh, in pixels of the image, in ``scratch["mesh"]``.
    """

    name = "landmarks"
    version = 3
    reads = ("box",)
    writes = ("landmarks", "landmark_confidence", "landmark_path")
    batch = 8
    Settings = LandmarkSettings
    in_run = True
    backend_kind = "landmarker"
    default_backend = "mediapipe"
    command = (
        "landmarks",
        "Find 68 landmarks in each photo (.npy each).",
        "deca-data landmarks ./vggface2",
    )

    settings: LandmarkSettings
    backend: Landmarker

    def run(self, samples: Sequence[Sample], workspace: Path) -> None:
        """Sets the columns and writes the files; a sample without plausible landmarks is dropped."""
        images = [sample.image for sample in samples]
        boxes = [sample.box() for sample in samples]
        files: dict[Path, bytes] = {}
        for sample, box, result in zip(samples, boxes, self.backend.landmarks(images, boxes), strict=True):
            reason = self._implausible(result, box)
            if reason is not None:
                sample.drop(self.name, reason)
                continue
            assert result is not None
            files.update(self._keep(sample, result, workspace))
        write_all_atomic(files)

    def _implausible(self, result: LandmarkResult | None, box: np.ndarray) -> str | None:
        """Why the landmarks cannot be on the face in ``box``, or None."""
        if result is None:
            return "no landmarks: the model sees no face in the box"
        if not np.isfinite(result.points).all():
            return "landmarks are not numbers"
        if result.confidence < self.settings.min_confidence:
            return "low landmark confidence"
        low, high = result.points.min(0), result.points.max(0)
        side = max(longer_side(box), 1e-6)
        size = float((high - low).max()) / side
        apart = np.abs((low + high) / 2 - (box[:2] + box[2:]) / 2).max() / side
        if not 0.4 <= size <= 2.5 or apart > 0.5:
            return "landmarks do not lie on the face in the box"
        return None

    def _keep(self, sample: Sample, result: LandmarkResult, workspace: Path) -> dict[Path, bytes]:
        """Sets the columns; returns the files to be written."""
        points = sample.to_photo(result.points).astype(np.float32)
        path = sidecar_path("landmarks", sample.row["dataset"], sample.row["image"], ".npy")
        buffer = io.BytesIO()
        np.save(buffer, points, allow_pickle=False)
        files = {workspace / path: buffer.getvalue()}
        if self.settings.beside_images and sample.path is not None:
            files[sample.path.with_name(PurePosixPath(path).name)] = buffer.getvalue()
        sample.row.update(landmarks=points, landmark_confidence=float(result.confidence), landmark_path=path)
        if result.mesh is not None:
            sample.scratch["mesh"] = result.mesh
        return files
