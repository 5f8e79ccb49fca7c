"""The whole model: encoders, head, camera, albedo, renderer; codes in the middle."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from deca_model.camera import project
from deca_model.codes import Codes, split_codes
from deca_model.config import ModelSettings, RunSettings
from deca_model.encoder import coarse_encoder, framing_camera
from deca_model.heads import Head, HeadOutput, load_head
from deca_model.render import Renderer
from deca_model.uv import UvLayout


class Posed(NamedTuple):
    """A batch of posed heads under their cameras."""

    codes: Codes
    head: HeadOutput  # metres, head space
    vertices: Tensor  # (B, V, 3) normalised image coordinates
    landmarks: Tensor  # (B, 68, 2) normalised image coordinates, contour by yaw


class Deca(nn.Module):
    """DECA on one head.

    The submodules that hold weights are ``coarse`` (E_flame); everything else is a buffer that is not
    saved, because it comes from files that may be licensed.
    """

    def __init__(self, settings: ModelSettings, run: RunSettings) -> None:
        """Builds the model with a random start.

        Raises:
            UsageError: a file that the settings name is missing or unfit.
        """
        super().__init__()
        self.settings = settings
        self.precision = torch.bfloat16 if run.precision == "bfloat16" else torch.float32
        self.head: Head = load_head(settings.head, settings.head_path)
        self.coarse = coarse_encoder(settings.encoder, framing_camera(neutral_landmarks(self.head)))
        self.layout = UvLayout(self.head, settings.uv_size)
        self.renderer = Renderer(self.head, self.layout, settings.rasterizer)

    def encode(self, images: Tensor) -> Codes:  # (B, 3, S, S) RGB in [0, 1]
        """Images to codes; the network may run in bfloat16, the codes are float32."""
        with self.reduced_precision(images.device):
            flat = self.coarse(images)
        return split_codes(flat.float())

    def pose(self, codes: Codes) -> Posed:
        """Codes to posed vertices and landmarks, in head space and in the image."""
        output = self.head(codes.shape, codes.expression, codes.pose)
        return Posed(
            codes=codes,
            head=output,
            vertices=project(output.vertices, codes.camera),
            landmarks=project(output.landmarks_2d, codes.camera)[..., :2],
        )

    def reduced_precision(self, device: torch.device) -> torch.autocast:
        """The context in which the networks compute."""
        return torch.autocast(device.type, self.precision, enabled=self.precision != torch.float32)


def neutral_landmarks(head: Head) -> Tensor:  # (68, 3)
    """The landmarks of the mean head, in its own space."""
    zeros = head.template.new_zeros
    with torch.no_grad():
        return head(zeros(1, 1), zeros(1, 1), zeros(1, 6)).landmarks_2d[0]


def resolve_device(name: str) -> torch.device:
    """Turns the setting ``run.device`` into a device.

    Raises:
        UsageError: the device does not exist here.
    """
    from manifests.errors import UsageError

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"run.device={name}: no such device; use auto, cpu, cuda or cuda:0.") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"run.device={name}: torch sees no CUDA device here; use run.device=cpu.")
    return device
