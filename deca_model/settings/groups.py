"""The settings of a training run: what they mean, and their official values.

Every default is DECA's own (Feng et al. 2021 and its released trainer) unless its line says otherwise.
Reading YAML files, presets and ``--set`` stands in ``configfile.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

STAGES = ("pretrain", "coarse", "detail")


class Settings(BaseModel):
    """A group of settings: fixed once made, and unknown names are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSettings(Settings):
    """How faces are drawn and cut."""

    size: int = Field(default=224, ge=32, description="side of the crop in pixels")
    scales: tuple[float, float] = Field(default=(1.4, 1.8), description="crop side over landmark box")
    shift: float = Field(default=0.0, ge=0, le=0.5, description="largest shift of the crop; EMOCA: 0.1")
    workers: int = Field(default=4, ge=0, description="loader processes; 0 loads in the trainer itself")
    mix: dict[str, float] = Field(default={}, description="dataset weights; empty: each image once an epoch")


class EncoderSettings(Settings):
    """How an image encoder is built."""

    backbone: Literal["resnet50", "resnet34", "resnet18", "small"] = "resnet50"
    """The official net is resnet50; the smaller ones are for training on a CPU. ``small`` has four layers."""
    weights: Path | None = None
    """A torchvision state dict (``.pth``) to start the backbone from; without it, the start is random."""
    mirror: bool = False
    """E_flame also looks at the mirrored picture, and the turn of head and jaw and the camera are the mean of
    both looks, so that a face and its mirror image get mirrored poses from the first step on."""

    framed: bool = False
    """E_flame's camera counts from the one that frames the posed head's landmarks as the crop rule framed the
    photo's (``framing_camera``), so that a better turn brings its own shift and scale along. The codes hold
    the camera that results, as always."""

    @model_validator(mode="after")
    def _weights_fit(self) -> EncoderSettings:
        if self.backbone == "small" and self.weights is not None:
            raise ValueError("backbone 'small' is trained from a random start: leave out weights")
        return self


class ModelSettings(Settings):
    """What is trained, and on which head."""

    head: Literal["open", "flame", "ict"] = "open"
    head_path: Path | None = Field(default=None, description="the head's file or folder, for flame and ict")
    albedo_path: Path | None = Field(default=None, description="FLAME's or BFM's; none: the built-in one")
    encoder: EncoderSettings = EncoderSettings()
    input_size: int | None = Field(
        default=None, ge=32, description="side at which the coarse encoders see the crop; none: its own"
    )
    detail_encoder: EncoderSettings = EncoderSettings()
    uv_size: int = Field(default=256, ge=32, description="side of the UV maps in texels")
    render_size: int = Field(default=224, ge=32, description="side of the rendered picture in the losses")
    rasterizer: Literal["builtin", "pytorch3d"] = "builtin"


class LossSettings(Settings):
    """Weights of the losses; 0 switches a loss off, and then its weight file is not needed.

    The priors' weights are DECA's 1e-4 times its batch of 64 codes, because DECA sums over the batch
    where every loss here is a mean; so the pull equals DECA's and does not follow the batch.
    """

    landmark: float = Field(default=1.0, ge=0)
    eye: float = Field(default=1.0, ge=0)
    lip: float = Field(default=0.5, ge=0)
    corner: float = Field(default=0.0, ge=0, description="mouth corners, as EMOCA has it")
    photometric: float = Field(default=2.0, ge=0)
    identity: float = Field(default=0.2, ge=0, description="needs identity_weights")
    identity_weights: Path | None = Field(default=None, description="VGGFace2 ResNet-50 state dict")
    shape_prior: float = Field(default=6.4e-3, ge=0)
    expression_prior: float = Field(default=6.4e-3, ge=0)
    texture_prior: float = Field(default=6.4e-3, ge=0)
    light_prior: float = Field(default=1.0, ge=0)
    emotion: float = Field(default=0.0, ge=0, description="EMOCA: 1; needs emotion_weights")
    emotion_weights: Path | None = Field(default=None, description="ResNet-50 trained on emotions")
    detail_photometric: float = Field(default=2.0, ge=0)
    id_mrf: float = Field(default=0.1, ge=0, description="DECA's 2 x 0.05; needs vgg_weights")
    vgg_weights: Path | None = Field(default=None, description="torchvision's VGG-19 state dict")
    displacement: float = Field(default=0.005, ge=0, description="mean size of the displacement")
    smoothness: float = Field(default=0.005, ge=0, description="of the shading in UV")
    symmetry: float = Field(default=0.005, ge=0, description="of the displacement where the face is hidden")


