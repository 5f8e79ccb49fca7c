"""Albedo spaces: texture codes to UV maps of the skin's colour.

An albedo space is linear: a mean and a basis, as for the head's shape. The whole batch is one matrix product
of codes and basis, so no copy of the basis is made per image (the official code makes 157 MB per image).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from deca_model.heads.head import Head
from deca_model.render.uv import UvLayout
from manifests.errors import UsageError


class AlbedoSpace(nn.Module):
    """Texture codes to albedo maps. Its buffers are not in the state dict: the file may be licensed."""

    mean: Tensor  # (3, S, S)
    basis: Tensor  # (N, 3 * S * S)

    def __init__(self, mean: Tensor, basis: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean.float(), persistent=False)
        self.register_buffer("basis", basis.float().reshape(len(basis), -1).contiguous(), persistent=False)

    def forward(self, codes: Tensor) -> Tensor:  # (B, <= N) -> (B, 3, S, S)
        """RGB, about [0, 1]; not clipped, so that gradients do not vanish. Missing codes are 0.

        Raises:
            ValueError: There are more codes than modes.
        """
        if codes.shape[1] > len(self.basis):
            raise ValueError(
                f"{codes.shape[1]} texture codes, but the albedo space has {len(self.basis)} modes"
            )
        offsets = codes @ self.basis[: codes.shape[1]]
        return self.mean + offsets.view(-1, *self.mean.shape)


def load_albedo(head: Head, layout: UvLayout, path: Path | None = None, modes: int = 50) -> AlbedoSpace:
    """The albedo space for a head.

    Args:
        head: The head; with a file it must be FLAME.
        layout: The head's rasterised UV layout; the maps have its size.
        path: ``FLAME_texture.npz`` or ``FLAME_albedo_from_BFM.npz``; None gives the built-in space.
        modes: How many modes of the file to keep.

    Raises:
        UsageError: The file is missing or is no albedo space, or the head is not FLAME.
    """
    if path is None:
        from deca_model.render.builtin_albedo import builtin_albedo

        return AlbedoSpace(*builtin_albedo(head, layout))
    if head.name != "flame":
        raise UsageError(
            f"the albedo space {path} does not fit the {head.name} head: use FLAME, or no model.albedo_path"
        )
    from deca_model.files.albedo_files import read_albedo_file

    return AlbedoSpace(*map(torch.from_numpy, read_albedo_file(path, layout.size, modes)))
