"""The rasteriser on a CUDA device: what the CPU sees, with the CPU's gradient."""

from __future__ import annotations

import torch

from benchmarks.rasterizer import heads
from deca_model.render.rasterize import rasterize
from tests.gpu_device import DEVICE, needs_gpu

pytestmark = needs_gpu


def test_it_sees_what_the_cpu_sees() -> None:
    vertices, faces = heads(4, torch.device("cpu"))
    cpu, gpu = rasterize(vertices, faces, 224), rasterize(vertices.to(DEVICE), faces.to(DEVICE), 224)
    agree = gpu.face_index.cpu() == cpu.face_index
    assert agree.float().mean() > 0.9999
    assert torch.allclose(gpu.barycentric.cpu()[agree], cpu.barycentric[agree], atol=1e-3)


def test_its_kernels_equal_the_tensor_code_and_give_the_cpus_gradient(monkeypatch) -> None:
    vertices, faces = heads(4, torch.device("cpu"))
    results = []
    for device, triton in (("cpu", False), (DEVICE, False), (DEVICE, True)):
        monkeypatch.setattr("deca_model.render.rasterize.triton_works", lambda triton=triton: triton)
        points = vertices.to(device).requires_grad_()
        seen = rasterize(points, faces.to(device), 224)
        pull = torch.randn(seen.barycentric.shape, generator=torch.Generator().manual_seed(0)).to(device)
        ((seen.barycentric * pull).sum() + (seen.depth * pull[..., 0]).sum()).backward()
        assert points.grad is not None
        results.append((seen.face_index.cpu(), points.grad.cpu()))
    assert torch.equal(results[1][0], results[2][0])
    assert (results[0][0] == results[2][0]).float().mean() > 0.9999
    for _, gradient in results[1:]:
        assert (gradient - results[0][1]).norm() < 0.01 * results[0][1].norm()
