"""Moving pictures of a reconstruction: a head turn, or a sweep from one set of codes to another."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from deca_model.networks.codes import Codes
from deca_model.networks.model import Deca
from deca_model.training.pictures import bytes_of
from manifests.errors import UsageError
from manifests.files import atomic_path, write_atomic

_BATCH = 8


def head_turn(codes: Codes, frames: int, degrees: float = 40.0) -> Codes:
    """The face of a batch of one, looking from one side to the other and back.

    The turn is about the vertical axis, from straight ahead: the photo's own head pose is dropped.
    """
    angles = torch.sin(torch.linspace(0, 2 * math.pi, frames + 1)[:-1]) * math.radians(degrees)
    pose = codes.pose.expand(frames, -1).clone()
    pose[:, :3] = 0
    pose[:, 1] = angles.to(pose)
    return Codes(*(value.expand(frames, *value.shape[1:]) for value in codes))._replace(pose=pose)


def sweep(start: Codes, stop: Codes, frames: int) -> Codes:
    """From one set of codes to another and back, smoothly; both are batches of one."""
    share = (1 - torch.cos(torch.linspace(0, 2 * math.pi, frames + 1)[:-1])) / 2

    def between(a: Tensor, b: Tensor) -> Tensor:
        weight = share.to(a).view(-1, *[1] * (a.dim() - 1))
        return a + (b - a) * weight

    return Codes(*(between(a, b) for a, b in zip(start, stop, strict=True)))


@torch.no_grad()
def render_frames(
    model: Deca, codes: Codes, size: int = 256, *, textured: bool = False, detail: Tensor | None = None
) -> Iterator[np.ndarray]:  # (size, size, 3) uint8 RGB each
    """Renders codes frame by frame on white.

    Args:
        model: the model.
        codes: a frame each.
        size: side of the frames in pixels.
        textured: with albedo and light instead of grey.
        detail: (1, 128) the person's detail code; wrinkles then follow the expression.
    """
    for start in range(0, len(codes.shape), _BATCH):
        part = Codes(*(value[start : start + _BATCH] for value in codes))
        posed = model.pose(part)
        normals = None
        if detail is not None:
            displacement = model.displacement(detail.expand(len(part.shape), -1), part)
            normals = model.surface.normals(displacement, posed.head.vertices)
        if textured:
            albedo = model.albedo(part.texture)
            drawn = model.renderer(posed.head.vertices, posed.vertices, albedo, part.light, size, normals)
            pictures = drawn.image * drawn.mask + (1 - drawn.mask)
        else:
            pictures = model.renderer.shape_picture(
                posed.head.vertices, posed.vertices, size, detail_normals=normals
            )
        yield from bytes_of(pictures)


def write_animation(path: Path, frames: Sequence[np.ndarray], per_second: float = 25.0) -> None:
    """Writes frames (H, W, 3) uint8 RGB as ``.mp4``, or as numbered PNGs into a folder.

    Raises:
        UsageError: another ending, or no video encoder in this OpenCV.
    """
    if path.suffix == "":
        for n, frame in enumerate(frames):
            ok, data = cv2.imencode(".png", frame[..., ::-1])
            assert ok
            write_atomic(path / f"{n:04d}.png", data.tobytes())
        return
    if path.suffix != ".mp4":
        raise UsageError(f"{path}: an animation ends in .mp4, or is a folder for PNG frames.")
    height, width = frames[0].shape[:2]
    with atomic_path(path) as temporary:
        video = cv2.VideoWriter(str(temporary), cv2.VideoWriter.fourcc(*"mp4v"), per_second, (width, height))
        if not video.isOpened():
            raise UsageError(f"{path}: this OpenCV cannot write MP4; name a folder to get PNG frames.")
        for frame in frames:
            video.write(np.ascontiguousarray(frame[..., ::-1]))
        video.release()
