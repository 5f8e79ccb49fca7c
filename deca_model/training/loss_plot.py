"""A picture of the losses over the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from manifests.files import atomic_path

_SMOOTHED_FROM = 60  # values
_SHOWN = 2000  # values drawn per curve, about; more would not be visible


def write_loss_plot(
    path: Path, series: Mapping[str, tuple[Sequence[float], Sequence[float]]], title: str
) -> None:
    """Draw the losses over the steps, on a logarithmic scale, as a PNG of 1200 x 600 pixels.

    A long curve is drawn as a thin line with its running mean over it. Without matplotlib no file is written;
    TensorBoard shows the same curves.

    Args:
        path: the file.
        series: name to (steps, values); values that are not positive are left out.
        title: the picture's title.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    figure = Figure(figsize=(12, 6), dpi=100, layout="constrained")
    axes = figure.add_subplot(title=title, xlabel="step", yscale="log")
    axes.grid(color="0.9")
    for number, (name, (steps, values)) in enumerate(series.items()):
        x, y = np.asarray(steps, float), np.asarray(values, float)
        drawn = (y > 0) & np.isfinite(y)
        x, y = x[drawn], y[drawn]
        every = 1 + len(x) // _SHOWN
        colour, line = f"C{number}", "-" if number < 10 else "--"  # there are ten colours
        if len(x) >= _SMOOTHED_FROM:
            axes.plot(x[::every], y[::every], line, color=colour, alpha=0.3, linewidth=0.7)
            x, y = _running_mean(x), _running_mean(y)
        axes.plot(x[::every], y[::every], line if len(x) > 1 else ".", color=colour, label=name)
    if series:
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary)


def _running_mean(values: np.ndarray) -> np.ndarray:
    """Over a twentieth of the curve."""
    width = len(values) // 20
    sums = np.cumsum(np.concatenate([[0], values]))
    return (sums[width:] - sums[:-width]) / width
