"""The figures that matter, in one line: at a validation, at a run's end and in `deca evaluate`.

The names of all figures, and what they mean, are the same there, in ``metrics.jsonl`` and in TensorBoard.
"""

from __future__ import annotations

from collections.abc import Mapping

MEANINGS = {
    "faces": "held-out faces that were measured",
    "landmark_error": "landmark error, mean, % of the inter-ocular distance",
    "landmark_error_median": "landmark error, median, % of the inter-ocular distance",
    "landmark_error_box": "landmark error, mean, % of the face's size",
    "landmark_loss": "weighted landmark loss of the training",
    "loss": "mean of the stage's loss",
    "shape_consistency": "shape distance within persons over between (0 good, 1 bad)",
    "photometric_error": "colour error on the visible face (0 to 1)",
    "displacement_mm": "displacement of the details, mm",
    "detail_error": "colour error in UV with the details (0 to 1)",
    "smooth_error": "colour error in UV without them (0 to 1)",
    "detail_gain": "by how much the details lower it, %",
    "mouth_correlation": "mouths' opening against the photo's (1 good)",
    "eye_correlation": "eyes' opening against the photo's (1 good)",
    "carried_mouth_correlation": "mouths' opening on another head (1 good)",
    "carried_eye_correlation": "eyes' opening on another head (1 good)",
}
"""Each figure of ``validation.validate`` in plain words."""

EXPLAINED = (
    "(inter-ocular distance: between the outer corners of the eyes; within/between persons: 0 is best, at 1 "
    "shapes tell nobody apart; to follow the photo: correlation of how far they are open, 1 is best)"
)
"""The line of explanation where a newcomer meets ``headline``."""


def headline(figures: Mapping[str, float]) -> str:
    """One line from the figures of ``validation.validate``; what was not measured is left out.

    In this order: the median landmark error in % of the inter-ocular distance; the distance of
    shape codes within persons over that between persons; the correlations of mouths and eyes with the photos,
    and in brackets those on another head; by how much the details lower the colour error in UV.
    """
    parts = [f"landmark error {figures['landmark_error_median']:.1f} % of the inter-ocular distance (median)"]
    if "shape_consistency" in figures:
        parts.append(f"shape within/between persons {figures['shape_consistency']:.2f}")
    for name, word in (("mouth", "mouths"), ("eye", "eyes")):
        if f"{name}_correlation" in figures:
            carried = figures.get(f"carried_{name}_correlation")
            more = "" if carried is None else f" (on another head {carried:.2f})"
            parts.append(f"{word} follow the photo {figures[f'{name}_correlation']:.2f}{more}")
    if "detail_gain" in figures:
        parts.append(f"details lower the UV error by {round(figures['detail_gain'], 1) + 0:.1f} %")
    return f"{figures['faces']:.0f} held-out faces: {', '.join(parts)}"
