"""The graphs in which MediaPipe runs its bundled face networks.

The networks are driven through graphs of their own instead of `mediapipe.solutions`: the mesh network is
then given its crop directly (no second detector inside), its presence score can be read, and all work stays
on the calling thread. The graphs keep no state between images.
"""

# ruff: noqa: E402 - what is imported depends on the lines before
from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

os.environ.setdefault("GLOG_minloglevel", "3")  # read when MediaPipe's library is loaded
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from deca_data.backends.mediapipe.package import prepare

prepare()

import numpy as np
from google.protobuf import text_format
from google.protobuf.unknown_fields import UnknownFieldSet
from mediapipe.calculators.core import (  # noqa: F401 - this and the like: options that the graphs have
    constant_side_packet_calculator_pb2,
    split_vector_calculator_pb2,
)
from mediapipe.calculators.tensor import (  # noqa: F401
    image_to_tensor_calculator_pb2,
    inference_calculator_pb2,
    tensors_to_floats_calculator_pb2,
    tensors_to_landmarks_calculator_pb2,
)
from mediapipe.calculators.tensor.tensor_converter_calculator_pb2 import (
    TensorConverterCalculatorOptions,  # pyright: ignore[reportAttributeAccessIssue]
)
from mediapipe.calculators.tensor.tensors_to_detections_calculator_pb2 import (
    TensorsToDetectionsCalculatorOptions,  # pyright: ignore[reportAttributeAccessIssue]
)
from mediapipe.calculators.util import (  # noqa: F401
    landmarks_refinement_calculator_pb2,
    non_max_suppression_calculator_pb2,
)
from mediapipe.calculators.util.thresholding_calculator_pb2 import (
    ThresholdingCalculatorOptions,  # pyright: ignore[reportAttributeAccessIssue]
)
from mediapipe.framework.calculator_pb2 import (
    CalculatorGraphConfig,  # pyright: ignore[reportAttributeAccessIssue]
)
from mediapipe.framework.formats import detection_pb2, landmark_pb2  # noqa: F401 - registers types
from mediapipe.framework.formats.rect_pb2 import (
    NormalizedRect,  # pyright: ignore[reportAttributeAccessIssue]
)
from mediapipe.framework.tool import switch_container_pb2  # noqa: F401
from mediapipe.python import packet_creator, packet_getter
from mediapipe.python._framework_bindings import (
    calculator_graph,
    image_frame,
    resource_util,
    validated_graph_config,
)

from deca_data.backends.mediapipe.models import LOWEST_SCORE, MESH_INPUT, RawDetection, Seen

