"""The whole model: encoders (images to codes), head and camera (codes to vertices), albedo, renderer."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from deca_model.heads import Head, HeadOutput, load_head
from deca_model.networks.codes import Codes, code_slice, split_codes
from deca_model.networks.detail import DetailDecoder, DetailSurface
from deca_model.networks.encoder import ImageEncoder, coarse_encoder, detail_encoder, framing_camera
from deca_model.render.albedo import load_albedo
from deca_model.render.camera import project
from deca_model.render.renderer import Renderer
from deca_model.render.uv import UvLayout
from deca_model.settings.groups import EncoderSettings, ModelSettings, RunSettings
from manifests.errors import UsageError
from manifests.images.crop import INFERENCE_SCALE

PARTS = ("coarse", "expression", "detail")
"""The submodules that have weights: E_flame, EMOCA's expression encoder, E_detail with D_detail."""


class Posed(NamedTuple):
    """A batch of posed heads under their cameras."""

    codes: Codes
    head: HeadOutput  # metres, head space
    vertices: Tensor  # (B, V, 3) normalised image coordinates
    landmarks: Tensor  # (B, 68, 2) normalised image coordinates; contour by yaw
    eyes: Tensor | None = None  # (B, 6) axis-angle of the left and the right eye; None: straight ahead


class Deca(nn.Module):
    """DECA on one head.

    Only ``PARTS`` have weights. The head, the UV layout and the albedo space are buffers that are not saved,
    because they come from files that may be licensed.

    Args:
        settings: sizes, files and backbones.
        run: the precision of the networks.
        parts: which of ``PARTS`` to build; ``coarse`` is always built.
        teeth: whether the open head has teeth, as outputs show it; training and measuring do without.

    Raises:
        UsageError: a file that the settings name is missing or does not fit.
    """

    neutral_camera: Tensor  # (3,) the camera that frames the mean head in neutral pose

    def __init__(
        self, settings: ModelSettings, run: RunSettings, parts: Collection[str] = (), *, teeth: bool = False
    ) -> None:
        super().__init__()
        self.settings = settings
        self.crop_scale = INFERENCE_SCALE
        """Side of the crop over the landmark box, at inference."""
        self.precision = torch.bfloat16 if run.precision == "bfloat16" else torch.float32
        self.head: Head = load_head(settings.head, settings.head_path, dense=settings.dense_path, teeth=teeth)
        neutral = framing_camera(neutral_landmarks(self.head))
        self.register_buffer("neutral_camera", neutral, persistent=False)
        self.coarse = coarse_encoder(settings.encoder, neutral)
        self.expression = expression_encoder(settings.encoder) if "expression" in parts else None
        self.detail = DetailNetworks(settings.detail_encoder, settings.uv_size) if "detail" in parts else None
        self.layout = UvLayout(self.head, settings.uv_size)
        self.renderer = Renderer(self.head, self.layout, settings.rasterizer)
        self.surface = DetailSurface(self.layout)
        self.albedo = load_albedo(self.head, self.layout, settings.albedo_path)

    def encode(self, images: Tensor) -> Codes:  # (B, 3, S, S) RGB in [0, 1]
        """Images to codes; the networks may run in bfloat16, the codes are float32."""
        images = resized(images, self.settings.input_size or images.shape[-1])
        with self.reduced_precision(images.device):
            codes = split_codes(self.coarse(images).float())
        if self.settings.encoder.framed:
            codes = codes._replace(camera=self._framed(codes))
        if self.expression is not None:
            with self.reduced_precision(images.device):
                codes = codes._replace(expression=self.expression(images).float())
        return codes

    def _framed(self, codes: Codes) -> Tensor:  # (B, 3)
        """The camera with ``encoder.framed``: the encoder's camera, applied to the posed head's framing.

        The encoder's camera differs from ``neutral_camera`` by a factor (scale) and an offset (shift). The
        same factor and offset are applied to the camera that frames the posed head's landmarks.
        """
        framing = framing_camera(self.head(codes.shape, codes.expression, codes.pose).landmarks_2d)
        scale = framing[:, :1] * codes.camera[:, :1] / self.neutral_camera[:1]
        return torch.cat([scale, framing[:, 1:] + codes.camera[:, 1:] - self.neutral_camera[1:]], dim=1)

    def pose(self, codes: Codes, eyes: Tensor | None = None) -> Posed:
        """Codes and turns of the eyes (B, 6) to posed vertices and landmarks, also in the image."""
        output = self.head(codes.shape, codes.expression, codes.pose, eye_pose=eyes)
        return Posed(
            codes=codes,
            head=output,
            vertices=project(output.vertices, codes.camera),
            landmarks=project(output.landmarks_2d, codes.camera)[..., :2],
            eyes=eyes,
        )

    def encode_detail(self, images: Tensor) -> Tensor:  # (B, 3, S, S) -> (B, 128)
        """Images to detail codes."""
        images = resized(images, self.settings.detail_input_size or images.shape[-1])
        with self.reduced_precision(images.device):
            return self._detail().encoder(images).float()

    def displacement(self, detail: Tensor, codes: Codes) -> Tensor:  # (B, 128) -> (B, 1, U, U) metres
        """Detail codes, expression and jaw pose to the displacement map, in the layout's size."""
        with self.reduced_precision(detail.device):
            found = self._detail().decoder(detail, codes.expression, codes.pose[:, 3:])
        return resized(found.float(), self.layout.size)

    def reduced_precision(self, device: torch.device) -> torch.autocast:
        """The autocast context for the networks."""
        return torch.autocast(device.type, self.precision, enabled=self.precision != torch.float32)

    def _detail(self) -> DetailNetworks:
        if self.detail is None:
            raise UsageError("this model has no detail networks: train the detail stage first.")
        return self.detail


class DetailNetworks(nn.Module):
    """E_detail and D_detail, which are trained together."""

    def __init__(self, settings: EncoderSettings, uv_size: int) -> None:
        super().__init__()
        self.encoder = detail_encoder(settings)
        self.decoder = DetailDecoder(uv_size)


def resized(pictures: Tensor, size: int) -> Tensor:  # (B, C, H, W) -> (B, C, size, size)
    """Square images at another size; antialiased when they shrink."""
    if pictures.shape[-1] == size:
        return pictures
    return interpolate(pictures, (size, size), mode="bilinear", antialias=True, align_corners=False)


def expression_encoder(settings: EncoderSettings) -> ImageEncoder:
    """EMOCA's second encoder: images to the expression code (Danecek et al. 2022). It starts neutral."""
    span = code_slice("expression")
    encoder = ImageEncoder(span.stop - span.start, settings)
    last = encoder.layers[2]
    assert isinstance(last, nn.Linear)
    nn.init.normal_(last.weight, 0.0, 1e-3)
    nn.init.zeros_(last.bias)
    return encoder


def neutral_landmarks(head: Head) -> Tensor:  # (68, 3)
    """The landmarks of the mean head in head space."""
    zeros = head.template.new_zeros
    with torch.no_grad():
        return head(zeros(1, 1), zeros(1, 1), zeros(1, 6)).landmarks_2d[0]


def resolve_device(name: str) -> torch.device:
    """The torch device for the setting ``run.device``.

    Raises:
        UsageError: the device does not exist here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"run.device={name}: no such device; use auto, cpu, cuda or cuda:0.") from None
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"run.device={name}: it is not supported; use auto, cpu, cuda or cuda:0.")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"run.device={name}: torch sees no CUDA device here; use run.device=cpu.")
    return device
