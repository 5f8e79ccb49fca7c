"""The built-in albedo space for any head: skin tones, low-frequency waves, lips, brows and eyes.

It needs no file and no licence. The mean and the three directions of skin tone are estimates: melanin changes
all three colours together, blood changes red against green and blue, the third is yellow against blue. The
waves let the colour vary over cheeks and forehead. Lips and brows are painted at the head's landmarks, and
eyeballs at its eye joints.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from deca_model.heads.head import LEFT_EYE, RIGHT_EYE, Head
from deca_model.render.uv import UvLayout

_TONE = (0.66, 0.49, 0.41)
_DIRECTIONS = ((0.15, 0.14, 0.13), (0.04, -0.02, -0.02), (0.015, 0.01, -0.035))
_WAVES = 4  # cosines of 0 to 3 half periods along u and v: 16 waves in 3 directions, 48 modes
_WAVE_SHARE = 0.3
_LIP_COLOUR, _BROW_COLOUR = (-0.02, -0.12, -0.09), (-0.28, -0.24, -0.20)
_SCLERA, _IRIS, _PUPIL = (0.80, 0.77, 0.75), (0.28, 0.19, 0.12), (0.04, 0.04, 0.04)
_IRIS_ANGLE, _PUPIL_ANGLE = 29.0, 10.0  # degrees: 6 and 2 mm on an eyeball of 12 mm


def builtin_albedo(head: Head, layout: UvLayout) -> tuple[Tensor, Tensor]:
    """Mean (3, S, S) and basis (50, 3, S, S), RGB; a code of 1 is about one standard deviation."""
    size = layout.size
    position = layout.from_vertices(head.template[None].cpu())[0]  # (3, S, S)
    points = _landmarks(head)
    lips, brows = _lips(points, position), _brows(points, position)
    eyes, eye_colour = eye_colours(head, layout)
    skin = 1 - eyes
    mean = torch.tensor(_TONE).view(3, 1, 1).expand(3, size, size)
    mean = mean + _paint(lips, _LIP_COLOUR) + _paint(brows, _BROW_COLOUR)
    mean = mean * skin + eye_colour * eyes
    modes = []
    half_period = math.pi * torch.arange(_WAVES)[:, None]
    cosines = torch.cos(half_period * (torch.arange(size) + 0.5) / size)
    for down in range(_WAVES):
        for across in range(_WAVES):
            wave = cosines[down][:, None] * cosines[across]
            share = 1.0 if down == across == 0 else _WAVE_SHARE / math.hypot(down, across)
            modes += [(share, _paint(wave * share * skin, direction)) for direction in _DIRECTIONS]
    modes.sort(key=lambda mode: -mode[0])  # stable: the skin tones come first, then the broad waves
    features = [_paint(lips / 2, _LIP_COLOUR), _paint(brows / 2, _BROW_COLOUR)]
    return mean, torch.stack(
        [modes[0][1], modes[1][1], modes[2][1], *features, *(wave for _, wave in modes[3:])]
    )


def eye_colours(head: Head, layout: UvLayout) -> tuple[Tensor, Tensor]:
    """Mask of the eyeballs (S, S), and their colour (3, S, S) by the angle to straight ahead."""
    position = layout.from_vertices(head.template[None].cpu())[0]
    weights = layout.from_vertices(head.weights[None].cpu())[0]
    joints = (head.joint_regressor @ head.template).cpu()
    mask = torch.zeros_like(position[0])
    colour = torch.zeros_like(position)
    for joint in (LEFT_EYE, RIGHT_EYE):
        ball = (weights[joint] > 0.5).float()
        direction = position - joints[joint].view(3, 1, 1)
        ahead = direction[2] / direction.norm(dim=0).clamp(min=1e-9)
        angle = torch.rad2deg(torch.acos(ahead.clamp(-1, 1)))
        iris, pupil = torch.sigmoid(_IRIS_ANGLE - angle), torch.sigmoid((_PUPIL_ANGLE - angle) * 2)
        ring = _paint(1 - iris, _SCLERA) + _paint(iris * (1 - pupil), _IRIS) + _paint(iris * pupil, _PUPIL)
        colour = colour * (1 - ball) + ring * ball
        mask = torch.maximum(mask, ball)
    return mask, colour


def _paint(amount: Tensor, colour: tuple[float, ...]) -> Tensor:  # (S, S) -> (3, S, S)
    return amount * torch.tensor(colour).view(3, 1, 1)


def _landmarks(head: Head) -> Tensor:  # (68, 3)
    corners = head.template[head.faces[head.full_faces]]
    return (corners * head.full_barycentric[..., None]).sum(dim=1).cpu()


def _lips(points: Tensor, position: Tensor) -> Tensor:  # (S, S) in [0, 1]
    """Mask of the lips: between the mouth's outer and inner outline seen from the front, near its depth."""
    flat = position[:2].flatten(1).T  # (S * S, 2)
    outer, inner = _inside(flat, points[48:60, :2]), _inside(flat, points[60:68, :2])
    near = (position[2].flatten() - points[48:60, 2].mean()).abs() < 0.02
    return _soften((outer & ~inner & near).float().view_as(position[0]))


def _brows(points: Tensor, position: Tensor) -> Tensor:  # (S, S) in [0, 1]
    """A soft band along each brow's five landmarks; 1 / e at 1 / 24 of the outer eye corners' distance."""
    width = (points[36] - points[45]).norm() / 24
    flat = position.flatten(1).T
    distance = torch.full((len(flat),), float("inf"))
    for start in (*range(17, 21), *range(22, 26)):
        distance = torch.minimum(distance, _segment_distance(flat, points[start], points[start + 1]))
    return torch.exp(-((distance / width) ** 2)).view_as(position[0])


def _inside(points: Tensor, polygon: Tensor) -> Tensor:  # (N, 2), (M, 2) -> (N,)
    """Whether points are inside a polygon: a ray to the right crosses its outline an odd number of times."""
    start, stop = polygon, polygon.roll(-1, dims=0)
    y = points[:, None, 1]
    crosses = (start[:, 1] > y) != (stop[:, 1] > y)
    slope = (stop[:, 0] - start[:, 0]) / torch.where(stop[:, 1] == start[:, 1], 1.0, stop[:, 1] - start[:, 1])
    return (crosses & (points[:, None, 0] < start[:, 0] + (y - start[:, 1]) * slope)).sum(dim=1) % 2 == 1


def _segment_distance(points: Tensor, start: Tensor, stop: Tensor) -> Tensor:  # (N, 3) -> (N,)
    along = stop - start
    share = ((points - start) @ along / along.dot(along)).clamp(0, 1)
    return (points - start - share[:, None] * along).norm(dim=1)


def _soften(mask: Tensor) -> Tensor:
    """A blur of about one texel in 128, so that painted edges are not sharp."""
    reach = max(1, len(mask) // 128)
    side = 2 * reach + 1
    return avg_pool2d(mask[None, None], side, 1, reach, count_include_pad=False)[0, 0]
