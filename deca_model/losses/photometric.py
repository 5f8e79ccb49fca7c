"""The photometric loss: colour differences of render and photo where the photo shows the face."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class PhotometricLoss(NamedTuple):
    """The loss, and the numbers of images with and without a mask."""

    value: Tensor  # (); 0, without gradient, if no image has a mask
    counted: int
    without_mask: int


def photometric_loss(
    rendered: Tensor,  # (B, 3, H, W)
    images: Tensor,  # (B, 3, H, W) in [0, 1]
    rendered_mask: Tensor,  # (B, 1, H, W), 0 or 1: where the face is rendered
    face_mask: Tensor,  # (B, 1, H, W), 0 to 1: where the photo shows the face
    has_mask: Tensor,  # (B,) bool: whether the manifest has a mask for the image
) -> PhotometricLoss:
    """Mean absolute colour difference over the pixels of both masks, mean over the images that have a mask.

    DECA (Feng et al. 2021, section 4.1, photometric loss). An image without a mask is left out and counted;
    the official loader uses a mask of ones instead, so hair and background get into the albedo. An image
    whose two masks share no pixel has loss 0. The masks get no gradient.
    """
    weight = (rendered_mask * face_mask).detach() * has_mask.view(-1, 1, 1, 1).to(rendered.dtype)
    difference, _ = mean_difference(rendered, images, weight)
    counted = int(has_mask.sum())
    return PhotometricLoss(difference.sum() / max(counted, 1), counted, len(images) - counted)


def mean_difference(
    drawn: Tensor,  # (B, 3, H, W)
    photo: Tensor,  # (B, 3, H, W)
    weight: Tensor,  # (B, 1, H, W), 0 to 1
) -> tuple[Tensor, Tensor]:  # (B,), (B,)
    """Each image's weighted mean of the absolute colour difference, and its sum of weights."""
    difference = ((drawn - photo).abs().mean(dim=1, keepdim=True) * weight).flatten(1).sum(dim=1)
    area = weight.flatten(1).sum(dim=1)
    return difference / area.clamp(min=1.0), area
