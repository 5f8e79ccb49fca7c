"""The settings of a training run: what they mean, and their official values.

Every default is DECA's (Feng et al. 2021 and its released trainer) unless its line says otherwise. YAML
files, presets and ``--set`` are read in ``reading.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, model_validator

from deca_model.settings.base import Count, Settings, Side
from deca_model.settings.batches import DataSettings, StageSettings

STAGES = ("pretrain", "coarse", "detail")


class EncoderSettings(Settings):
    """How an image encoder is built."""

    backbone: Literal["resnet50", "resnet34", "resnet18", "small", "mesh"] = "resnet50"
    """DECA has resnet50; the others are faster; small has four layers; mesh is small beside MediaPipe's
    network, which does not learn and places the face's points: it learns most from few photos"""
    weights: Path | None = None
    """torchvision state dict (.pth) to start the backbone from; none: random weights"""
    mirror: bool = False
    """also encode the mirror image and average pose and camera of both, so that a mirrored face gets the
    mirrored pose; half as fast"""
    framed: bool = False
    """the predicted camera is relative to one that frames the posed head, so that the face stays in the
    image when the pose changes"""

    @model_validator(mode="after")
    def _weights_fit(self) -> EncoderSettings:
        if self.backbone in ("small", "mesh") and self.weights is not None:
            raise ValueError(f"backbone {self.backbone!r} starts without a file: leave out weights")
        if self.backbone == "mesh" and self.mirror:
            raise ValueError("backbone 'mesh' knows the pose from its points: leave out mirror")
        return self


class ModelSettings(Settings):
    """What is trained, and on which head."""

    head: Literal["open", "flame", "ict"] = "open"
    """head model: open is embedded; flame and ict need head_path"""
    head_path: Path | None = None
    """file or folder of the flame or ict head"""
    dense_path: Path | None = None
    """MediaPipe's embedding for FLAME, for loss.dense; none: mediapipe_landmark_embedding.npz beside
    head_path"""
    albedo_path: Path | None = None
    """FLAME's or BFM's albedo file, for the flame head; none: the built-in one"""
    encoder: EncoderSettings = EncoderSettings()
    """the coarse encoder (E_flame), and EMOCA's expression encoder"""
    input_size: Side | None = None
    """side in pixels of the coarse encoder's input; smaller is faster; none: data.size"""
    detail_encoder: EncoderSettings = EncoderSettings()
    """the detail encoder (E_detail)"""
    detail_input_size: Side | None = None
    """side in pixels of the detail encoder's input; smaller is faster; none: data.size"""
    detail_start: Literal["random", "coarse"] = "random"
    """coarse: the detail encoder's backbone starts as a copy of the trained coarse encoder's (of mesh, the
    small one), if it is of the same kind; details are learned in fewer steps; not in DECA"""
    uv_size: Side = 256
    """side of the UV maps in texels; larger gives finer details and is slower"""
    render_size: Side = 224
    """side in pixels of the renders for the losses; larger is sharper and slower"""
    rasterizer: Literal["builtin", "pytorch3d"] = "builtin"
    """rasteriser; pytorch3d needs the extra pytorch3d"""


class LossSettings(Settings):
    """Weights of the losses; 0 switches a loss off, and then its weight file is not needed.

    Here every loss is a mean, so that its effect does not depend on the batch size. Where DECA takes a sum,
    the weight is DECA's times the number of terms in its batch, so that the effect is DECA's: 64 codes in
    the coarse stage (8 subjects x 4 images, doubled), 36 in the detail stage (6 x 3, doubled).
    """

    landmark: NonNegativeFloat = 1.0
    """distance of the 68 landmarks; more fits pose and outline better"""
    dense: NonNegativeFloat = 0.0
    """distance of the dense landmarks; more fits mouth, lids and brows better; off where the manifest has
    none (`deca-data landmarks --dense` writes them); not in DECA"""
    eye: NonNegativeFloat = 1.0
    """distances between the lids; more fits open and closed eyes better"""
    lip: NonNegativeFloat = 0.5
    """distances between the lips; more fits open and closed mouths better"""
    corner: NonNegativeFloat = 0.0
    """distance of the mouth corners, as in EMOCA; more fits the mouth's width better"""
    photometric: NonNegativeFloat = 2.0
    """colour difference of render and photo; more fits colour and light better"""
    photometric_mask: Literal["both", "rendered"] = "both"
    """where colours are compared: in the rendered face and in the photo's mask, so that photos without a
    mask are left out, or in all of the rendered face; EMOCA: rendered"""
    identity: NonNegativeFloat | None = 0.2
    """difference of face features; more keeps the person; needs identity_weights; none: DECA's weight if
    they are given, else off"""
    identity_weights: Path | None = None
    """VGGFace2's resnet50_ft_weight.pkl, for the identity loss"""
    ring: NonNegativeFloat = 0.0
    """shape codes of one person's photos against other persons', as in RingNet; more makes shapes depend more
    on the person; needs stages with two or more images of each; not in DECA"""
    shape_prior: NonNegativeFloat = 6.4e-3  # 1e-4 x 64 codes
    """size of the shape code; more keeps faces closer to the mean face"""
    expression_prior: NonNegativeFloat = 6.4e-3  # 1e-4 x 64 codes
    """size of the expression code; more keeps faces closer to neutral"""
    texture_prior: NonNegativeFloat = 6.4e-3  # 1e-4 x 64 codes
    """size of the texture code; more keeps colours closer to the mean"""
    light_prior: NonNegativeFloat = 1.0
    """colour differences of the light; more keeps the light whiter"""
    emotion: NonNegativeFloat = 0.0
    """difference of emotion features; more fits the emotion; EMOCA: 1; needs emotion_weights"""
    emotion_weights: Path | None = None
    """EMOCA's emotion network: its .ckpt, the folder of it, or a state dict"""
    emotion_background: Literal["photo", "black"] = "photo"
    """what the emotion network sees around the rendered face; EMOCA: black"""
    detail_photometric: NonNegativeFloat = 2.0
    """colour difference in UV, in the detail stage; more gives more details"""
    id_mrf: NonNegativeFloat | None = 3.6  # 2.0 x 0.05 x 36 maps
    """difference of VGG-19 features in UV; more gives sharper details; needs vgg_weights; none: DECA's
    weight if they are given, else off"""
    vgg_weights: Path | None = None
    """torchvision's vgg19-dcbb9e9d.pth, for the ID-MRF loss"""
    displacement: NonNegativeFloat = 0.005
    """mean absolute displacement in metres; more makes details flatter"""
    smoothness: NonNegativeFloat = 0.005
    """shading difference of neighbour texels; more makes details smoother"""
    symmetry: NonNegativeFloat = 11796.48  # 0.005 x 36 maps x 256 x 256 texels
    """left-right difference of hidden displacements; more copies the visible side"""


