"""The settings of the batches: how faces are drawn, cropped and changed, and how long a stage runs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, model_validator

from deca_model.settings.base import Count, Settings, Side

Shift = Annotated[float, Field(ge=0, le=0.5)]
Quality = Annotated[int, Field(ge=1, le=100)]


class DataSettings(Settings):
    """How faces are drawn and cropped."""

    size: Side = 224
    """side of the crop in pixels; larger is sharper and slower"""
    scales: tuple[float, float] = (1.4, 1.8)
    """range of the crop's side over the landmark box's; larger shows more background"""
    shift: Shift = 0.0
    """largest random shift of the crop, in box sides; more tolerates worse crops; EMOCA: 0.1"""
    workers: NonNegativeInt = 4
    """loader processes; more load faster; 0 loads in the training process"""
    timeout: PositiveFloat = 300.0
    """seconds to wait for a batch of the loader's processes before the run ends"""
    mix: dict[str, float] = Field(default_factory=dict)
    """weight of every dataset, such as {vox2: 2, bupt: 1}; more shows it more often; empty: every image
    once per epoch"""


class AugmentSettings(Settings):
    """Random changes of the training photos; the defaults change nothing.

    First the crop is scaled, rotated and shifted, with its landmarks and mask. Then one of these changes
    its colours, each as likely as the others: JPEG, noise, blur, sharpening, nothing. Left out are those
    that are off.
    """

    scale: tuple[PositiveFloat, PositiveFloat] = (1.0, 1.0)
    """range of the factor on the face's size"""
    rotation: Annotated[float, Field(ge=0, le=180)] = 0.0
    """largest rotation in degrees, to both sides"""
    translation: Shift = 0.0
    """largest shift in crop sides; as in EMOCA, right and down or left and up by the same amount"""
    jpeg: tuple[Quality, Quality] | None = None
    """range of the JPEG quality; lower loses more; none: off"""
    noise: NonNegativeFloat = 0.0
    """largest standard deviation of Gaussian noise, of 255; the three colours of a pixel get the same"""
    blur: NonNegativeFloat = 0.0
    """largest standard deviation of Gaussian blur, in pixels"""
    sharpen: Annotated[float, Field(ge=0, le=1)] = 0.0
    """largest share of the sharpened photo"""


class StageSettings(Settings):
    """How long a stage runs, and on which batches: in each process, subjects x images of each."""

    epochs: PositiveFloat | None = None
    """passes over all images; may be a fraction"""
    steps: Count | None = None
    """number of batches; overrides epochs"""
    subjects: Count = 8
    """persons per batch, in each process; more is steadier and takes more memory"""
    images: Count = 4
    """images of each person in a batch; from 2 on, they swap shape or detail codes"""
    learning_rate: PositiveFloat | None = None
    """overrides optimizer.learning_rate in this stage"""
    scales: tuple[float, float] | None = None
    """overrides data.scales in this stage"""
    shift: Shift | None = None
    """overrides data.shift in this stage"""
    balance: Literal["expression"] | None = None
    """expression: each of AffectNet's expressions 0 to 7 is drawn equally often, and other faces are left
    out; none: by data.mix"""
    augment: AugmentSettings | None = None
    """random changes of the training photos; none: none, as in DECA"""
    patience: Count | None = None
    """the stage ends when the held-out loss has not fallen for so many validations, and the best model is
    its result; none: it runs to its end"""

    @model_validator(mode="after")
    def _has_length(self) -> StageSettings:
        if self.epochs is None and self.steps is None:
            raise ValueError("give epochs or steps")
        return self
