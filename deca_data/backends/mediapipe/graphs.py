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
from pathlib import Path
from typing import Any

import mediapipe as mp
import numpy as np
from google.protobuf import text_format
from mediapipe.calculators.tensor.tensor_converter_calculator_pb2 import (
    TensorConverterCalculatorOptions,  # pyright: ignore[reportAttributeAccessIssue]
)
from mediapipe.calculators.tensor.tensors_to_detections_calculator_pb2 import (
    TensorsToDetectionsCalculatorOptions,  # pyright: ignore[reportAttributeAccessIssue]
)
from mediapipe.calculators.util.thresholding_calculator_pb2 import (
    ThresholdingCalculatorOptions,  # pyright: ignore[reportAttributeAccessIssue]
)
from mediapipe.framework.calculator_pb2 import (
    CalculatorGraphConfig,  # pyright: ignore[reportAttributeAccessIssue]
)
from mediapipe.framework.formats.rect_pb2 import (
    NormalizedRect,  # pyright: ignore[reportAttributeAccessIssue]
)
from mediapipe.python import packet_creator, packet_getter
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
input_stream: "image"
output_stream: "detections"
node {
  calculator: "FaceDetection%sCpu"
  input_stream: "IMAGE:image"
  output_stream: "DETECTIONS:detections"
}
"""


class FaceGraphs:
    """The mesh network and both detectors, each made at its first use (see `FaceModels`)."""

    def mesh(self, crop: np.ndarray) -> Seen:
        """See `FaceModels.mesh`."""
        out = self._mesh_graph.run(image=_image_packet(crop), roi=self._whole_crop)
        mesh, first = (_pixels(out[name]) for name in ("mesh", "first_look"))
        plain = np.concatenate([first, mesh[len(first) :]])  # only the refined points have irises
        return Seen(mesh, plain, packet_getter.get_float(out[_PRESENCE]))

    def detect(self, image: np.ndarray, kind: str) -> list[RawDetection]:
        """See `FaceModels.detect`."""
        packet = self._detectors[kind].run(image=_image_packet(image)).get("detections")
        if packet is None or packet.is_empty():
            return []
        height, width = image.shape[:2]
        found = [_raw(proto, width, height) for proto in packet_getter.get_proto_list(packet)]
        return sorted(found, key=lambda face: (-face.score, *face.box))

    @cached_property
    def _whole_crop(self) -> Any:
        return packet_creator.create_proto(NormalizedRect(x_center=0.5, y_center=0.5, width=1, height=1))

    @cached_property
    def _mesh_graph(self) -> _Graph:
        with _quiet():
            config = expanded(_MESH_GRAPH)
            # Below any score, so that the graph always returns the points and the caller decides.
            _set_option(config, "ThresholdingCalculator", ThresholdingCalculatorOptions, "threshold", -1.0)
            take_crop_as_it_is(config)
            with_attention = packet_creator.create_bool(True)
            outputs = ("mesh", "first_look", _PRESENCE)
            graph = _Graph(config, outputs, {"with_attention": with_attention})
            blank = np.zeros((MESH_INPUT, MESH_INPUT, 3), np.uint8)
            graph.run(image=_image_packet(blank), roi=self._whole_crop)
        return graph

    @cached_property
    def _detectors(self) -> _Detectors:
        return _Detectors()


def _pixels(packet: Any) -> np.ndarray:
    """(N, 3) float32: the landmarks of a packet in pixels of the crop."""
    points = packet_getter.get_matrix(packet).T * np.float32(MESH_INPUT)
    points[:, :2] -= np.float32(0.5)
    return points


class _Detectors(dict[str, "_Graph"]):
    """The two detector graphs, each made at its first use."""

    def __missing__(self, kind: str) -> _Graph:
        text = _DETECTOR_GRAPH % {"short": "ShortRange", "full": "FullRange"}[kind]
        with _quiet():
            config = expanded(text)
            kind_of_options = TensorsToDetectionsCalculatorOptions
            _set_option(
                config, "TensorsToDetectionsCalculator", kind_of_options, "min_score_thresh", LOWEST_SCORE
            )
            graph = _Graph(config, ("detections",))
            graph.run(image=_image_packet(np.zeros((128, 128, 3), np.uint8)))
        self[kind] = graph
        return graph


class _Graph:
    """A running MediaPipe graph whose work is done on the calling thread."""

    def __init__(
        self, config: Any, outputs: tuple[str, ...], side_packets: dict[str, Any] | None = None
    ) -> None:
        mp.resource_util.set_resource_dir(str(Path(mp.__file__).parents[1]))
        del config.executor[:]
        config.executor.add(type="ApplicationThreadExecutor")
        self._outputs: dict[str, Any] = {}
        self._time = 0
        self._graph = mp.CalculatorGraph(graph_config=config)
        for name in outputs:
            self._graph.observe_output_stream(name, self._outputs.__setitem__, True)
        self._graph.start_run(side_packets or {})

    def run(self, **inputs: Any) -> dict[str, Any]:
        """Feeds one packet to each input stream; returns the packets of the output streams."""
        self._outputs.clear()
        self._time += 1  # each packet needs a later time than the last; nothing else depends on it
        for name, packet in inputs.items():
            self._graph.add_packet_to_input_stream(name, packet.at(self._time))
        self._graph.wait_until_idle()
        return self._outputs


def expanded(text: str) -> Any:
    """The graph with its sub-graphs expanded, so that their streams and options can be used."""
    config = text_format.Parse(text, CalculatorGraphConfig())
    validated = mp.ValidatedGraphConfig()
    validated.initialize(graph_config=config)
    expanded = CalculatorGraphConfig()
    expanded.ParseFromString(validated.binary_config)
    return expanded


def _set_option(config: Any, calculator: str, options: Any, field: str, value: float) -> None:
    """Sets ``field`` of the options of every node of kind ``calculator``."""
    for node in config.node:
        if node.calculator != calculator:
            continue
        if node.options.HasExtension(options.ext):
            setattr(node.options.Extensions[options.ext], field, value)
        else:
            message = options()
            node.node_options[0].Unpack(message)
            setattr(message, field, value)
            node.node_options[0].Pack(message)


def take_crop_as_it_is(config: Any) -> None:
    """Makes the mesh graph give its image to the network without cropping or warping it.

    The image is the crop already, at the size of the network's input: warping would give the same pixels,
    and takes a fifteenth of the graph's time.
    """
    (node,) = (node for node in config.node if node.calculator == "ImageToTensorCalculator")
    options = TensorConverterCalculatorOptions()
    options.output_tensor_float_range.min, options.output_tensor_float_range.max = 0.0, 1.0
    node.calculator = "TensorConverterCalculator"
    node.ClearField("options")
    node.node_options.add().Pack(options)
    node.input_stream.remove("NORM_RECT:roi")


def _image_packet(image: np.ndarray) -> Any:
    return packet_creator.create_image_frame(np.ascontiguousarray(image), image_format=mp.ImageFormat.SRGB)


def _raw(proto: Any, width: int, height: int) -> RawDetection:
    box = proto.location_data.relative_bounding_box
    right, left = proto.location_data.relative_keypoints[:2]  # the person's eyes
    corners = (box.xmin, box.ymin, box.xmin + box.width, box.ymin + box.height)
    pixels = np.array(corners) * (width, height, width, height) - 0.5
    roll = float(np.arctan2((left.y - right.y) * height, (left.x - right.x) * width))
    return RawDetection(float(proto.score[0]), pixels, roll)


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
