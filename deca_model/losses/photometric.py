"""The photometric loss: colour differences of render and photo where the photo shows the face."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class PhotometricLoss(NamedTuple):
    """The loss, and the number of images with a mask."""

    value: Tensor  # (); 0, without gradient, if no image has a mask
    counted: Tensor  # () int64; not read back, because that would wait for a GPU


def photometric_loss(
    rendered: Tensor,  # (B, 3, H, W)
    images: Tensor,  # (B, 3, H, W) in [0, 1]
    rendered_mask: Tensor,  # (B, 1, H, W), 0 or 1: where the face is rendered
    face_mask: Tensor,  # (B, 1, H, W), 0 to 1: where the photo shows the face
    has_mask: Tensor,  # (B,) bool: whether the manifest has a mask for the image
) -> PhotometricLoss:
    """Absolute colour difference in both masks, mean over all pixels of the images that have a mask.

    DECA (Feng et al. 2021, section 4.1, photometric loss). The mean is over the whole picture, as in the
    official trainer, so a small face pulls less than a large one. An image without a mask is left out and
    counted; the official loader uses a mask of ones instead, so hair and background get into the albedo. The
    masks get no gradient.
    """
    weight = (rendered_mask * face_mask).detach() * has_mask.view(-1, 1, 1, 1).to(rendered.dtype)
    counted = has_mask.sum()
    value = masked_difference(rendered, images, weight).sum() / counted.clamp(min=1)
    return PhotometricLoss(value, counted)


def masked_difference(
    drawn: Tensor,  # (B, 3, H, W)
    photo: Tensor,  # (B, 3, H, W)
    weight: Tensor,  # (B, 1, H, W), 0 to 1
) -> Tensor:  # (B,)
    """Each image's absolute colour difference times the weight, mean over all its pixels and colours."""
    return ((drawn - photo).abs() * weight).flatten(1).mean(dim=1)
