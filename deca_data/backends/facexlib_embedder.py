"""Identity embeddings with facexlib's ArcFace; the user provides the weights."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from facexlib.recognition import init_recognition_model
from facexlib.recognition.arcface_arch import Backbone

from deca_data.backends.face_crop import cut_reduced
from deca_data.backends.facexlib_weights import trained
from deca_data.backends.precision import reduced

_FILE = "recognition_arcface_ir_se50.pth"
_SIDE = 112
_CHUNK = 256

TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""(5, 2) pixels: the eyes, the nose tip and the corners of the mouth in ArcFace's training crops.

They are InsightFace's template for 112 x 112 pixels."""


class ArcFaceEmbedder:
    """Embeddings of 512 numbers: ArcFace (Deng et al., CVPR 2019), IR-SE-50.

    Args:
        device: torch device.
        weights: `recognition_arcface_ir_se50.pth` or its folder; None looks in facexlib's own cache.
        download: whether facexlib may fetch a missing file; facexlib can do so only on a machine with a GPU.

    Raises:
        UsageError: the file is missing, cannot be fetched, or does not hold these weights.
    """

    name = "arcface"

    def __init__(self, device: str = "cpu", weights: Path | None = None, download: bool = False) -> None:
        build = partial(Backbone, num_layers=50, drop_ratio=0.6, mode="ir_se")
        fetch = partial(init_recognition_model, "arcface") if download else None
        network, self._digest = trained("ArcFace", build, _FILE, weights, fetch)
        self._network, self._device = network.to(device), device

    def fingerprint(self) -> dict[str, str]:
        """Version of facexlib and the weights' hash."""
        return {"facexlib": version("facexlib"), "weights": self._digest}

    def embed(
        self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray], landmarks: Sequence[np.ndarray]
    ) -> np.ndarray:
        """Embeddings, (N, 512) float32, each of length 1; aligned by landmarks, boxes are not used."""
        vectors = [np.zeros((0, 512), np.float32)]
        for start in range(0, len(images), _CHUNK):
            part = slice(start, start + _CHUNK)
            crops = [
                aligned(image, points) for image, points in zip(images[part], landmarks[part], strict=True)
            ]
            batch = torch.from_numpy(np.stack(crops)).to(self._device).permute(0, 3, 1, 2).contiguous()
            vectors.append(self._vectors(batch).cpu().numpy())
        return np.concatenate(vectors)

    @torch.inference_mode()
    def _vectors(self, batch: torch.Tensor) -> torch.Tensor:  # (B, 3, 112, 112) uint8 -> (B, 512)
        with reduced(self._device):
            found = self._network(batch.float() / 127.5 - 1)
        return found.float()  # of length 1: autocast takes norms in float32


def aligned(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The face, rotated and scaled so that five points lie on ArcFace's template; (112, 112, 3) uint8.

    The similarity transform is the least-squares one (Umeyama, PAMI 1991, without reflection).

    Args:
        image: (H, W, 3) uint8 RGB.
        landmarks: (68, 2) iBUG order, pixels.
    """
    points = np.array(
        [landmarks[36:42].mean(0), landmarks[42:48].mean(0), landmarks[30], landmarks[48], landmarks[54]],
        float,
    )
    source, target = points - points.mean(0), TEMPLATE - TEMPLATE.mean(0)
    # In 2-D a rotation with a scale is one complex number.
    a, b = source @ (1, 1j), target @ (1, 1j)
    factor = (np.conj(a) @ b) / max(float((np.abs(a) ** 2).sum()), 1e-9)
    turn = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    matrix = np.column_stack([turn, TEMPLATE.mean(0) - turn @ points.mean(0)])
    return cut_reduced(image, matrix, int(1 / max(abs(factor), 1e-6)), (_SIDE, _SIDE))
