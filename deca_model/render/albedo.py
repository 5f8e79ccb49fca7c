"""Albedo spaces: texture codes to UV maps of the skin's colour.

A linear space, mean and basis, like the shape's. The whole batch is one matrix product of codes and basis, so
nothing of the basis' size is made per image (the official code makes 157 MB an image).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from deca_model.heads.head import Head
from deca_model.render.uv import UvLayout
from manifests.errors import UsageError


class AlbedoSpace(nn.Module):
    """Turns texture codes into albedo maps. Buffers only, outside state dicts: the file may be licensed."""

    mean: Tensor  # (3, S, S)
    basis: Tensor  # (N, 3 * S * S)

    def __init__(self, mean: Tensor, basis: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean.float(), persistent=False)
        self.register_buffer("basis", basis.float().reshape(len(basis), -1).contiguous(), persistent=False)

    def forward(self, codes: Tensor) -> Tensor:  # (B, <= N) -> (B, 3, S, S)
        """RGB in about [0, 1], not clipped, so that gradients never vanish; missing codes count as 0.

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
        head: The head; a file needs FLAME's UV layout.
        layout: The head's rasterised UV layout; the maps have its size.
        path: ``FLAME_texture.npz`` or ``FLAME_albedo_from_BFM.npz``; without it, the built-in space.
        modes: How many modes to keep.

    Raises:
        UsageError: The file is missing or not an albedo space, or the head is not FLAME.
    """
    if path is None:
        from deca_model.render.builtin_albedo import builtin_albedo

        return AlbedoSpace(*builtin_albedo(head, layout))
    if head.name != "flame":
        raise UsageError(f"the albedo space {path} is painted on FLAME: it does not fit the {head.name} head")
    from deca_model.files.albedo_files import read_albedo_file

    return AlbedoSpace(*map(torch.from_numpy, read_albedo_file(path, layout.size, modes)))
