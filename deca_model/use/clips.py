"""A clip: the faces of a video's frames as one person, with one shape and codes that are smooth over time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from deca_model.networks.codes import Codes
from deca_model.networks.model import Deca
from deca_model.use.inference import Reconstruction, as_pictures, sharp_crop
from manifests.images.crop import Square, covered_part, cut_square, snap

SMOOTHING = 0.06
"""Seconds: the standard deviation of the Gaussian over which codes are averaged."""
_BATCH = 8


@dataclass(frozen=True)
class Clip:
    """The codes of every frame, also of frames in which no face was found.

    ``camera`` is that of the crops in ``squares``, which move smoothly, too.
    """

    codes: Codes  # of F frames
    squares: tuple[Square, ...]  # F
    frontal: int  # the frame whose face looks most to the front, of those with a face
    smoothed: bool


def make_clip(
    codes: Codes,  # of N frames with a face
    squares: Sequence[Square],  # N
    frames: Sequence[int],  # N: the number of each of these frames, growing
    count: int,  # F, of all frames
    per_second: float,
    smooth: bool = True,
) -> Clip:
    """One person over time.

    Shape and albedo codes become their mean. With ``smooth``, expression, pose, camera and light are averaged
    over neighbouring frames with Gaussian weights; without, a frame without a face has the codes of the
    nearest one with a face. The camera is averaged in pixels of the video, because each crop has its own.

    Raises:
        ValueError: there is no frame with a face.
    """
    if not len(frames):
        raise ValueError("a clip needs a frame with a face")
    weights = _weights(np.asarray(frames), count, per_second, smooth)
    sides = torch.tensor(np.stack([square.side for square in squares]), dtype=torch.float64)[:, None]
    centres = torch.tensor(np.stack([square.center for square in squares]), dtype=torch.float64)
    camera = codes.camera.cpu().double()
    scale = sides / 2 * camera[:, :1]  # pixels per metre
    flip = torch.tensor([1.0, -1.0])
    origin = centres + flip * scale * camera[:, 1:]  # where the origin of head space is, pixels
    mean_sides, mean_centres, mean_scale, mean_origin = (
        weights @ each for each in (sides, centres, scale, origin)
    )
    placed = [
        snap(Square(centre.numpy(), side.numpy()[0]))[0]
        for centre, side in zip(mean_centres, mean_sides, strict=True)
    ]
    sides = torch.tensor(np.stack([square.side for square in placed]))[:, None]
    centres = torch.tensor(np.stack([square.center for square in placed]))
    shift = flip * (mean_origin - centres) / mean_scale
    device, dtype = codes.camera.device, codes.camera.dtype
    moved = torch.cat([2 * mean_scale / sides, shift], dim=1).to(device, dtype)
    weights = weights.to(device, dtype)
    turn = codes.pose[:, :3].norm(dim=1)
    return Clip(
        Codes(
            codes.shape.mean(dim=0).expand(count, -1),
            codes.texture.mean(dim=0).expand(count, -1),
            weights @ codes.expression,
            weights @ codes.pose,
            moved,
            (weights @ codes.light.flatten(1)).view(count, *codes.light.shape[1:]),
        ),
        tuple(placed),
        int(frames[int(turn.argmin())]),
        smooth,
    )


@torch.no_grad()
def clip_faces(
    model: Deca,
    size: int,
    clip: Clip,
    images: Iterable[np.ndarray],  # F times (H, W, 3) uint8 RGB
    detail: Tensor | None = None,  # (1, 128)
) -> Iterator[Reconstruction]:
    """The clip's faces in batches, in order.

    Args:
        model: in evaluation mode.
        size: side of the crops in pixels.
        clip: the codes.
        images: every frame of the clip.
        detail: the person's detail code; with it, each frame has its displacement.
    """
    stream, start = iter(images), 0
    while start < len(clip.squares):
        squares = clip.squares[start : start + _BATCH]
        cuts = [snap(square)[1] for square in squares]
        shots = [next(stream) for _ in squares]
        part = Codes(*(value[start : start + _BATCH] for value in clip.codes))
        device = part.shape.device
        pairs = list(zip(shots, cuts, strict=True))
        photos = as_pictures(np.stack([cut_square(shot, cut, size) for shot, cut in pairs]), device)
        sharp = as_pictures(np.stack([sharp_crop(shot, cut) for shot, cut in pairs]), device)
        inside = np.stack([covered_part(cut, size, shot.shape[:2]) for shot, cut in pairs])[:, None]
        covered = torch.from_numpy(inside.astype(np.float32)).to(device)
        moves = None if detail is None else model.displacement(detail.expand(len(squares), -1), part)
        yield Reconstruction(photos, covered, squares, model.pose(part), moves, sharp)
        start += len(squares)


def one_frame(clip: Clip, number: int) -> Clip:
    """The clip of one of its frames."""
    codes = Codes(*(value[number : number + 1] for value in clip.codes))
    return Clip(codes, clip.squares[number : number + 1], 0, clip.smoothed)


def joined(parts: Sequence[Codes]) -> Codes:
    """The codes of several batches as one."""
    return Codes(*(torch.cat(values) for values in zip(*parts, strict=True)))


def _weights(frames: np.ndarray, count: int, per_second: float, smooth: bool) -> Tensor:  # (F, N) float64
    """The weight of each face for each frame; the rows sum to one."""
    apart = (np.arange(count)[:, None] - frames[None]) / per_second  # seconds
    if not smooth:
        nearest = np.abs(apart).argmin(axis=1)
        return torch.from_numpy(np.eye(len(frames))[nearest])
    power = -0.5 * (apart / SMOOTHING) ** 2
    power -= power.max(axis=1, keepdims=True)  # far from every face, the nearest ones count
    weights = np.exp(power)
    return torch.from_numpy(weights / weights.sum(axis=1, keepdims=True))