_MESH_GRAPH = """
input_stream: "image"
input_stream: "roi"
output_stream: "landmarks"
input_side_packet: "with_attention"
node {
  calculator: "FaceLandmarkCpu"
  input_stream: "IMAGE:image"
  input_stream: "ROI:roi"
  input_side_packet: "WITH_ATTENTION:with_attention"
  output_stream: "LANDMARKS:landmarks"
}
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

_PRESENCE = "facelandmarkcpu__face_presence_score"

_PLAIN = (
    "facelandmarkcpu__switchcontainer_2__tensorstofacelandmarkswithattention__mesh_landmarks"  # 468 points
)

_RECORD, _TAGS = 17, {0: 0x0A, 1: 15, 2: 0x0D, 7: 0x15, 12: 0x1D}
"""A landmark in the bytes of a list: field 1 of 15 bytes; in it fields 1, 2, 3, each a tag and four bytes."""


class FaceGraphs:
    """The mesh network and both detectors, each made at its first use (see `FaceModels`)."""

    def mesh(self, crop: np.ndarray) -> Seen:
        """See `FaceModels.mesh`."""
        out = self._mesh_graph.run(image=_image_packet(crop), roi=self._whole_crop)
        mesh, first = (_pixels(out[name]) for name in ("landmarks", _PLAIN))
        plain = np.concatenate([first, mesh[len(first) :]])  # the irises are in the closer look only
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
            # Below any score, so that the points always come out and the caller judges.
            _set_option(config, "ThresholdingCalculator", ThresholdingCalculatorOptions, "threshold", -1.0)
            take_crop_as_it_is(config)
            with_attention = packet_creator.create_bool(True)
            outputs = ("landmarks", _PLAIN, _PRESENCE)
            graph = _Graph(config, outputs, {"with_attention": with_attention})
            blank = np.zeros((MESH_INPUT, MESH_INPUT, 3), np.uint8)
            graph.run(image=_image_packet(blank), roi=self._whole_crop)
        return graph

    @cached_property
    def _detectors(self) -> _Detectors:
        return _Detectors()


def _pixels(packet: Any) -> np.ndarray:
    """(N, 3) float32: the landmarks of a packet in pixels of the crop."""
    points = points_of(packet_getter.get_proto(packet)) * np.float32(MESH_INPUT)
    points[:, :2] -= np.float32(0.5)
    return points


def points_of(landmarks: Any) -> np.ndarray:
    """(N, 3) float32: x, y and z of a NormalizedLandmarkList.

    They are read from its bytes, a tenth of the time of asking every landmark for every value; where any
    landmark has other fields than those three, all are asked.
    """
    data = np.frombuffer(landmarks.SerializeToString(), np.uint8)
    if len(data) == _RECORD * len(landmarks.landmark):
        records = data.reshape(-1, _RECORD)
        if (records[:, list(_TAGS)] == list(_TAGS.values())).all():
            values = [records[:, start : start + 4] for start in (3, 8, 13)]
            return np.concatenate(values, axis=1).view("<f4")
    found = [(point.x, point.y, point.z) for point in landmarks.landmark]
    return np.array(found, np.float32).reshape(-1, 3)


class _Detectors(dict[str, "_Graph"]):
    """The two detector graphs, made when first asked for."""

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
        resource_util.set_resource_dir(str(Path(packet_getter.__file__).parents[2]))
        del config.executor[:]
        config.executor.add(type="ApplicationThreadExecutor")
        self._outputs: dict[str, Any] = {}
        self._time = 0
        self._graph = calculator_graph.CalculatorGraph(graph_config=config)
        for name in outputs:
            self._graph.observe_output_stream(name, self._outputs.__setitem__, True)
        self._graph.start_run(side_packets or {})

    def run(self, **inputs: Any) -> dict[str, Any]:
        """Feeds one packet to each input stream; returns the packets of the output streams."""
        self._outputs.clear()
        self._time += 1  # packets must come with rising times; nothing else depends on it
        for name, packet in inputs.items():
            self._graph.add_packet_to_input_stream(name, packet.at(self._time))
        self._graph.wait_until_idle()
        return self._outputs


def expanded(text: str) -> Any:
    """The graph with its sub-graphs unfolded, so that inner streams and options can be reached."""
    config = text_format.Parse(text, CalculatorGraphConfig())
    validated = validated_graph_config.ValidatedGraphConfig()
    validated.initialize(graph_config=config)
    expanded = CalculatorGraphConfig()
    expanded.ParseFromString(validated.binary_config)
    for node in expanded.node:
        if len(UnknownFieldSet(node.options)):  # they would be lost on the way to the graph
            raise RuntimeError(f"MediaPipe's {node.calculator} has options whose type is not imported here")
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
    """Has the mesh graph give its image to the network without cutting the region out of it.

    The image is the region, and has the size of the network's input already: warping it would give the same
    pixels again, and takes a fifteenth of the graph's time.
    """
    (node,) = (node for node in config.node if node.calculator == "ImageToTensorCalculator")
    options = TensorConverterCalculatorOptions()
    options.output_tensor_float_range.min, options.output_tensor_float_range.max = 0.0, 1.0
    node.calculator = "TensorConverterCalculator"
    node.ClearField("options")
    node.node_options.add().Pack(options)
    node.input_stream.remove("NORM_RECT:roi")


def _image_packet(image: np.ndarray) -> Any:
    return packet_creator.create_image_frame(
        np.ascontiguousarray(image), image_format=image_frame.ImageFormat.SRGB
    )


def _raw(proto: Any, width: int, height: int) -> RawDetection:
    box = proto.location_data.relative_bounding_box
    right, left = proto.location_data.relative_keypoints[:2]  # the subject's eyes, as the image shows them
    corners = (box.xmin, box.ymin, box.xmin + box.width, box.ymin + box.height)
    pixels = np.array(corners) * (width, height, width, height) - 0.5
    roll = float(np.arctan2((left.y - right.y) * height, (left.x - right.x) * width))
    return RawDetection(float(proto.score[0]), pixels, roll)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences the lines that MediaPipe writes to stderr while it starts, which no setting turns off."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
