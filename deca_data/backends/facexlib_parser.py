"""Masks from facexlib's face-parsing networks, BiSeNet and ParseNet; the user provides the weights.

Both were trained on CelebAMask-HQ, but number its 19 classes differently.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from facexlib.parsing import init_parsing_model
from facexlib.parsing.bisenet import BiSeNet
from facexlib.parsing.parsenet import ParseNet

from deca_data.backends.face_crop import CropFrame, cut, paste
from deca_data.backends.facexlib_weights import trained
from deca_data.backends.precision import reduced

INPUT = 512  # side of the networks' input, pixels
CLASSES = 19
CHUNK, GPU_CHUNK = 8, 64  # images in one forward pass: 512 x 512 x 19 logits are 20 MB each

# Class numbers of skin, brows, eyes, nose, mouth and lips in each network. The other classes are not face:
# background, glasses, ears, earring, neck, necklace, cloth, hair, hat.
BISENET_FACE = (1, 2, 3, 4, 5, 10, 11, 12, 13)
PARSENET_FACE = (1, 2, 4, 5, 6, 7, 10, 11, 12)


class _NetworkParser:
    """The code that both parsers share; the class attributes hold the differences."""

    name: str
    title: str
    build: Callable[[], Any]
    face_classes: tuple[int, ...]
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]

    def __init__(self, *, device: str = "cpu", weights: Path | None = None, download: bool = False):
        fetch = partial(init_parsing_model, self.name, device="cpu") if download else None
        file = f"parsing_{self.name}.pth"
        network, self._digest = trained(self.title, self.build, file, weights, fetch)
        self._network, self._device = network.to(device), device
        self._chunk = CHUNK if torch.device(device).type == "cpu" else GPU_CHUNK

    def fingerprint(self) -> dict[str, str]:
        """Version of facexlib and the weights' hash."""
        return {"facexlib": version("facexlib"), "weights": self._digest}

    def parse(
        self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray], landmarks: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """Masks (H, W) uint8, 255 on the visible face; see `protocols.Parser`."""
        masks: list[np.ndarray] = []
        for start in range(0, len(images), self._chunk):
            part = slice(start, start + self._chunk)
            masks += self._parse_chunk(
                images[part], [np.asarray(points, np.float64) for points in landmarks[part]]
            )
        return masks

    def _parse_chunk(self, images: Sequence[np.ndarray], landmarks: Sequence[np.ndarray]) -> list[np.ndarray]:
        frames = [aligned_frame(points) for points in landmarks]
        crops = np.stack([cut(image, frame) for image, frame in zip(images, frames, strict=True)])
        faces = self._faces(torch.from_numpy(crops).to(self._device)).cpu().numpy().astype(np.uint8)
        return [
            paste(_this_face(face, points, frame).astype(np.float32), frame, image.shape[:2])
            for image, points, frame, face in zip(images, landmarks, frames, faces, strict=True)
        ]

    @torch.inference_mode()
    def _faces(self, crops: torch.Tensor) -> torch.Tensor:  # (B, 512, 512, 3) uint8 -> (B, 512, 512) bool
        batch = crops.permute(0, 3, 1, 2).float() / 255
        mean, deviation = batch.new_tensor(self.mean), batch.new_tensor(self.deviation)
        with reduced(self._device):
            # both networks return further outputs, which only their training uses
            logits = self._network((batch - mean[:, None, None]) / deviation[:, None, None])[0]
        return face_mask(logits, self.face_classes)


class BiSeNetParser(_NetworkParser):
    """BiSeNet (Yu et al., 2018) as in facexlib: 53 MB of weights, input normalised as for ImageNet.

    Args:
        device: torch device.
        weights: `parsing_bisenet.pth` or its folder; None looks in facexlib's own cache.
        download: whether facexlib may fetch the file.

    Raises:
        UsageError: the file is missing or is not BiSeNet's.
    """

    name, title = "bisenet", "BiSeNet"
    build = staticmethod(partial(BiSeNet, num_class=CLASSES))
    face_classes = BISENET_FACE
    mean = (0.485, 0.456, 0.406)
    deviation = (0.229, 0.224, 0.225)


class ParseNetParser(_NetworkParser):
    """ParseNet (Chen et al., PSFR-GAN, 2021) as in facexlib: 85 MB of weights, input from -1 to 1.

    About twenty times slower than BiSeNet on a CPU. Arguments and errors as for `BiSeNetParser`; the file is
    `parsing_parsenet.pth`.
    """

    name, title = "parsenet", "ParseNet"
    build = staticmethod(partial(ParseNet, in_size=INPUT, out_size=INPUT, parsing_ch=CLASSES))
    face_classes = PARSENET_FACE
    mean = (0.5, 0.5, 0.5)
    deviation = (0.5, 0.5, 0.5)


def face_mask(
    logits: torch.Tensor,  # (B, 19, H, W)
    face_classes: Sequence[int],
) -> torch.Tensor:
    """(B, H, W) bool: true where the most likely class is in ``face_classes``."""
    classes = torch.as_tensor(tuple(face_classes), device=logits.device)
    return torch.isin(logits.argmax(1), classes)


def aligned_frame(landmarks: np.ndarray) -> CropFrame:
    """The 512 x 512 crop of a face as in CelebA-HQ (Karras et al., 2018, appendix C).

    Args:
        landmarks: (68, 2) iBUG order, pixels of the image.
    """
    right_eye, left_eye = landmarks[36:42].mean(0), landmarks[42:48].mean(0)
    eyes = (right_eye + left_eye) / 2
    across = left_eye - right_eye
    down = (landmarks[48] + landmarks[54]) / 2 - eyes
    x = across - np.array([-down[1], down[0]])
    length = max(float(np.hypot(*x)), 1e-3)
    half = max(2.0 * float(np.hypot(*across)), 1.8 * float(np.hypot(*down)), 1.0)
    x = x / length
    turn = np.array([x, [-x[1], x[0]]])
    scale = INPUT / (2 * half)
    shift = (INPUT - 1) / 2 - scale * turn @ (eyes + 0.1 * down)
    matrix = np.concatenate([scale * turn, shift[:, None]], 1).astype(np.float32)
    return CropFrame(matrix, (INPUT, INPUT), scale)


def _this_face(face: np.ndarray, landmarks: np.ndarray, frame: CropFrame) -> np.ndarray:
    """Keeps the parts of the mask that touch the hull of the landmarks; others show another person."""
    points = np.asarray(landmarks, np.float32) @ frame.matrix[:, :2].T + frame.matrix[:, 2]
    outline = np.zeros_like(face)
    cv2.fillConvexPoly(outline, cv2.convexHull(np.round(points).astype(np.int32)), (1,))
    count, labels = cv2.connectedComponents(face, connectivity=4)
    touched = np.zeros(count, np.uint8)
    touched[np.unique(labels[outline > 0])] = 1
    touched[0] = 0
    return touched[np.asarray(labels, np.intp)]
