"""The settings of a training run: what they mean, and their official values.

Every default is DECA's (Feng et al. 2021 and its released trainer) unless its line says otherwise. YAML
files, presets and ``--set`` are read in ``reading.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

STAGES = ("pretrain", "coarse", "detail")


class Settings(BaseModel):
    """A group of settings: it cannot be changed, and an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSettings(Settings):
    """How faces are drawn and cropped."""

    size: int = Field(
        default=224, ge=32, description="side of the crop in pixels; larger is sharper and slower"
    )
    scales: tuple[float, float] = Field(
        default=(1.4, 1.8),
        description="range of the crop's side over the landmark box's; larger shows more background",
    )
    shift: float = Field(
        default=0.0,
        ge=0,
        le=0.5,
        description="largest random shift of the crop, in box sides; more tolerates worse crops; EMOCA: 0.1",
    )
    workers: int = Field(
        default=4, ge=0, description="loader processes; more load faster; 0 loads in the training process"
    )
    mix: dict[str, float] = Field(
        default={},
        description="weight of every dataset, such as {vox2: 2, bupt: 1}; more shows it more often; empty: "
        "every image once per epoch",
    )


class EncoderSettings(Settings):
    """How an image encoder is built."""

    backbone: Literal["resnet50", "resnet34", "resnet18", "small"] = Field(
        default="resnet50",
        description="DECA has resnet50; the others are faster; small has four layers, for a CPU",
    )
    weights: Path | None = Field(
        default=None,
        description="torchvision state dict (.pth) to start the backbone from; none: random weights",
    )
    mirror: bool = Field(
        default=False,
        description="also encode the mirror image and average pose and camera of both, so that a mirrored "
        "face gets the mirrored pose; half as fast",
    )
    framed: bool = Field(
        default=False,
        description="the predicted camera is relative to one that frames the posed head, so that the face "
        "stays in the image when the pose changes",
    )

    @model_validator(mode="after")
    def _weights_fit(self) -> EncoderSettings:
        if self.backbone == "small" and self.weights is not None:
            raise ValueError("backbone 'small' starts from random weights: leave out weights")
        return self


class ModelSettings(Settings):
    """What is trained, and on which head."""

    head: Literal["open", "flame", "ict"] = Field(
        default="open", description="head model: open is embedded; flame and ict need head_path"
    )
    head_path: Path | None = Field(default=None, description="file or folder of the flame or ict head")
    albedo_path: Path | None = Field(
        default=None, description="FLAME's or BFM's albedo file, for the flame head; none: the built-in one"
    )
    encoder: EncoderSettings = Field(
        default=EncoderSettings(), description="the coarse encoder (E_flame), and EMOCA's expression encoder"
    )
    input_size: int | None = Field(
        default=None,
        ge=32,
        description="side in pixels of the coarse encoder's input; smaller is faster; none: data.size",
    )
    detail_encoder: EncoderSettings = Field(
        default=EncoderSettings(), description="the detail encoder (E_detail)"
    )
    uv_size: int = Field(
        default=256,
        ge=32,
        description="side of the UV maps in texels; larger gives finer details and is slower",
    )
    render_size: int = Field(
        default=224,
        ge=32,
        description="side in pixels of the renders for the losses; larger is sharper and slower",
    )
    rasterizer: Literal["builtin", "pytorch3d"] = Field(
        default="builtin", description="rasteriser; pytorch3d needs the extra pytorch3d"
    )


class LossSettings(Settings):
    """Weights of the losses; 0 switches a loss off, and then its weight file is not needed.

    DECA sums the priors over its batch of 64 codes with weight 1e-4; here every loss is a mean. So the
    priors' weights are 64e-4: the effect is DECA's, and it does not depend on the batch size.
    """

    landmark: float = Field(
        default=1.0, ge=0, description="distance of the 68 landmarks; more fits pose and outline better"
    )
    eye: float = Field(
        default=1.0, ge=0, description="distances between the lids; more fits open and closed eyes better"
    )
    lip: float = Field(
        default=0.5, ge=0, description="distances between the lips; more fits open and closed mouths better"
    )
    corner: float = Field(
        default=0.0,
        ge=0,
        description="distance of the mouth corners, as in EMOCA; more fits the mouth's width better",
    )
    photometric: float = Field(
        default=2.0,
        ge=0,
        description="colour difference of render and photo; more fits colour and light better",
    )
    identity: float = Field(
        default=0.2,
        ge=0,
        description="difference of face features; more keeps the person; needs identity_weights",
    )
    identity_weights: Path | None = Field(
        default=None, description="VGGFace2's resnet50_ft_weight.pkl, for the identity loss"
    )
    shape_prior: float = Field(
        default=6.4e-3, ge=0, description="size of the shape code; more keeps faces closer to the mean face"
    )
    expression_prior: float = Field(
        default=6.4e-3, ge=0, description="size of the expression code; more keeps faces closer to neutral"
    )
    texture_prior: float = Field(
        default=6.4e-3, ge=0, description="size of the texture code; more keeps colours closer to the mean"
    )
    light_prior: float = Field(
        default=1.0, ge=0, description="colour differences of the light; more keeps the light whiter"
    )
    emotion: float = Field(
        default=0.0,
        ge=0,
        description="difference of emotion features; more fits the emotion; EMOCA: 1; needs emotion_weights",
    )
    emotion_weights: Path | None = Field(
        default=None, description="ResNet-50 trained on emotions: state dict or Lightning checkpoint"
    )
    detail_photometric: float = Field(
        default=2.0, ge=0, description="colour difference in UV, in the detail stage; more gives more details"
    )
    id_mrf: float = Field(
        default=0.1,
        ge=0,
        description="difference of VGG-19 features in UV; more gives sharper details; needs vgg_weights",
    )
    vgg_weights: Path | None = Field(
        default=None, description="torchvision's vgg19-dcbb9e9d.pth, for the ID-MRF loss"
    )
    displacement: float = Field(
        default=0.005, ge=0, description="mean absolute displacement in metres; more makes details flatter"
    )
    smoothness: float = Field(
        default=0.005, ge=0, description="shading difference of neighbour texels; more makes details smoother"
    )
    symmetry: float = Field(
        default=0.005,
        ge=0,
        description="left-right difference of hidden displacements; more copies the visible side",
    )