class OptimizerSettings(Settings):
    """Adam."""

    learning_rate: float = Field(default=1e-4, gt=0)
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = Field(default=0.0, ge=0)
    clip: float | None = Field(default=None, gt=0, description="largest norm of the gradient; DECA has none")
    warmup_steps: int = Field(default=0, ge=0, description="the rate rises linearly over these steps")
    decay: Literal["none", "cosine"] = Field(default="none", description="of the rate, after the warm-up")


class StageSettings(Settings):
    """How long a stage runs, and on which batches: subjects x images of each."""

    epochs: float | None = Field(default=None, gt=0)
    steps: int | None = Field(default=None, ge=1, description="overrides epochs")
    subjects: int = Field(default=8, ge=1)
    images: int = Field(default=4, ge=1, description="K, the images of one subject in a batch")
    learning_rate: float | None = Field(default=None, gt=0, description="overrides optimizer.learning_rate")

    @model_validator(mode="after")
    def _has_length(self) -> StageSettings:
        if self.epochs is None and self.steps is None:
            raise ValueError("give epochs or steps")
        return self


class RunSettings(Settings):
    """The machine and the arithmetic."""

    seed: int = Field(default=0, ge=0)
    device: str = Field(default="auto", description="auto, cpu, cuda or cuda:N")
    precision: Literal["float32", "bfloat16"] = Field(default="float32", description="of the networks")
    channels_last: bool = False
    compile: bool = Field(default=False, description="torch.compile for the encoders")
    frozen_norm: bool = Field(default=False, description="batch norm uses its running means and leaves them")


class LogSettings(Settings):
    """What is written during the run, counted in steps."""

    every: int = Field(default=10, ge=1, description="a line of metrics.jsonl and TensorBoard")
    checkpoint_every: int = Field(default=1000, ge=1)
    keep: int = Field(default=3, ge=1, description="how many checkpoints stay")
    pictures_every: int = Field(default=1000, ge=1)
    picture_faces: int = Field(default=8, ge=1)
    validation_gap: int = Field(
        default=0, ge=0, description="epochs that end sooner than this after the last figures have none"
    )
    validation_every: int | None = Field(default=None, ge=1, description="besides the end of each epoch")
    validation_faces: int = Field(default=2000, ge=1, description="at most this many held-out faces")


class TrainingConfig(Settings):
    """All settings of a run."""

    stage: Literal["pretrain", "coarse", "expression", "detail", "all"] = "pretrain"
    data: DataSettings = DataSettings()
    model: ModelSettings = ModelSettings()
    loss: LossSettings = LossSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    pretrain: StageSettings = StageSettings(epochs=2, subjects=64, images=1)
    coarse: StageSettings = StageSettings(epochs=1.5, subjects=8, images=4)
    expression: StageSettings = StageSettings(epochs=10, subjects=32, images=1, learning_rate=5e-5)
    detail: StageSettings = StageSettings(epochs=10, subjects=6, images=3)
    run: RunSettings = RunSettings()
    log: LogSettings = LogSettings()

    def stages(self) -> tuple[str, ...]:
        """The stages that this run goes through, in order; EMOCA's expression stage only when named."""
        return STAGES if self.stage == "all" else (self.stage,)

    def stage_settings(self, stage: str) -> StageSettings:
        """The settings of one stage."""
        return getattr(self, stage)
