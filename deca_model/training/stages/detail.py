"""The third stage: details such as wrinkles; the coarse model is frozen.

E_flame's codes (fixed) and a detail code -> displacement in UV -> normals -> albedo x light in UV. The result
is compared with the photo sampled in UV, where the photo shows the face.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from deca_model.data.loading import FaceBatch
from deca_model.losses.detail import (
    displacement_prior,
    has_visible,
    shading_smoothness,
    soft_symmetry,
    uv_patch,
    uv_photometric_loss,
)
from deca_model.losses.frozen import keep_weights_in
from deca_model.losses.id_mrf import id_mrf_loss, load_vgg_features
from deca_model.losses.swapping import doubled
from deca_model.losses.terms import Terms
from deca_model.losses.weight_files import weight_file
from deca_model.networks.codes import Codes
from deca_model.networks.detail import SmoothSurface
from deca_model.networks.model import Deca
from deca_model.render.light import shade
from deca_model.settings.groups import TrainingConfig


class Fixed(NamedTuple):
    """What the frozen model says of a batch; the maps are in UV."""

    codes: Codes
    surface: SmoothSurface
    texture: Tensor  # (B, 3, U, U) albedo
    target: Tensor  # (B, 3, U, U) the photo
    visible: Tensor  # (B, 1, U, U), 0 to 1: which texels the photo shows

    def doubled(self) -> Fixed:
        """The batch twice, for the codes that are swapped."""
        return Fixed(
            Codes(*map(doubled, self.codes)),
            SmoothSurface(*map(doubled, self.surface)),
            *map(doubled, (self.texture, self.target, self.visible)),
        )


class DetailStage(nn.Module):
    """Trains E_detail and D_detail.

    Raises:
        UsageError: the weight of the ID-MRF loss is not 0, but there is no VGG-19 file.
    """

    parts: tuple[str, ...] = ("coarse", "detail")
    network_losses: tuple[str, ...] = ("id_mrf",)

    def __init__(self, model: Deca, config: TrainingConfig) -> None:
        super().__init__()
        self.model = model
        self.weights = config.loss
        self.networks = nn.ModuleDict()
        if config.loss.id_mrf:
            self.networks["vgg"] = load_vgg_features(weight_file(config.loss, "id_mrf"))
        keep_weights_in(model.precision, self.networks.values())

    def forward(self, batch: FaceBatch) -> Terms:
        """The losses on the batch and, in training with partners, also on its copy with swapped details.

        The count ``smooth_photometric`` is the photometric loss of the same faces without displacement.
        Compared with it, the loss shows how much the details help, whatever faces are in the batch.
        """
        photos, weights = batch.faces(), self.weights
        fixed = self._fixed(photos, batch.visible())
        counts = {"without_mask": 1 - batch.has_mask.float().mean()}
        if weights.detail_photometric:
            counts["smooth_photometric"] = self._smooth_photometric(fixed)
        detail = self.model.encode_detail(photos)
        partners = batch.partners if self.training else None
        if partners is not None:
            detail = torch.cat([detail, detail.index_select(0, partners)])
            fixed = fixed.doubled()
        displacement = self.model.displacement(detail, fixed.codes)
        normals = self.model.surface.displaced_normals(displacement, fixed.surface)
        shading = _shading(normals, fixed.codes)
        losses = self._picture_terms(fixed, shading, len(photos))
        if weights.displacement:
            losses["displacement"] = displacement_prior(displacement)
        if weights.smoothness:
            losses["smoothness"] = shading_smoothness(shading)
        if weights.symmetry:
            losses["symmetry"] = soft_symmetry(displacement, fixed.visible)
        return Terms(losses, counts)

    def trainable(self) -> nn.Module:
        """E_detail and D_detail."""
        assert self.model.detail is not None
        return self.model.detail

    def train(self, mode: bool = True) -> DetailStage:
        """Frozen parts stay in evaluation mode: their batch-norm statistics must not change either."""
        super().train(mode)
        self.model.coarse.eval()
        if self.model.expression is not None:
            self.model.expression.eval()
        return self

    @torch.no_grad()
    def _fixed(self, photos: Tensor, masks: Tensor) -> Fixed:
        """The frozen part. A photo without a mask has no visible texels: it is left out of the comparison."""
        posed = self.model.pose(self.model.encode(photos))
        return Fixed(
            codes=posed.codes,
            surface=self.model.surface.smooth(posed.head.vertices),
            texture=self.model.albedo(posed.codes.texture),
            target=self.model.layout.from_image(photos, posed.vertices),
            visible=self.model.surface.visible(posed.head.vertices, posed.vertices, masks),
        )

    @torch.no_grad()
    def _smooth_photometric(self, fixed: Fixed) -> Tensor:
        drawn = fixed.texture * _shading(fixed.surface.normals, fixed.codes)
        return uv_photometric_loss(uv_patch(drawn), uv_patch(fixed.target), uv_patch(fixed.visible))

    def _picture_terms(
        self,
        fixed: Fixed,
        shading: Tensor,  # (B, 3, U, U)
        different: int,
    ) -> dict[str, Tensor]:
        """The losses of the pictures; only the first ``different`` targets are different ones."""
        ours, theirs, seen = (
            uv_patch(fixed.texture * shading),
            uv_patch(fixed.target),
            uv_patch(fixed.visible),
        )
        losses = {}
        if self.weights.detail_photometric:
            losses["detail_photometric"] = uv_photometric_loss(ours, theirs, seen)
        if self.weights.id_mrf:
            with self.model.reduced_precision(ours.device):
                pair, counted = (ours * seen, (theirs * seen)[:different]), has_visible(seen)
                losses["id_mrf"] = id_mrf_loss(*pair, self.networks["vgg"], counted)
        return losses


def _shading(normals: Tensor, codes: Codes) -> Tensor:  # (B, 3, U, U)
    """How the surface with these normals in UV is shaded by the light of the codes."""
    return shade(normals.permute(0, 2, 3, 1), codes.light).permute(0, 3, 1, 2)
