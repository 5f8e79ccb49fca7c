"""The codes that describe one face, and their order in the encoder's output."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

CODE_SIZES = {"shape": 100, "texture": 50, "expression": 50, "pose": 6, "camera": 3, "light": 27}
"""Numbers per code, in DECA's order; 236 in all."""


class Codes(NamedTuple):
    """The codes of a batch of images."""

    shape: Tensor  # (B, 100), standard deviations of the head's identity modes
    texture: Tensor  # (B, 50), standard deviations of the albedo modes
    expression: Tensor  # (B, 50), standard deviations of the expression modes
    pose: Tensor  # (B, 6), axis-angle of the whole head (3) and of the jaw (3), radians
    camera: Tensor  # (B, 3), scale (normalised units per metre), tx, ty (metres): see camera.project
    light: Tensor  # (B, 9, 3), spherical harmonics coefficients per colour: see render.light


def split_codes(flat: Tensor) -> Codes:  # (B, 236)
    """Split the encoder's output into codes."""
    shape, texture, expression, pose, camera, light = flat.split(list(CODE_SIZES.values()), dim=1)
    return Codes(shape, texture, expression, pose, camera, light.reshape(-1, 9, 3))


def code_slice(name: str) -> slice:
    """The columns of a code in the encoder's output."""
    names = list(CODE_SIZES)
    start = sum(CODE_SIZES[before] for before in names[: names.index(name)])
    return slice(start, start + CODE_SIZES[name])
