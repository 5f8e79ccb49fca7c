"""Half precision on a CUDA device, which is only pretended here."""

from __future__ import annotations

import pytest
import torch

from deca_data.backends import load_backend
from deca_data.backends.precision import network_type
from tests.deca_data.backends.network_files import NETWORKS, write_weights
from tests.deca_model.pretend_cuda import CUDA, pretended_cuda


@pytest.mark.parametrize("name", ["bisenet", "arcface"])
def test_networks_compute_in_float16_on_a_gpu_only(name, tmp_path, monkeypatch):
    pytest.importorskip("facexlib")
    backend = load_backend(NETWORKS[name].kind, name, weights=write_weights(name, tmp_path))
    computed = set()
    for module in backend._network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda layer, inputs, output: computed.add(output.dtype))
    run, shape, found = (
        (backend._faces, (2, 512, 512, 3), torch.bool)
        if name == "bisenet"
        else (backend._vectors, (2, 3, 112, 112), torch.float32)
    )
    with pretended_cuda(monkeypatch):
        backend._network.to(CUDA)
        backend._device = "cuda"
        out = run(torch.empty(shape, dtype=torch.uint8, device=CUDA))
        assert (out.device, out.dtype) == (CUDA, found)
    assert computed == {torch.float16}


def test_the_cpu_keeps_float32():
    assert network_type("cpu") == torch.float32
    assert network_type("cuda:1") == torch.float16
