"""The four networks that the project uses against MediaPipe's own run of them, output by output."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from benchmarks.embedded_networks import RANGES, mediapipe_network, torch_network
from deca_data.backends.mediapipe.models import model_file
from deca_data.backends.tflite.file import read_file
from deca_data.backends.tflite.network import TorchNetwork
from tests.deca_model.pretend_cuda import CUDA, no_transfers, pretended_cuda

BOUND = 1e-3
"""Of outputs up to 250 (pixels, and scores before the sigmoid); `benchmarks.embedded_networks` finds 3e-4."""


@pytest.fixture(scope="module")
def crops(astronaut, coffee) -> list[np.ndarray]:
    return [astronaut[20:240, 115:335], coffee]


@pytest.mark.parametrize("kind", RANGES)
def test_the_outputs_are_those_of_mediapipe(kind, crops):
    graph = read_file(model_file(kind))
    side = graph.shapes[graph.inputs[0]][1]
    images = np.stack([cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA) for crop in crops])
    theirs = mediapipe_network(kind)
    found = torch_network(kind)(images)
    for number, image in enumerate(images):
        expected = theirs(image)
        assert [len(values) for values in expected] == [output.shape[1] for output in found]
        for values, output in zip(expected, found, strict=True):
            assert np.ptp(values) > 0 or len(values) == 1
            assert np.abs(values - output[number]).max() < BOUND


def test_an_image_alone_and_in_a_batch(crops):
    images = np.stack([cv2.resize(crop, (128, 128)) for crop in crops])
    run = torch_network("short")
    together, alone = run(images), run(images[1:])
    for batch, one in zip(together, alone, strict=True):
        assert np.abs(batch[1:] - one).max() < BOUND


@pytest.mark.parametrize("kind", RANGES)
def test_a_gpu_would_not_wait_for_the_host(kind, monkeypatch):
    """On a pretended GPU: nothing is made on the host or read back within the network."""
    graph = read_file(model_file(kind))
    network = TorchNetwork(graph).eval()
    with pretended_cuda(monkeypatch), torch.no_grad():
        images = torch.empty(4, *graph.shapes[graph.inputs[0]][1:], device=CUDA)
        moved = network.to(CUDA)
        with no_transfers():
            found = moved(images)
        assert {output.device for output in found} == {CUDA}
    assert [output.shape for output in found] == [(4, *graph.shapes[number][1:]) for number in graph.outputs]