class OptimizerSettings(Settings):
    """The Adam optimiser."""

    learning_rate: float = Field(
        default=1e-4, gt=0, description="step size; larger learns faster, too large diverges"
    )
    betas: tuple[float, float] = Field(
        default=(0.9, 0.999),
        description="decay rates of Adam's two running means; nearer to 1 averages over more steps",
    )
    weight_decay: float = Field(
        default=0.0, ge=0, description="L2 penalty on the weights; more keeps weights smaller"
    )
    clip: float | None = Field(
        default=None,
        gt=0,
        description="largest norm of the gradient; less limits large steps; none: no limit, as in DECA",
    )
    warmup_steps: int = Field(
        default=0, ge=0, description="number of first steps, over which the learning rate rises linearly"
    )
    decay: Literal["none", "cosine"] = Field(
        default="none", description="cosine: the learning rate falls to 0 at the stage's end"
    )


class StageSettings(Settings):
    """How long a stage runs, and on which batches: subjects x images of each."""

    epochs: float | None = Field(default=None, gt=0, description="passes over all images; may be a fraction")
    steps: int | None = Field(default=None, ge=1, description="number of batches; overrides epochs")
    subjects: int = Field(
        default=8, ge=1, description="persons per batch; more is steadier and takes more memory"
    )
    images: int = Field(
        default=4,
        ge=1,
        description="images of each person in a batch; from 2 on, they swap shape or detail codes",
    )
    learning_rate: float | None = Field(
        default=None, gt=0, description="overrides optimizer.learning_rate in this stage"
    )

    @model_validator(mode="after")
    def _has_length(self) -> StageSettings:
        if self.epochs is None and self.steps is None:
            raise ValueError("give epochs or steps")
        return self


class RunSettings(Settings):
    """The machine and the arithmetic."""

    seed: int = Field(default=0, ge=0, description="the same seed gives the same batches and losses")
    device: str = Field(default="auto", description="auto (a GPU if there is one), cpu, cuda or cuda:N")
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32", description="number type of the networks; bfloat16 is faster on a GPU, less exact"
    )
    channels_last: bool = Field(default=False, description="memory layout; true is usually faster on a GPU")
    compile: bool = Field(default=False, description="torch.compile: a slower start, then faster steps")
    frozen_norm: bool = Field(default=False, description="batch norm keeps its stored statistics")


class LogSettings(Settings):
    """What is written during the run; intervals are in steps."""

    every: int = Field(default=10, ge=1, description="steps between records in metrics.jsonl and TensorBoard")
    checkpoint_every: int = Field(
        default=1000, ge=1, description="steps between checkpoints; fewer lose less work in a crash"
    )
    keep: int = Field(default=3, ge=1, description="number of newest checkpoints that are kept")
    pictures_every: int = Field(
        default=1000, ge=1, description="steps between pictures of faces; fewer take more time"
    )
    picture_faces: int = Field(default=8, ge=1, description="number of faces in a picture")
    validation_gap: int = Field(
        default=0,
        ge=0,
        description="an epoch's end is not validated if the last validation is fewer steps ago",
    )
    validation_every: int | None = Field(
        default=None, ge=1, description="steps between validations inside an epoch; none: only at its end"
    )
    validation_faces: int = Field(
        default=2000, ge=1, description="largest number of held-out faces; more is more exact and slower"
    )


class TrainingConfig(Settings):
    """All settings of a run."""

    stage: Literal["pretrain", "coarse", "expression", "detail", "all"] = Field(
        default="pretrain",
        description="what to train; all: pretrain, coarse, detail; expression: EMOCA's stage",
    )
    data: DataSettings = Field(default=DataSettings(), description="how faces are drawn and cropped")
    model: ModelSettings = Field(default=ModelSettings(), description="what is trained, and on which head")
    loss: LossSettings = Field(default=LossSettings(), description="weights of the losses; 0 is off")
    optimizer: OptimizerSettings = Field(default=OptimizerSettings(), description="the Adam optimiser")
    pretrain: StageSettings = Field(
        default=StageSettings(epochs=2, subjects=64, images=1), description="first stage: landmarks only"
    )
    coarse: StageSettings = Field(
        default=StageSettings(epochs=1.5, subjects=8, images=4),
        description="second stage: the rendered head is compared with the photo",
    )
    expression: StageSettings = Field(
        default=StageSettings(epochs=10, subjects=32, images=1, learning_rate=5e-5),
        description="EMOCA's stage: the expression encoder, on a trained coarse model",
    )
    detail: StageSettings = Field(
        default=StageSettings(epochs=10, subjects=6, images=3), description="third stage: wrinkles"
    )
    run: RunSettings = Field(default=RunSettings(), description="the machine and the arithmetic")
    log: LogSettings = Field(default=LogSettings(), description="what is written during the run")

    def stages(self) -> tuple[str, ...]:
        """The stages of this run, in order; ``all`` does not contain EMOCA's expression stage."""
        return STAGES if self.stage == "all" else (self.stage,)

    def stage_settings(self, stage: str) -> StageSettings:
        """The settings of one stage."""
        return getattr(self, stage)
