"""The figures of EMOCA's emotion table: predictions of valence, arousal and expression against labels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Labels(NamedTuple):
    """Labels or predictions of N faces."""

    affect: np.ndarray  # (N, 2) valence and arousal, -1 to 1
    expression: np.ndarray  # (N,) int64, 0 to 7; -1 if nothing is predicted


def compare(predicted: Labels, truth: Labels) -> dict[str, float]:
    """The published figures; expression accuracy over the faces that have a class on both sides."""
    figures = emotion_figures(predicted.affect, truth.affect)
    both = (predicted.expression >= 0) & (truth.expression >= 0)
    if both.any():
        figures["expression_accuracy"] = expression_accuracy(
            predicted.expression[both], truth.expression[both]
        )
    return {**figures, "faces": len(truth.affect)}


def emotion_figures(
    predicted: np.ndarray,  # (N, 2) valence, arousal
    truth: np.ndarray,  # (N, 2)
) -> dict[str, float]:
    """PCC, CCC, RMSE and SAGR of valence and arousal, as in EMOCA's table.

    They are computed over the whole set. EMOCA's code takes means of batches, which are biased.
    CCC (Lin 1989) = 2 cov / (var + var + (difference of means)^2); SAGR is the share of equal signs.
    """
    figures = {}
    for column, name in enumerate(("valence", "arousal")):
        ours, theirs = (np.asarray(values, np.float64)[:, column] for values in (predicted, truth))
        covariance = np.mean((ours - ours.mean()) * (theirs - theirs.mean()))
        spread = ours.std() * theirs.std()
        gap = (ours.mean() - theirs.mean()) ** 2
        figures[f"{name}_pcc"] = float(covariance / spread) if spread > 0 else float("nan")
        figures[f"{name}_ccc"] = float(2 * covariance / max(ours.var() + theirs.var() + gap, 1e-12))
        figures[f"{name}_rmse"] = float(np.sqrt(np.mean((ours - theirs) ** 2)))
        figures[f"{name}_sagr"] = float(np.mean(np.sign(ours) == np.sign(theirs)))
    return figures


def expression_accuracy(predicted: np.ndarray, truth: np.ndarray) -> float:  # (N,), (N,) classes
    """Share of correct classes."""
    return float(np.mean(np.asarray(predicted) == np.asarray(truth)))
