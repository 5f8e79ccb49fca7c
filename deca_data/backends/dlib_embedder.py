"""Identity embeddings with dlib's ResNet; the package face-recognition-models holds the weights."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import distribution
from pathlib import Path

import dlib
import numpy as np

from deca_data.backends.face_crop import CropFrame, cut, cut_reduced
from deca_data.head_pose import TURNED, angles, head_fit
from manifests.errors import UsageError

_FILE = "dlib_face_recognition_resnet_model_v1.dat"
_CHIP = 150  # side of the network's input, pixels
_PADDING, _TURNED_PADDING = 0.25, 0.4  # margin around the aligned face: dlib's default, and for turned heads
NOSE = (0.0, 0.29, -0.32)  # centre of the second crop, a point as in `HeadFit.place`
_EYES = 76.0  # px between the outer eye corners in the second crop: dlib's scale for frontal faces
_FACE = 256  # px: faces are scaled to this size first, because dlib takes landmarks in whole pixels only


class DlibEmbedder:
    """Embeddings of 128 numbers (D. King, 2017).

    By dlib's rule two faces show different persons if their raw vectors have a distance of 0.6 or more.

    Args:
        device: not used; the build of dlib decides where it runs.
        weights: the `.dat` file or its folder; None takes the file in face-recognition-models.
        download: not used; the package holds the weights.

    Raises:
        ModuleNotFoundError: face-recognition-models is not installed.
        UsageError: the weight file is missing.
    """

    name = "dlib"

    def __init__(self, device: str = "cpu", weights: Path | None = None, download: bool = False) -> None:
        self._file = _find(weights)
        self._network = dlib.face_recognition_model_v1(str(self._file))  # pyright: ignore

    def fingerprint(self) -> dict[str, str]:
        """Version of dlib and the weights' hash."""
        digest = hashlib.sha256(self._file.read_bytes()).hexdigest()
        return {"dlib": dlib.__version__, "weights": digest[:16]}  # pyright: ignore

    def embed(
        self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray], landmarks: Sequence[np.ndarray]
    ) -> np.ndarray:
        """Embeddings, (N, 128) float32, each of length 1; faces are aligned by landmarks, boxes are not used.

        A head turned by more than `TURNED` degrees is embedded from two crops; the result is their mean.
        """
        if not images:
            return np.zeros((0, 128), np.float32)
        crops = [face_crops(image, points) for image, points in zip(images, landmarks, strict=True)]
        chips = [chip for one in crops for chip in one]
        vectors = _unit(np.array(self._network.compute_face_descriptor(chips), np.float32))
        first = np.cumsum([0, *(len(one) for one in crops[:-1])])
        return _unit(np.add.reduceat(vectors, first))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def face_crops(image: np.ndarray, landmarks: np.ndarray) -> list[np.ndarray]:
    """The network's inputs for one face, (150, 150, 3) uint8: one crop, or two for a turned head.

    The network was trained on frontal faces, and dlib aligns by the face's outline, half of which is a guess
    on a turned head. So a turned head gets a wider margin, and a second crop by the head's pose: upright,
    centred on the nose, at the scale of a frontal face.
    """
    found = head_fit(landmarks)
    pose = None if found is None else angles(found)
    if found is None or pose is None or abs(pose.yaw) <= TURNED:
        return [_chip(image, landmarks, _PADDING)]
    scale, roll, nose = _EYES / found.scale, np.radians(pose.roll), found.place(NOSE)
    turn = scale * np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
    frame = CropFrame(np.column_stack([turn, _CHIP / 2 - turn @ nose]), (_CHIP, _CHIP), scale)
    return [_chip(image, landmarks, _TURNED_PADDING), cut(image, frame)]


def _chip(image: np.ndarray, landmarks: np.ndarray, padding: float) -> np.ndarray:
    """The upright face in dlib's own alignment, (150, 150, 3) uint8."""
    low, high = landmarks.min(0), landmarks.max(0)
    size = max(float((high - low).max()), 1.0)
    scale = _FACE / size
    x0, y0 = (low + high) / 2 - size  # twice the face's size, for the margin of the alignment
    to_face = np.array([[scale, 0, -x0 * scale - 0.5], [0, scale, -y0 * scale - 0.5]])
    face = cut_reduced(image, to_face, int(1 / scale), (2 * _FACE, 2 * _FACE))
    points = np.round((landmarks - (x0, y0)) * scale - 0.5).astype(int)
    rectangle = dlib.rectangle(0, 0, 2 * _FACE, 2 * _FACE)  # pyright: ignore
    shape = dlib.full_object_detection(rectangle, [dlib.point(int(x), int(y)) for x, y in points])  # pyright: ignore
    return dlib.get_face_chip(face, shape, size=_CHIP, padding=padding)  # pyright: ignore


def _find(weights: Path | None) -> Path:
    if weights is None:
        package = distribution("face-recognition-models")
        weights = Path(str(package.locate_file("face_recognition_models/models")))
    file = weights / _FILE if weights.is_dir() else weights
    if not file.is_file():
        raise UsageError(
            f"the weights of the embedder backend 'dlib', {_FILE}, are not at {weights}: "
            "give the file or its folder with `--weights`."
        )
    return file
