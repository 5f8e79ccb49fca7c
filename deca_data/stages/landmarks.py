"""Finds the 68 landmarks of the face in the box."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, Field

from deca_data.backends.protocols import Landmarker, LandmarkResult
from deca_data.boxes import longer_side
from deca_data.sample import Sample
from deca_data.sidecars import sidecar_path
from deca_data.stage import ModelStage
from manifests.errors import UsageError
from manifests.files import write_atomic
from manifests.schema import Column

POSE = "landmark_pose"
"""Workspace column: yaw, pitch and roll in degrees where the backend knows them better than the 68 points."""


class LandmarkSettings(BaseModel, frozen=True, extra="forbid"):
    """What counts as landmarks, and where they are written.

    Attributes:
        min_confidence: photos whose landmarks have a lower confidence are dropped.
        beside_images: whether each `.npy` is also written beside its photo.
        dense: whether the 478 points of the mesh, with depth, are written too.
    """

    min_confidence: float = Field(default=0.0, ge=0, le=1)
    beside_images: bool = False
    dense: bool = False


class LandmarkStage(ModelStage):
    """Writes the landmarks as a column and as a `.npy` file of (68, 2) float32 for each photo.

    With the MediaPipe backend it also keeps the dense mesh, in pixels of the image, in ``scratch["mesh"]``,
    and in ``scratch["likeness"]`` whether it has a person's shape.
    """

    name = "landmarks"
    version = 4
    reads = ("box",)
    writes = ("landmarks", "landmark_confidence", "landmark_path", "dense_path")
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

    workspace_columns = (Column(POSE, pa.list_(pa.float32()), "deg", "yaw, pitch, roll by the dense mesh"),)

    settings: LandmarkSettings
    backend: Landmarker

    def run(self, samples: Sequence[Sample], workspace: Path) -> None:
        """Sets the columns and writes the files; a sample without plausible landmarks is dropped.

        Raises:
            UsageError: the mesh is wanted from a backend that has none.
        """
        images = [sample.image for sample in samples]
        boxes = [sample.box() for sample in samples]
        for sample, box, result in zip(samples, boxes, self.backend.landmarks(images, boxes), strict=True):
            reason = self._implausible(result, box)
            if reason is not None:
                sample.drop(self.name, reason)
                continue
            assert result is not None
            self._keep(sample, result, workspace)

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

    def _keep(self, sample: Sample, result: LandmarkResult, workspace: Path) -> None:
        """Writes the files and sets the columns."""
        points = sample.to_photo(result.points).astype(np.float32)
        path = sidecar_path("landmarks", sample.row["dataset"], sample.row["image"], ".npy")
        data = _npy(points)
        files = {workspace / path: data}
        sample.row["dense_path"] = None
        if self.settings.dense:
            dense = sidecar_path("dense", sample.row["dataset"], sample.row["image"], ".npy")
            files[workspace / dense] = _npy(self._dense(sample, result))
            sample.row["dense_path"] = dense
        if self.settings.beside_images and sample.path is not None:
            beside = sample.path.with_name(PurePosixPath(path).name)
            check_ours(beside, workspace / path, data)
            files = {beside: data, **files}  # first, so that a kill between the two leaves the new one beside
        for file, content in files.items():
            write_atomic(file, content, synced=False)
        sample.unsynced += files
        sample.row.update(landmarks=points, landmark_confidence=float(result.confidence), landmark_path=path)
        # float32 as in the file: quality must get the same angles in this pass and in a later one
        sample.row[POSE] = None if result.pose is None else np.asarray(result.pose, np.float32).tolist()
        sample.scratch["likeness"] = result.likeness
        if result.mesh is not None:
            sample.scratch["mesh"] = result.mesh

    def _dense(self, sample: Sample, result: LandmarkResult) -> np.ndarray:
        """(478, 3) float32: the mesh in pixels of the photo."""
        if result.mesh is None:
            raise UsageError(
                f"--dense: the landmark backend {self.backend.name!r} has no dense mesh; use `mediapipe`, or "
                "leave --dense out."
            )
        places = sample.to_photo(result.mesh[:, :2])
        return np.column_stack([places, result.mesh[:, 2] * sample.shrunk]).astype(np.float32)


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def check_ours(beside: Path, kept: Path, data: bytes) -> None:
    """Makes sure that no file of somebody else is overwritten in a raw folder.

    A file is the tool's own if it holds what is about to be written (``data``) or what stands in the
    workspace from the last time (``kept``).

    Raises:
        UsageError: ``beside`` is another's file.
    """
    if not os.path.lexists(beside):
        return
    found = beside.read_bytes() if beside.is_file() and not beside.is_symlink() else None
    if found == data or (found is not None and kept.is_file() and found == kept.read_bytes()):
        return
    raise UsageError(
        f"{beside}: --beside-images would overwrite this file, which this workspace did not write; move it "
        "away, or write nothing beside the photos: --set landmarks.beside_images=false."
    )
