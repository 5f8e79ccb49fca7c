"""Which losses of the settings can be used, with the files and the faces that there are."""

from __future__ import annotations

from collections.abc import Sequence

from deca_model.data.faces import Faces
from deca_model.heads import load_head
from deca_model.heads.dense import FLAME_DENSE
from deca_model.losses.weight_files import decided_weights, left_out
from deca_model.settings.groups import LossSettings, ModelSettings, TrainingConfig
from deca_model.training.stages.registry import check_files, network_losses


def usable_losses(
    config: TrainingConfig, stages: Sequence[str], table: Faces
) -> tuple[TrainingConfig, list[str]]:
    """The settings with a weight of 0 for each loss that is left out, and a line about each reason.

    Raises:
        UsageError: a loss has a weight, but its file is not given or does not exist.
    """
    lines = [left_out(config.loss, network_losses(stages))]
    weights = decided_weights(config.loss)
    compared = weights.dense and any(stage != "detail" for stage in stages)
    if compared and (why := _without_dense(config.model, table)):
        weights = weights.model_copy(update={"dense": 0.0})
        lines.append(f"loss.dense is off: {why}")
    if idle := [] if table.has_masks else _need_masks(weights, stages):
        lines.append(
            f"no face has a mask, so {' and '.join(idle)} compare nothing: stop, run `deca-data masks` and "
            "`deca-data build-manifest`, and train with the new manifest"
        )
    config = config.model_copy(update={"loss": weights})
    check_files(stages, config)
    return config, [line for line in lines if line]


def _need_masks(weights: LossSettings, stages: Sequence[str]) -> list[str]:
    """The losses of the stages that compare colours only where a mask shows the face."""
    coarse = any(stage in ("coarse", "expression") for stage in stages) and weights.photometric_mask == "both"
    used = {
        "photometric": bool(weights.photometric) and coarse,
        "detail_photometric": bool(weights.detail_photometric) and "detail" in stages,
        "id_mrf": bool(weights.id_mrf) and "detail" in stages,
    }
    return [f"loss.{name}" for name, is_used in used.items() if is_used]


def _without_dense(settings: ModelSettings, table: Faces) -> str | None:
    """Why dense landmarks cannot be compared; None if they can be."""
    if not table.has_dense:
        return (
            "the manifest has no dense landmarks; `deca-data landmarks --dense`, then `deca-data "
            "build-manifest`, add them"
        )
    if settings.head == "open":
        return None
    if load_head(settings.head, settings.head_path, dense=settings.dense_path).dense_points is None:
        return (
            f"the {settings.head} head has no dense landmarks; for FLAME put {FLAME_DENSE} beside its file, "
            "or name it with --set model.dense_path=FILE"
        )
    return None
