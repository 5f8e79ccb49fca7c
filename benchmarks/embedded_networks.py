"""MediaPipe's networks in torch against MediaPipe's own run of them: same outputs, and CPU time.

    OMP_NUM_THREADS=1 python -m benchmarks.embedded_networks --photos FOLDER [--count 200] [--rounds N]

The first table compares the raw outputs for the same input pixels, absolutely and over the largest value that
the output has for the image. The detectors get the photo as in the pipeline, the mesh network the crop around
the detected face, and the person network the photo scaled to a square. The second table has the CPU time an
image, beside a graph of MediaPipe that has nothing but the network: the median of several rounds, in turns.
The third one is the pipeline's detector and landmarker over the same photos, in eights.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks.landmarks import load
from benchmarks.tables import markdown
from deca_data.backends.mediapipe.detections import Reduced
from deca_data.backends.mediapipe.fit import roi_of_box
from deca_data.backends.mediapipe.models import model_file
from deca_data.backends.mediapipe.ssd import letterboxed
from deca_data.backends.mediapipe.torch_models import TorchModels
from deca_data.backends.mediapipe_detector import MediapipeDetector
from deca_data.backends.mediapipe_landmarker import MediapipeLandmarker
from deca_data.backends.tflite.file import read_file
from deca_data.backends.tflite.network import TorchNetwork

RANGES = {"mesh": (0.0, 1.0), "short": (-1.0, 1.0), "full": (-1.0, 1.0), "person": (0.0, 1.0)}
"""The networks, and the values of black and white that each expects."""

BATCHES = (1, 8, 32)

_CONVERT = """
executor { type: "ApplicationThreadExecutor" }
input_stream: "image"
node {
  calculator: "TensorConverterCalculator"
  input_stream: "IMAGE:image"
  output_stream: "TENSORS:converted"
  options { [mediapipe.TensorConverterCalculatorOptions.ext] {
    output_tensor_float_range { min: LOW max: HIGH }
  } }
}
node { calculator: "TfLiteCustomOpResolverCalculator" output_side_packet: "OP_RESOLVER:operations" }
node {
  calculator: "InferenceCalculatorCpu"
  input_stream: "TENSORS:converted"
  output_stream: "TENSORS:computed"
  input_side_packet: "OP_RESOLVER:operations"
  options { [mediapipe.InferenceCalculatorOptions.ext] { model_path: "PATH" delegate { xnnpack {} } } }
}
node {
  calculator: "SplitTensorVectorCalculator"
  input_stream: "computed"
  OUTPUTS
  options { [mediapipe.SplitVectorCalculatorOptions.ext] { RANGES } }
}
"""


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True, help="a folder of face photos")
    parser.add_argument("--count", type=int, default=200, help="how many of them, spread over all")
    parser.add_argument("--rounds", type=int, default=5, help="how often each time is measured")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    images = list(load(options.photos, 1).values())
    images = [images[place] for place in np.linspace(0, len(images) - 1, options.count).astype(int)]
    inputs = network_inputs(images)
    header = [
        "network",
        "output",
        "values",
        "smallest",
        "largest",
        "largest difference",
        "over the image's largest value",
        "median",
    ]
    print(markdown(header, [row for kind in RANGES for row in _agreement(kind, inputs[kind])]))
    header = ["network", "MediaPipe", *(f"torch, {size} at once" for size in BATCHES), "speed of the best"]
    print("\n" + markdown(header, [_speed(kind, inputs[kind], options.rounds) for kind in RANGES]))
    print("\n" + markdown(["detection and landmarks", "MediaPipe", "torch"], _whole(images)))
    print(f"\n{len(images)} photos; CPU ms a photo; differences of landmarks in pixels of the photo.")


def network_inputs(images: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """(N, side, side, 3) uint8 for each network."""
    boxes = [found[0].box if found else None for found in MediapipeDetector().detect(images)]
    made: dict[str, list[np.ndarray]] = {kind: [] for kind in RANGES}
    for image, box in zip(images, boxes, strict=True):
        small = Reduced.of(image).image
        made["short"].append(letterboxed(small, 128))
        made["full"].append(letterboxed(small, 192))
        made["person"].append(cv2.resize(image, (256, 256), interpolation=cv2.INTER_AREA))
        box = np.array([0, 0, image.shape[1] - 1, image.shape[0] - 1]) if box is None else box
        x, y, side, _ = roi_of_box(box)
        square = np.array([[side, 0, x - side / 2], [0, side, y - side / 2]]) / 192
        square[:, 2] *= 192
        made["mesh"].append(cv2.warpAffine(image, square, (192, 192), flags=cv2.WARP_INVERSE_MAP | 1))
    return {kind: np.stack(each) for kind, each in made.items()}


def mediapipe_network(kind: str, read: bool = True) -> Callable[[np.ndarray], list[np.ndarray]]:
    """MediaPipe's own run of a network: a (side, side, 3) uint8 RGB image to its outputs, flat float32.

    Without ``read`` the outputs stay in MediaPipe, because reading them takes longer than some networks.
    """
    import mediapipe.calculators.core.split_vector_calculator_pb2
    import mediapipe.calculators.tensor.inference_calculator_pb2
    import mediapipe.calculators.tensor.tensor_converter_calculator_pb2  # noqa: F401 - register options
    from mediapipe.python import packet_getter
    from mediapipe.python.solution_base import PacketDataType

    from deca_data.backends.mediapipe.graphs import _Graph as Running
    from deca_data.backends.mediapipe.graphs import _image_packet as image_packet
    from deca_data.backends.mediapipe.graphs import parsed

    file = model_file(kind)
    count = len(read_file(file).outputs)
    names = [f"values{number}" for number in range(count)]
    low, high = RANGES[kind]
    text = _CONVERT.replace("LOW", str(low)).replace("HIGH", str(high))
    text = text.replace("PATH", "/".join(["mediapipe", *file.parts[-3:]]))
    text = text.replace("OUTPUTS", "\n".join(f'output_stream: "tensor{name}"' for name in names))
    text = text.replace("RANGES", " ".join(f"ranges {{ begin: {n} end: {n + 1} }}" for n in range(count)))
    for name in names:
        text += f"""node {{ calculator: "TensorsToFloatsCalculator"
            input_stream: "TENSORS:tensor{name}" output_stream: "FLOATS:{name}" }}"""
    kinds = dict.fromkeys(names, PacketDataType.FLOAT_LIST)
    graph = Running(graph_config=parsed(text), outputs=names, stream_type_hints=kinds)

    def run(image: np.ndarray) -> list[np.ndarray]:
        found = graph.run(image=image_packet(image))
        if not read:
            return []
        return [np.array(packet_getter.get_float_list(found[name]), np.float32) for name in names]

    return run


def torch_network(kind: str) -> Callable[[np.ndarray], list[np.ndarray]]:
    """The same network in torch: (N, side, side, 3) uint8 RGB images to its outputs, (N, values) each."""
    network = TorchNetwork(read_file(model_file(kind))).eval()
    low, high = RANGES[kind]

    def run(images: np.ndarray) -> list[np.ndarray]:
        with torch.inference_mode():
            made = network(torch.from_numpy(images).float() * ((high - low) / 255) + low)
        return [output.flatten(1).numpy() for output in made]

    return run


def _agreement(kind: str, images: np.ndarray) -> list[list[Any]]:
    """The rows of one network: for each output its range and the differences."""
    theirs, ours = mediapipe_network(kind), torch_network(kind)
    parts = [ours(images[start : start + 8]) for start in range(0, len(images), 8)]
    found = [np.concatenate(each) for each in zip(*parts, strict=True)]
    expected = [np.stack(each) for each in zip(*(theirs(image) for image in images), strict=True)]
    rows = []
    for number, (one, true) in enumerate(zip(found, expected, strict=True)):
        apart = np.abs(one - true)
        relative = apart.max(1) / np.abs(true).max(1)
        figures = [
            f"{value:.4g}"
            for value in (true.min(), true.max(), apart.max(), relative.max(), np.median(apart))
        ]
        rows.append([kind, number + 1, true.shape[1], *figures])
    return rows


def _speed(kind: str, images: np.ndarray, rounds: int) -> list[str]:
    """The row of one network: CPU milliseconds an image."""
    theirs, ours = mediapipe_network(kind, read=False), torch_network(kind)
    images = np.resize(images, (64, *images.shape[1:]))

    def one_by_one() -> None:
        for image in images:
            theirs(image)

    def in_batches(size: int) -> None:
        for start in range(0, len(images), size):
            ours(images[start : start + size])

    ways = [one_by_one, *((lambda size=size: in_batches(size)) for size in BATCHES)]
    spent: list[list[float]] = [[] for _ in ways]
    for number in range(rounds + 1):
        for way, times in zip(ways, spent, strict=True):
            start = time.process_time()
            way()
            if number:  # the first round also makes what is made once
                times.append(1000 * (time.process_time() - start) / len(images))
    figures = [median(times) for times in spent]
    best = figures[0] / min(figures[1:])
    return [kind, *(f"{figure:.2f}" for figure in figures), f"{best:.2f} times"]


def _whole(images: Sequence[np.ndarray]) -> list[list[str]]:
    """The rows of detection and landmarks together."""
    found, spent = [], []
    for networks in (None, TorchModels("cpu")):
        detector, landmarker = MediapipeDetector(networks=networks), MediapipeLandmarker(networks=networks)
        detector.detect(images[:1])
        start, results = time.process_time(), []
        for first in range(0, len(images), 8):
            part = images[first : first + 8]
            boxes = {place: faces[0].box for place, faces in enumerate(detector.detect(part)) if faces}
            marks = landmarker.landmarks([part[place] for place in boxes], list(boxes.values()))
            by_place = dict(zip(boxes, marks, strict=True))
            results += [by_place.get(place) for place in range(len(part))]
        spent.append(1000 * (time.process_time() - start) / len(images))
        found.append(results)
    pairs = [(a.points, b.points) for a, b in zip(*found, strict=True) if a is not None and b is not None]
    apart = np.array([np.abs(a - b).max() for a, b in pairs])
    counts = [str(sum(one is not None for one in results)) for results in found]
    return [
        ["photos with landmarks", *counts],
        ["CPU ms a photo", *(f"{value:.1f}" for value in spent)],
        ["a photo's largest difference: median", "", f"{np.median(apart):.2g}"],
        ["a photo's largest difference: largest", "", f"{apart.max():.2g}"],
        *(
            [f"photos that differ by more than {bound}", "", str(int((apart > bound).sum()))]
            for bound in (0.01, 0.1, 1)
        ),
    ]


if __name__ == "__main__":
    main()
