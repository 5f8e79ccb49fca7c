"""Landmarks with MediaPipe's bundled mesh network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from deca_data.backends.mediapipe.agreement import fit_on_box
from deca_data.backends.mediapipe.detections import Reduced, detect_reduced
from deca_data.backends.mediapipe.face_frame import FaceFrame, face_frame
from deca_data.backends.mediapipe.fit import ON_BOX, Fit
from deca_data.backends.mediapipe.landmarks import ibug_landmarks
from deca_data.backends.mediapipe.likeness import SUSPECT, likeness, rarity
from deca_data.backends.mediapipe.mesh_pose import head_angles
from deca_data.backends.mediapipe.models import face_networks
from deca_data.backends.mediapipe.outputs import Networks
from deca_data.backends.protocols import LandmarkResult
from deca_data.boxes import overlap


class MediapipeLandmarker:
    """The attention mesh of 478 points, mapped to the 68 points of iBUG.

    The confidence is the network's presence score. Profiles and doubtful faces get several passes: over the
    crop and its mirror image, from two or three start crops. Their confidence is the lower presence of the
    two passes, reduced by the disagreement of passes and starts (see `Fit.confidence`). That of a face whose
    mesh is rare among people is lower too: such faces are mostly animals' (see `likeness`).

    Args:
        device: "cpu" runs MediaPipe's graphs; on another device the same networks run in torch, in batches.
        weights: not used; the networks are MediaPipe's own.
        download: not used.
        networks: in place of those for ``device``.
    """

    name = "mediapipe"

    def __init__(
        self,
        device: str = "cpu",
        weights: Path | None = None,
        download: bool = False,
        networks: Networks | None = None,
    ) -> None:
        self._models = face_networks(device) if networks is None else networks

    def fingerprint(self) -> dict[str, str]:
        """MediaPipe's version and its models' hashes."""
        return self._models.fingerprint("mesh", "short", "full")

    def landmarks(
        self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray]
    ) -> list[LandmarkResult | None]:
        """Landmarks and mesh of the face in each box; None where no mesh fits."""
        return self._models.each(self._landmarks, images, boxes)

    def mesh(self, image: np.ndarray, box: np.ndarray) -> np.ndarray | None:
        """The (478, 3) float32 mesh of the face in ``box`` (x, y in pixels of the image), or None."""
        found = fit_on_box(self._models, image, np.asarray(box, np.float64))
        return None if found is None else found.mesh

    def _landmarks(self, image: np.ndarray, box: np.ndarray) -> LandmarkResult | None:
        found = fit_on_box(self._models, image, np.asarray(box, np.float64))
        if found is None:
            return None
        frame = face_frame(found.mesh)
        human = likeness(self._rarity(image, box, found, frame))
        return LandmarkResult(
            ibug_landmarks(found.mesh, frame),
            found.confidence * human,
            found.mesh,
            head_angles(found.mesh, frame),
            human,
        )

    def _rarity(self, image: np.ndarray, box: np.ndarray, found: Fit, frame: FaceFrame) -> float:
        """How rare the face is among people; where its mesh is, the detector is asked too."""
        alone = rarity(found.mesh, found.plain, frame=frame)
        if alone < SUSPECT:
            return alone
        faces = detect_reduced(self._models, Reduced.of(image), "short")
        face = max(faces, key=lambda one: overlap(one.box, box), default=None)
        if face is None or overlap(face.box, box) < ON_BOX:
            return alone
        return rarity(found.mesh, found.plain, face, frame)
