"""The identity loss: does the rendered face look like the same person?"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn.functional import cosine_similarity

from deca_model.losses.frozen import photo_features


def identity_loss(
    overlay: Tensor,  # (B, 3, H, W) RGB in [0, 1]
    images: Tensor,  # (B, 3, H, W) RGB in [0, 1], or (B / k, 3, H, W) if they are the same k times
    features: Callable[[Tensor], Tensor],
) -> Tensor:  # ()
    """1 - cosine similarity of the face features of overlay and photo, mean over the batch.

    DECA (Feng et al. 2021, section 4.1, identity loss).

    Args:
        overlay: The rendered face over the photo (``face_overlay``).
        images: The photos.
        features: Images to vectors (B, D): a frozen network such as ``vggface2.FaceFeatures``. The photos'
            features get no gradient.
    """
    target = photo_features(images, features, len(overlay)).float()
    return (1 - cosine_similarity(features(overlay).float(), target, dim=1)).mean()


def face_overlay(
    albedo: Tensor,  # (B, 3, H, W)
    shading: Tensor,  # (B, 3, H, W)
    images: Tensor,  # (B, 3, H, W)
    face_mask: Tensor,  # (B, 1, H, W), 0 or 1
) -> Tensor:  # (B, 3, H, W)
    """The rendered face over the photo: only the face region, and only where it is seen.

    The official overlay lacks the second condition, so it paints background as face. Light and albedo must
    get no gradient from this loss: the caller computes the shading from a detached light (``shade(normals,
    light.detach())``) and detaches the albedo map. The sampling position keeps its gradient.
    """
    return albedo * shading * face_mask + images * (1 - face_mask)
