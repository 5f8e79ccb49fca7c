"""The graphs in which MediaPipe runs its bundled face networks.

These graphs replace `mediapipe.solutions`: the mesh network gets its crop directly, without a second
detector; its presence score can be read; and all work is done on the calling thread. The graphs keep no
state between images.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import mediapipe as mp
import numpy as np
from google.protobuf import text_format
from mediapipe.calculators.tensor.tensor_converter_calculator_pb2 import (
    TensorConverterCalculatorOptions,  # pyright: ignore[reportAttributeAccessIssue]
)
from mediapipe.framework.calculator_pb2 import CalculatorGraphConfig  # pyright: ignore
from mediapipe.framework.formats.rect_pb2 import NormalizedRect  # pyright: ignore
from mediapipe.python import packet_creator, packet_getter
from mediapipe.python._framework_bindings.validated_graph_config import ValidatedGraphConfig
from mediapipe.python.solution_base import PacketDataType, SolutionBase
from mediapipe.tasks.cc.vision.gesture_recognizer.calculators import (  # noqa: F401 - registers an option of the graph
    landmarks_to_matrix_calculator_pb2,
)

from deca_data.backends.mediapipe.outputs import LOWEST_SCORE, MESH_INPUT, RawDetection, Seen

_PRESENCE = "facelandmarkcpu__face_presence_score"

# The network's 468 points before it refines lips and eyes.
_FIRST_LOOK = "facelandmarkcpu__switchcontainer_2__tensorstofacelandmarkswithattention__mesh_landmarks"

_TO_MATRIX = """
node {
  calculator: "LandmarksToMatrixCalculator"
  input_stream: "LANDMARKS:%s"
  input_stream: "IMAGE_SIZE:size"
  output_stream: "LANDMARKS_MATRIX:%s"
  options { [mediapipe.LandmarksToMatrixCalculatorOptions.ext] { object_normalization: false } }
}
"""
"""Turns a list of landmarks into an array; in Python this would add an eighth to a photo's time."""

_MESH_GRAPH = f"""
executor {{ type: "ApplicationThreadExecutor" }}
input_stream: "image"
input_stream: "roi"
input_side_packet: "with_attention"
node {{
  calculator: "FaceLandmarkCpu"
  input_stream: "IMAGE:image"
  input_stream: "ROI:roi"
  input_side_packet: "WITH_ATTENTION:with_attention"
  output_stream: "LANDMARKS:landmarks"
}}
node {{
  calculator: "ImagePropertiesCalculator"
  input_stream: "IMAGE:image"
  output_stream: "SIZE:size"
}}
{_TO_MATRIX % ("landmarks", "mesh")}
{_TO_MATRIX % (_FIRST_LOOK, "first_look")}
"""

_DETECTOR_GRAPH = """
executor { type: "ApplicationThreadExecutor" }
input_stream: "image"
output_stream: "detections"
node {
  calculator: "FaceDetection%sCpu"
  input_stream: "IMAGE:image"
  output_stream: "DETECTIONS:detections"
}
"""

_MATRIX = PacketDataType.AUDIO  # MediaPipe's name for any matrix
_WHOLE_CROP = packet_creator.create_proto(NormalizedRect(x_center=0.5, y_center=0.5, width=1, height=1))


class FaceGraphs:
    """The mesh network and both detectors, each made at its first use (see `FaceModels`)."""

    def mesh(self, crop: np.ndarray) -> Seen:
        """See `Networks.mesh`."""
        out = self._mesh_graph.run(image=_image_packet(crop), roi=_WHOLE_CROP)
        mesh, first = (_pixels(out[name]) for name in ("mesh", "first_look"))
        plain = np.concatenate([first, mesh[len(first) :]])  # only the refined points have irises
        return Seen(mesh, plain, packet_getter.get_float(out[_PRESENCE]))

    def detect(self, image: np.ndarray, kind: str) -> list[RawDetection]:
        """See `Networks.detect`."""
        graph = self._short_graph if kind == "short" else self._full_graph
        packet = graph.run(image=_image_packet(image)).get("detections")
        if packet is None or packet.is_empty():
            return []
        height, width = image.shape[:2]
        found = [_raw(proto, width, height) for proto in packet_getter.get_proto_list(packet)]
        return sorted(found, key=lambda face: (-face.score, *face.box))

    @cached_property
    def _mesh_graph(self) -> _Graph:
        return _started(
            without_warp(parsed(_MESH_GRAPH)),
            {"roi": _WHOLE_CROP},
            # Below any score, so that the graph always returns the points and the caller decides.
            calculator_params={"facelandmarkcpu__ThresholdingCalculator.threshold": -1.0},
            side_inputs={"with_attention": True},
            outputs=["mesh", "first_look", _PRESENCE],
            stream_type_hints={"mesh": _MATRIX, "first_look": _MATRIX},
        )

    @cached_property
    def _short_graph(self) -> _Graph:
        return _detector_graph("ShortRange")

    @cached_property
    def _full_graph(self) -> _Graph:
        return _detector_graph("FullRange")


