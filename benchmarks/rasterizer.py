"""The built-in rasteriser beside PyTorch3D's, on the embedded head: time, and agreement pixel by pixel.

    python -m benchmarks.rasterizer            # CPU; needs the extra pytorch3d for the comparison
    python -m benchmarks.rasterizer --device cuda --images 32

Times are medians per image, forward only, the first call left out: processor time of one thread on a CPU
(so that other work on the machine does not count), wall-clock time after a synchronisation on a GPU.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from deca_model.heads import load_head
from deca_model.networks.encoder import framing_camera
from deca_model.render.camera import project
from deca_model.render.rasterize import Fragments, rasterize
from manifests.errors import UsageError


def main() -> None:
    """Measures, and prints a table."""
    parser = argparse.ArgumentParser(
        description="Built-in rasteriser beside PyTorch3D's, on the embedded head."
    )
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--repeats", type=int, default=3, help="of PyTorch3D; the built-in one gets ten times as many"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device(arguments.device)
    vertices, faces = heads(arguments.images, device)
    ours, fragments = measure("builtin", vertices, faces, arguments.size, 10 * arguments.repeats)
    size = f"{arguments.size} x {arguments.size}"
    print(f"{len(faces)} faces, {size}, {arguments.images} images, {device_name(device)}")
    print(f"| {'rasteriser':10} | ms an image | times slower | same face | inside the head |")
    print(f"|{'-' * 12}|{'-' * 13}|{'-' * 14}|{'-' * 11}|{'-' * 17}|")
    print(f"| {'builtin':10} | {ours:11.2f} | {1:12} | {'':9} | {'':15} |")
    try:
        theirs, other = measure("pytorch3d", vertices, faces, arguments.size, arguments.repeats)
    except UsageError as error:
        print(error)
        return
    same, inside = agreement(fragments, other)
    print(f"| {'pytorch3d':10} | {theirs:11.2f} | {theirs / ours:12.0f} | {same:9.4%} | {inside:15.4%} |")


def heads(count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Different people in different poses, framed as the crop rule frames them."""
    head = load_head("open")
    generator = torch.Generator().manual_seed(0)
    shape = torch.randn(count, head.shape_size, generator=generator) * 0.7
    pose = torch.randn(count, 6, generator=generator) * torch.tensor([0.15, 0.4, 0.1, 0.1, 0, 0])
    output = head(shape, torch.zeros(count, 50), pose)
    camera = torch.stack([framing_camera(points) for points in output.landmarks_2d])
    return project(output.vertices, camera).to(device), head.faces.to(device)


def measure(
    backend: str, vertices: Tensor, faces: Tensor, size: int, repeats: int
) -> tuple[float, Fragments]:
    """Median milliseconds an image, and what was seen."""
    fragments = rasterize(vertices, faces, size, backend)
    times = [
        _clock(lambda: rasterize(vertices, faces, size, backend), vertices.device) for _ in range(repeats)
    ]
    return statistics.median(times) * 1000 / len(vertices), fragments


def agreement(first: Fragments, second: Fragments) -> tuple[float, float]:
    """Share of pixels with the same face: of all, and of those where either sees the head."""
    same = first.face_index == second.face_index
    either = (first.face_index >= 0) | (second.face_index >= 0)
    return float(same.float().mean()), float(same[either].float().mean())


def device_name(device: torch.device) -> str:
    """What the figures were taken on."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "one CPU thread"


def _clock(call: Callable[[], object], device: torch.device) -> float:
    if device.type == "cpu":
        start = time.process_time()
        call()
        return time.process_time() - start
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    call()
    torch.cuda.synchronize(device)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