class OptimizerSettings(Settings):
    """The Adam optimiser."""

    learning_rate: PositiveFloat = 1e-4
    """step size; larger learns faster, too large diverges"""
    betas: tuple[float, float] = (0.9, 0.999)
    """decay rates of Adam's two running means; nearer to 1 averages over more steps"""
    weight_decay: NonNegativeFloat = 0.0
    """L2 penalty on the weights; more keeps weights smaller"""
    clip: PositiveFloat | None = None
    """largest norm of the gradient; less limits large steps; none: no limit, as in DECA"""
    warmup_steps: NonNegativeInt = 0
    """number of first steps, over which the learning rate rises linearly"""
    decay: Literal["none", "cosine"] = "none"
    """cosine: the learning rate falls to 0 at the stage's end"""


class RunSettings(Settings):
    """The machine and the arithmetic."""

    seed: NonNegativeInt = 0
    """the same seed gives the same batches and losses"""
    device: str = "auto"
    """auto (a GPU if there is one), cpu, cuda or cuda:N"""
    precision: Literal["float32", "bfloat16"] = "float32"
    """number type of the networks; bfloat16 is faster on a GPU, less exact"""
    channels_last: bool = False
    """memory layout; true is usually faster on a GPU"""
    compile: bool = False
    """torch.compile for networks, head and renderer: a slower start, then faster steps"""
    graphs: bool = False
    """with compile, on a GPU: CUDA graphs, which start many kernels at once; for small batches"""
    frozen_norm: bool = False
    """batch norm keeps its stored statistics"""


class LogSettings(Settings):
    """What is written during the run; intervals are in steps."""

    every: Count = 10
    """steps between records in metrics.jsonl and TensorBoard; on a GPU the losses are checked then, and
    every 10 steps"""
    checkpoint_every: Count = 1000
    """steps between checkpoints; fewer lose less work in a crash"""
    keep: Count = 3
    """number of newest checkpoints that are kept"""
    pictures_every: Count = 1000
    """steps between pictures of faces; fewer take more time"""
    picture_faces: Count = 8
    """number of faces in a picture"""
    validation_gap: NonNegativeInt = 0
    """a validation of an epoch is left out if the last one is fewer steps ago"""
    validation_every: Count | None = None
    """steps between further validations; none: no further ones"""
    validations_per_epoch: Count = 1
    """validations per epoch at equal distances, the last at its end"""
    validation_faces: Count = 2000
    """largest number of held-out faces; more is more exact and slower"""


class TrainingConfig(Settings):
    """All settings of a run."""

    stage: Literal["pretrain", "coarse", "expression", "detail", "all"] = "pretrain"
    """what to train; all: pretrain, coarse, detail; expression: EMOCA's stage"""
    data: DataSettings = DataSettings()
    """how faces are drawn and cropped"""
    model: ModelSettings = ModelSettings()
    """what is trained, and on which head"""
    loss: LossSettings = LossSettings()
    """weights of the losses; 0 is off"""
    optimizer: OptimizerSettings = OptimizerSettings()
    """the Adam optimiser"""
    pretrain: StageSettings = StageSettings(epochs=2, subjects=64, images=1)
    """first stage: landmarks only"""
    coarse: StageSettings = StageSettings(epochs=1.5, subjects=8, images=4)
    """second stage: the rendered head is compared with the photo"""
    expression: StageSettings = StageSettings(epochs=10, subjects=32, images=1, learning_rate=5e-5)
    """EMOCA's stage: the expression encoder, on a trained coarse model"""
    detail: StageSettings = StageSettings(epochs=10, subjects=6, images=3)
    """third stage: wrinkles"""
    run: RunSettings = RunSettings()
    """the machine and the arithmetic"""
    log: LogSettings = LogSettings()
    """what is written during the run"""

    def stages(self) -> tuple[str, ...]:
        """The stages of this run, in order; ``all`` does not contain EMOCA's expression stage."""
        return STAGES if self.stage == "all" else (self.stage,)

    def stage_settings(self, stage: str) -> StageSettings:
        """The settings of one stage."""
        return getattr(self, stage)