def _detector_graph(kind: str) -> _Graph:
    name = "facedetection" + kind.lower()
    score = f"{name}cpu__{name}__facedetection__TensorsToDetectionsCalculator.min_score_thresh"
    return _started(
        parsed(_DETECTOR_GRAPH % kind),
        {},
        calculator_params={score: LOWEST_SCORE},
        stream_type_hints={"detections": PacketDataType.PROTO_LIST},
    )


class _Graph(SolutionBase):
    """A running graph; its packets are read as they are, because `process` makes a class for each result."""

    _graph: Any

    def run(self, **inputs: Any) -> dict[str, Any]:
        """Feeds one packet to each input stream; returns the packets of the output streams."""
        self._graph_outputs.clear()
        self._simulated_timestamp += 1  # each packet needs a later time than the last
        for name, packet in inputs.items():
            self._graph.add_packet_to_input_stream(name, packet.at(self._simulated_timestamp))
        self._graph.wait_until_idle()
        return self._graph_outputs


def parsed(text: str) -> Any:
    """The message of a graph that is written as text."""
    return text_format.Parse(text, CalculatorGraphConfig())


def without_warp(config: Any) -> Any:
    """The mesh graph with all its parts, in which the network gets the image as it is.

    The image is the region already, in the size of the network's input: cutting the region out of it would
    give the same pixels, and takes a fifteenth of the graph's time.
    """
    whole = ValidatedGraphConfig()
    whole.initialize(graph_config=config)
    config = parsed(whole.text_config)
    (node,) = (node for node in config.node if node.calculator == "ImageToTensorCalculator")
    options = TensorConverterCalculatorOptions()
    options.output_tensor_float_range.min, options.output_tensor_float_range.max = 0.0, 1.0
    node.calculator = "TensorConverterCalculator"
    node.ClearField("options")
    node.ClearField("node_options")
    node.node_options.add().Pack(options)
    node.input_stream.remove("NORM_RECT:roi")
    return config


def _started(config: Any, inputs: dict[str, Any], **options: Any) -> _Graph:
    """The graph, after its first run, in which MediaPipe writes to stderr."""
    with _quiet():
        graph = _Graph(graph_config=config, **options)
        graph.run(image=_image_packet(np.zeros((MESH_INPUT, MESH_INPUT, 3), np.uint8)), **inputs)
    return graph


def _image_packet(image: np.ndarray) -> Any:
    return packet_creator.create_image_frame(np.ascontiguousarray(image), image_format=mp.ImageFormat.SRGB)


def _pixels(packet: Any) -> np.ndarray:
    """(N, 3) float32: the landmarks of a packet in pixels of the crop."""
    points = packet_getter.get_matrix(packet).T * np.float32(MESH_INPUT)
    points[:, :2] -= np.float32(0.5)
    return points


def _raw(proto: Any, width: int, height: int) -> RawDetection:
    box = proto.location_data.relative_bounding_box
    corners = (box.xmin, box.ymin, box.xmin + box.width, box.ymin + box.height)
    pixels = np.array(corners) * (width, height, width, height) - 0.5
    places = [(point.x, point.y) for point in proto.location_data.relative_keypoints]
    points = np.array(places) * (width, height) - 0.5
    across = points[1] - points[0]  # between the eyes
    return RawDetection(float(proto.score[0]), pixels, float(np.arctan2(across[1], across[0])), points)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hides the lines that MediaPipe writes to stderr when it starts; no setting turns them off."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
