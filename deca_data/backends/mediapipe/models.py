"""MediaPipe's bundled face networks, each as one call: a crop in, arrays out.

The library takes over a second to import, so it is imported at the first call. A process that only plans
never imports it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from importlib.metadata import distribution, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deca_data.backends.mediapipe.outputs import Networks, RawDetection, Seen
from manifests.errors import UsageError

if TYPE_CHECKING:
    from deca_data.backends.mediapipe.graphs import FaceGraphs

METHOD = "3"
"""Version of how the networks are used; when it changes, older workspaces run their stages again."""

_MODELS = {
    "mesh": "face_landmark/face_landmark_with_attention.tflite",
    "short": "face_detection/face_detection_short_range.tflite",
    "full": "face_detection/face_detection_full_range_sparse.tflite",
    "person": "selfie_segmentation/selfie_segmentation.tflite",
}


class FaceModels:
    """The mesh network and both detectors, each made at its first use, one set for a process.

    Raises:
        ModuleNotFoundError: MediaPipe is not installed.
    """

    def __init__(self) -> None:
        version("mediapipe")

    def fingerprint(self, *kinds: str) -> dict[str, str]:
        """As the function ``fingerprint``."""
        return fingerprint(*kinds)

    def each(self, function: Callable[..., Any], *columns: Sequence[Any]) -> list[Any]:
        """``function`` of each photo's values, one photo after the other."""
        return [function(*row) for row in zip(*columns, strict=True)]

    def mesh(self, crop: np.ndarray) -> Seen:
        """See `Networks.mesh`."""
        return self._graphs.mesh(crop)

    def detect(self, image: np.ndarray, kind: str) -> list[RawDetection]:
        """See `Networks.detect`."""
        return self._graphs.detect(image, kind)

    @cached_property
    def _graphs(self) -> FaceGraphs:
        from deca_data.backends.mediapipe.graphs import FaceGraphs

        return FaceGraphs()


def face_networks(device: str) -> Networks:
    """The networks for ``device``: in MediaPipe's graphs on the CPU, else in torch, in batches.

    Raises:
        ModuleNotFoundError: MediaPipe or the reader of its files is not installed.
        UsageError: torch is needed and not installed.
    """
    if device == "cpu":
        return FaceModels()
    try:
        import torch  # noqa: F401 - the extra `data` does not bring it
    except ModuleNotFoundError as error:
        raise UsageError(
            f"--device {device}: MediaPipe's networks run in torch there, which is not installed: install it "
            "with `pip install 'deca-data[data,train]'`, or leave the option out."
        ) from error
    from deca_data.backends.mediapipe.torch_models import TorchModels

    return TorchModels(device)


def model_file(kind: str) -> Path:
    """The file of the network "mesh", "short", "full" or "person" in MediaPipe's folder."""
    return Path(str(distribution("mediapipe").locate_file("mediapipe/modules"))) / _MODELS[kind]


def fingerprint(*kinds: str) -> dict[str, str]:
    """MediaPipe's version, ``METHOD``, and the first 16 hex digits of the SHA-256 of the models ``kinds``."""
    result = {"mediapipe": version("mediapipe"), "method": METHOD}
    for kind in kinds:
        result[kind] = hashlib.sha256(model_file(kind).read_bytes()).hexdigest()[:16]
    return result
