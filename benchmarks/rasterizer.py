"""The built-in rasteriser against PyTorch3D's, on the open head: time, and agreement of the pixels.

    python -m benchmarks.rasterizer            # on the CPU; the comparison needs the extra pytorch3d
    python -m benchmarks.rasterizer --device cuda --images 32

Times are medians for an image, forward pass only, without the first call: on a CPU the CPU time of one thread
(so that other work on the machine does not count), on a GPU the wall-clock time after a synchronisation.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.tables import markdown
from deca_model.heads import load_head
from deca_model.networks.encoder import framing_camera
from deca_model.render.camera import project
from deca_model.render.rasterize import Fragments, rasterize
from manifests.errors import UsageError


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--repeats", type=int, default=3, help="calls of PyTorch3D; the built-in one gets ten times as many"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device(arguments.device)
    vertices, faces = heads(arguments.images, device)
    ours, fragments = measure("builtin", vertices, faces, arguments.size, 10 * arguments.repeats)
    rows = [["built-in", f"{ours:.2f}", "", "", ""]]
    try:
        theirs, other = measure("pytorch3d", vertices, faces, arguments.size, arguments.repeats)
        same, inside = agreement(fragments, other)
        rows.append(
            [
                "PyTorch3D",
                f"{theirs:,.0f}",
                f"{theirs / ours:,.0f}",
                f"{100 * same:.3f} %",
                f"{100 * inside:.3f} %",
            ]
        )
    except UsageError as error:
        print(error, file=sys.stderr)
    print(
        markdown(["rasteriser", "ms an image", "times as slow", "same triangle", "same, in the head"], rows)
    )
    size = f"{arguments.size} x {arguments.size}"
    print(f"\n{len(faces):,} triangles, {size}, {arguments.images} images, {device_name(device)}.")


def heads(count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Heads of different persons and poses, each framed by the crop rule."""
    head = load_head("open")
    generator = torch.Generator().manual_seed(0)
    shape = torch.randn(count, len(head.shape_basis), generator=generator) * 0.7
    pose = torch.randn(count, 6, generator=generator) * torch.tensor([0.15, 0.4, 0.1, 0.1, 0, 0])
    output = head(shape, torch.zeros(count, 50), pose)
    camera = torch.stack([framing_camera(points) for points in output.landmarks_2d])
    return project(output.vertices, camera).to(device), head.faces.to(device)


def measure(
    backend: str, vertices: Tensor, faces: Tensor, size: int, repeats: int
) -> tuple[float, Fragments]:
    """Median milliseconds an image, and the fragments."""
    fragments = rasterize(vertices, faces, size, backend)
    times = [
        _clock(lambda: rasterize(vertices, faces, size, backend), vertices.device) for _ in range(repeats)
    ]
    return statistics.median(times) * 1000 / len(vertices), fragments


def agreement(first: Fragments, second: Fragments) -> tuple[float, float]:
    """Share of pixels with the same triangle: of all, and of those where either result has one."""
    same = first.face_index == second.face_index
    either = (first.face_index >= 0) | (second.face_index >= 0)
    return float(same.float().mean()), float(same[either].float().mean())


def device_name(device: torch.device) -> str:
    """The name of the device."""
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
