"""MediaPipe's bundled person segmentation as one call: a crop in, a map out."""

from __future__ import annotations

import hashlib
from functools import cached_property
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import cv2
import numpy as np

INPUT = 256  # pixels, the side of the network's input

_GRAPH = """
executor { type: "ApplicationThreadExecutor" }
input_stream: "image"
output_stream: "person"
node {
  calculator: "SelfieSegmentationCpu"
  input_stream: "IMAGE:image"
  output_stream: "SEGMENTATION_MASK:person"
}
"""


class PersonSegmenter:
    """The network is made at its first use, one for a process."""

    def person(self, crop: np.ndarray) -> np.ndarray:
        """(H, W) float32: the probability of "person" for an (H, W, 3) uint8 RGB crop, best a square one."""
        from mediapipe.python import packet_getter

        from deca_data.backends.mediapipe.graphs import _image_packet as image_packet

        small = cv2.resize(crop, (INPUT, INPUT), interpolation=cv2.INTER_LINEAR)
        out = self._graph.run(image=image_packet(small))["person"]
        found = packet_getter.get_image_frame(out).numpy_view()
        return cv2.resize(found, crop.shape[1::-1], interpolation=cv2.INTER_LINEAR)

    @staticmethod
    def fingerprint() -> str:
        """The first 16 hex digits of the SHA-256 of the network's file."""
        file = str(distribution("mediapipe").locate_file("mediapipe/modules/selfie_segmentation"))
        return hashlib.sha256((Path(file) / "selfie_segmentation.tflite").read_bytes()).hexdigest()[:16]

    @cached_property
    def _graph(self) -> Any:
        from deca_data.backends.mediapipe.graphs import _started as started
        from deca_data.backends.mediapipe.graphs import parsed

        return started(parsed(_GRAPH), {}, outputs=["person"])
