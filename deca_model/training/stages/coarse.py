"""The second stage: the head is rendered and compared with the photo.

encode -> (codes twice, shapes swapped within each subject) -> head -> camera -> albedo x light ->
photometric, identity and emotion losses, and the landmark losses. EMOCA's expression stage is the same, but
trains another encoder.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deca_model.data.loading import FaceBatch
from deca_model.losses.emotion import emotion_loss, load_emotion_features
from deca_model.losses.frozen import keep_weights_in
from deca_model.losses.identity import face_overlay, identity_loss
from deca_model.losses.photometric import photometric_loss
from deca_model.losses.regularizers import white_light_prior
from deca_model.losses.swapping import doubled, doubled_codes
from deca_model.losses.terms import Terms, landmark_terms, prior_terms
from deca_model.losses.vggface2 import load_face_features
from deca_model.losses.weight_files import weight_file
from deca_model.networks.codes import Codes
from deca_model.networks.model import Deca, Posed, resized
from deca_model.render.light import shade
from deca_model.render.renderer import Rendering, composite
from deca_model.settings.groups import LossSettings, TrainingConfig
from deca_model.training.stages.dense_terms import dense_terms, fair_share
from deca_model.training.stages.ring_terms import ring_terms


class CoarseStage(nn.Module):
    """Trains E_flame by rendering.

    Raises:
        UsageError: a loss whose weight is not 0 has no weight file.
    """

    name = "coarse"
    parts: tuple[str, ...] = ("coarse",)
    network_losses: tuple[str, ...] = ("identity", "emotion")

    def __init__(self, model: Deca, config: TrainingConfig) -> None:
        super().__init__()
        self.model = model
        self.weights = config.loss
        self.networks = frozen_networks(config.loss)
        keep_weights_in(model.precision, self.networks.values())

    def forward(self, batch: FaceBatch) -> Terms:
        """The losses on the batch and, in training with partners, also on its copy with swapped shapes."""
        photos, truth, masks, has_mask = batch.faces(), batch.landmarks, batch.visible(), batch.has_mask
        codes = self.encode(photos)
        partners = batch.partners if self.training else None
        used = codes
        if partners is not None:
            used = doubled_codes(codes, partners)
            photos, truth, masks, has_mask = map(doubled, (photos, truth, masks, has_mask))
        posed = self.model.pose(used)
        losses = landmark_terms(posed, truth, self.weights)
        losses |= dense_terms(self.model, posed, batch, self.weights, self.training)
        counts: dict[str, Tensor] = {}
        if self._renders():
            found, counts = self._picture_terms(posed, photos, masks, has_mask, len(batch.images))
            losses |= found
        losses |= ring_terms(codes.shape, partners, batch.subjects, self.weights)
        priors = {"shape": codes.shape, "expression": codes.expression, "texture": codes.texture}
        losses |= prior_terms(priors, self.weights)
        if self.weights.light_prior:
            losses["light_prior"] = white_light_prior(codes.light)
        return Terms(losses, counts)

    def encode(self, photos: Tensor) -> Codes:
        """All codes; gradients reach the encoder that this stage trains."""
        return self.model.encode(photos)

    def trainable(self) -> nn.Module:
        """E_flame."""
        return self.model.coarse

    def _renders(self) -> bool:
        return bool(self.weights.photometric or self.weights.identity or self.weights.emotion)

    def _picture_terms(
        self, posed: Posed, photos: Tensor, masks: Tensor, has_mask: Tensor, different: int
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The losses of the pictures; only the first ``different`` photos are different ones."""
        size = self.model.settings.render_size
        photos, masks = resized(photos, size), resized(masks, size)
        albedo = self.model.albedo(posed.codes.texture)
        picture = self.model.renderer(posed.head.vertices, posed.vertices, albedo, posed.codes.light, size)
        losses: dict[str, Tensor] = {}
        counts: dict[str, Tensor] = {}
        if self.weights.photometric:
            if self.weights.photometric_mask == "rendered":
                masks, has_mask = torch.ones_like(masks), torch.ones_like(has_mask)
            found = photometric_loss(picture.image, photos, picture.face_mask, masks, has_mask)
            share = fair_share(found.counted) if self.training else 1.0
            losses["photometric"] = found.value * share
            counts = {"without_mask": 1 - has_mask.float().mean()}
        if self.weights.identity:
            overlay = self._overlay(picture, posed, albedo, photos)
            with self.model.reduced_precision(photos.device):
                losses["identity"] = identity_loss(overlay, photos[:different], self.networks["identity"])
        if self.weights.emotion:
            black = self.weights.emotion_background == "black"
            background = torch.zeros_like(photos) if black else photos
            shown = composite(picture.image, picture.face_mask, background)
            with self.model.reduced_precision(photos.device):
                losses["emotion"] = emotion_loss(shown, photos[:different], self.networks["emotion"])
        return losses, counts

    def _overlay(self, picture: Rendering, posed: Posed, albedo: Tensor, photos: Tensor) -> Tensor:
        """The face over the photo; the shape gets a gradient from it, colours and light do not."""
        colours = self.model.layout.to_image(albedo.detach(), picture.fragments)
        normals = picture.normals.permute(0, 2, 3, 1)
        shading = shade(normals, posed.codes.light.detach()).permute(0, 3, 1, 2) * picture.mask
        return face_overlay(colours, shading, photos, picture.face_mask)


class ExpressionStage(CoarseStage):
    """EMOCA's stage: trains the expression encoder, with E_flame frozen (Danecek et al. 2022)."""

    name = "expression"
    parts = ("coarse", "expression")

    def encode(self, photos: Tensor) -> Codes:
        """E_flame's codes without gradient, and the expression code with gradient."""
        with torch.no_grad(), self.model.reduced_precision(photos.device):
            fixed = self.model.encode(photos)
        seen = resized(photos, self.model.settings.input_size or photos.shape[-1])
        with self.model.reduced_precision(photos.device):
            expression = self.trainable()(seen).float()
        return fixed._replace(expression=expression)

    def trainable(self) -> nn.Module:
        """The expression encoder."""
        assert self.model.expression is not None
        return self.model.expression

    def train(self, mode: bool = True) -> ExpressionStage:
        """E_flame stays in evaluation mode: its batch-norm statistics must not change either."""
        super().train(mode)
        self.model.coarse.eval()
        return self


def frozen_networks(weights: LossSettings) -> nn.ModuleDict:
    """The networks of the losses whose weight is not 0.

    Raises:
        UsageError: names the loss whose file is not given, and how to switch it off.
    """
    networks = nn.ModuleDict()
    if weights.identity:
        networks["identity"] = load_face_features(weight_file(weights, "identity"))
    if weights.emotion:
        networks["emotion"] = load_emotion_features(weight_file(weights, "emotion"))
    return networks
