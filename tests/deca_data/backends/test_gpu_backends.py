"""The networks of the stages on a CUDA device, in float16, against the CPU; random weights, no MediaPipe."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from skimage.data import astronaut

from deca_data.backends import load_backend
from manifests.errors import UsageError
from tests.deca_data.backends.network_files import NETWORKS, write_weights
from tests.deca_model.synthetic import ASTRONAUT
from tests.gpu_device import DEVICE, needs_gpu

pytestmark = needs_gpu
BOX = np.array([*ASTRONAUT.min(0), *ASTRONAUT.max(0)], np.float64)


def both(name: str, folder) -> list[Any]:
    """The backend on the CPU and on the device."""
    try:
        weights = write_weights(name, folder)
    except UsageError as error:
        pytest.skip(str(error))
    return [load_backend(NETWORKS[name].kind, name, weights=weights, device=d) for d in ("cpu", DEVICE)]


def photos() -> list[np.ndarray]:
    portrait = np.ascontiguousarray(astronaut())
    return [portrait, np.ascontiguousarray(portrait[:400]), 255 - portrait]


def test_arcface_gives_the_vectors_of_the_cpu(tmp_path):
    cpu, gpu = (backend.embed(photos(), [BOX] * 3, [ASTRONAUT] * 3) for backend in both("arcface", tmp_path))
    assert gpu.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(gpu, axis=1), 1, atol=1e-3)
    assert (cpu * gpu).sum(1).min() > 0.999


def test_bisenet_gives_the_masks_of_the_cpu(tmp_path):
    cpu, gpu = (backend.parse(photos(), [BOX] * 3, [ASTRONAUT] * 3) for backend in both("bisenet", tmp_path))
    for one, other in zip(cpu, gpu, strict=True):
        assert one.shape == other.shape
        assert (one == other).mean() > 0.97  # with random weights many pixels have two classes that are near


def test_fan_gives_the_heat_maps_of_the_cpu(tmp_path):
    backends = both("face-alignment", tmp_path)
    found = [backend.landmarks(photos(), [BOX] * 3) for backend in backends]
    assert [np.isfinite(each.points).all() for each in found[1]] == [True] * 3
    crops = torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    maps = []
    for backend in backends:
        network = backend._network.face_alignment_net
        first = next(network.parameters())
        with torch.inference_mode():
            out = network(crops.to(first.device, first.dtype))
        maps.append((out[-1] if isinstance(out, list) else out).float().cpu())
    assert (maps[0] - maps[1]).norm() < 0.05 * maps[0].norm()
