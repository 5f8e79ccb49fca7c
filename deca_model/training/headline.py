"""The figures that matter, in one line: at a validation, at a run's end and in `deca evaluate`."""

from __future__ import annotations

from collections.abc import Mapping


def headline(figures: Mapping[str, float]) -> str:
    """One line from the figures of ``validation.validate``; what was not measured is left out.

    In this order: the median landmark error in % of the distance of the eyes' outer corners; the distance of
    shape codes within persons over that between persons; the correlations of mouths and eyes with the photos,
    and in brackets those on another head; by how much the details lower the colour error in UV.
    """
    parts = [f"landmark error {figures['landmark_error_median']:.1f} % of the eyes' distance (median)"]
    if "shape_consistency" in figures:
        parts.append(f"shape within/between persons {figures['shape_consistency']:.2f}")
    for name, word in (("mouth", "mouths"), ("eye", "eyes")):
        if f"{name}_correlation" in figures:
            carried = figures.get(f"carried_{name}_correlation")
            more = "" if carried is None else f" (on another head {carried:.2f})"
            parts.append(f"{word} follow the photo {figures[f'{name}_correlation']:.2f}{more}")
    if "detail_gain" in figures:
        parts.append(f"details lower the UV error by {figures['detail_gain']:.1f} %")
    return f"{figures['faces']:.0f} held-out faces: {', '.join(parts)}"
