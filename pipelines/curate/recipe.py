"""A recipe: every threshold that decides which rows are kept, in one file.

Scores are columns of the manifest and stay as they are; a recipe only decides `status`, `reason` and
`split`, so no score is computed again for another recipe.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from manifests.errors import UsageError
from manifests.setting_errors import explain
from manifests.yaml_files import read_yaml

FOLDER = Path(__file__).parent / "recipes"
DEFAULT = "deca-paper"


class Rule(NamedTuple):
    """A bound on one score: the column, the stage that writes it, and the side that is dropped."""

    setting: str
    column: str
    stage: str
    side: str


RULES: tuple[Rule, ...] = (
    Rule("max_faces", "faces", "detect", "above"),
    Rule("min_box_score", "box_score", "detect", "below"),
    Rule("min_landmark_confidence", "landmark_confidence", "landmarks", "below"),
    Rule("max_landmark_shift_error", "landmark_shift_error", "consistency", "above"),
    Rule("max_landmark_shift_back", "landmark_shift_back", "consistency", "above"),
    Rule("max_landmark_spread", "landmark_spread", "consistency", "above"),
    Rule("min_face_size", "face_size", "quality", "below"),
    Rule("min_sharpness", "sharpness", "quality", "below"),
    Rule("min_brightness", "brightness", "quality", "below"),
    Rule("max_brightness", "brightness", "quality", "above"),
    Rule("max_clipping", "clipping", "quality", "above"),
    Rule("min_skin_fraction", "skin_fraction", "masks", "below"),
)

SHIFT_BACK = "landmark_shift_back"
"""The second measurement of the shift error; see `Recipe.shift_both_ways`."""

Share = Annotated[float, Field(ge=0, le=1)]
Size = Annotated[float, Field(ge=0)]
Margin = Annotated[float, Field(ge=-2, le=2)]
Degrees = Annotated[float, Field(ge=0, le=180)]
Count = Annotated[int, Field(ge=1)]


class Recipe(BaseModel):
    """Thresholds and choices; null switches a rule off."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    max_faces: Count | None = Field(default=None, description="drop photos with more faces than this")
    min_box_score: Share | None = Field(default=None, description="detector confidence")
    min_landmark_confidence: Share | None = Field(default=None, description="landmark confidence")
    max_landmark_shift_error: float | None = Field(
        default=None, gt=0, description="in box sides (paper: 0.1)"
    )
    shift_both_ways: bool = Field(
        default=False, description="spare photos whose landmark_shift_back is not above that bound"
    )
    max_landmark_shift_back: float | None = Field(
        default=None, gt=0, description="the same for the opposite shift"
    )
    max_landmark_spread: float | None = Field(default=None, gt=0, description="in box sides")
    min_face_size: Size | None = Field(default=None, description="pixels")
    min_sharpness: Size | None = Field(default=None, description="variance of the Laplacian")
    min_brightness: Share | None = Field(default=None, description="mean luma of the face")
    max_brightness: Share | None = Field(default=None, description="mean luma of the face")
    max_clipping: Share | None = Field(default=None, description="share of black or burnt-out pixels")
    max_abs_yaw: Degrees | None = Field(default=None, description="degrees to either side")
    min_skin_fraction: Share | None = Field(default=None, description="share of the outline seen")
    exact_duplicates: bool = Field(default=True, description="keep one copy of files with the same bytes")
    near_duplicates: int | None = Field(
        default=None, ge=0, le=32, description="bits of the 64-bit perceptual hash that may differ"
    )
    near_duplicates_long: int = Field(
        default=44, ge=0, le=256, description="bits of the 256-bit hash that may differ; it decides"
    )
    identity_outliers: Share | None = Field(
        default=None, description="least likeness to the person; null: no identity check at all"
    )
    identity_outliers_turned: Share | None = Field(
        default=None, description="the same for turned heads; null keeps them"
    )
    identity_agreement: Margin | None = Field(
        default=0.0,
        description="how far a person's median likeness must lie above identity_outliers, or the build stops",
    )
    turned_head: Degrees = Field(
        default=36.0, description="degrees of yaw beyond which the bounds for turned heads hold"
    )
    identity_margin: Margin | None = Field(
        default=None, description="least likeness beyond that to the most similar other person"
    )
    identity_margin_turned: Margin | None = Field(
        default=None, description="the same for turned heads; null keeps them"
    )
    lookalikes: Share = Field(
        default=0.95, description="likeness from which two persons are listed as perhaps the same"
    )
    min_per_identity: Count = Field(default=1, description="persons with fewer photos are left out")
    max_per_identity: Count | None = Field(default=None, description="best and most varied photos kept")
    yaw_bin: float = Field(
        default=15.0, ge=1, le=360, description="degrees: surplus photos go so that these bins fill evenly"
    )
    val_fraction: float = Field(default=0.1, ge=0, lt=1, description="share of the persons for val.parquet")
    seed: int = Field(default=0, description="another seed, another split")

    def stages(self) -> set[str]:
        """Returns the per-image stages whose columns this recipe reads."""
        needed = {rule.stage for rule in RULES if getattr(self, rule.setting) is not None}
        if self.max_abs_yaw is not None or self.near_duplicates is not None or self.max_per_identity:
            needed.add("quality")
        if self.identity_outliers is not None:
            needed.add("identity")
        return needed | {"detect", "landmarks"}


def recipe_names() -> list[str]:
    """Returns the names of the recipes that come with the project."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_recipe(name: str, changes: dict[str, Any] | None = None) -> Recipe:
    """Reads a recipe by its name, or from the user's YAML file, and changes single settings.

    Raises:
        UsageError: no such recipe or file, an unknown or repeated setting, or a value out of range.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else FOLDER / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(recipe_names())
        raise UsageError(
            f"recipe {name}: there is none of this name; choose {known}, or give a YAML file that exists."
        )
    values = {"name": path.stem, **read_yaml(path), **(changes or {})}
    try:
        return Recipe(**values)
    except ValidationError as error:
        given = str(error.errors()[0]["loc"][0]) in (changes or {})
        where = "--set" if given else str(path)
        raise UsageError(f"{where}: {explain(error, '', Recipe.model_fields)}") from error
