"""The bar of a training run: steps, losses, images a second."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack

from pipelines.terminal.lines import print_line
from pipelines.terminal.progress_bar import Progress, progress


class StepProgress:
    """Shows the progress of a training run, as a bar in a terminal, else as lines."""

    def __init__(self, quiet: bool = False):
        self._quiet = quiet
        self._stack = ExitStack()
        self._shown: Progress | None = None

    def begin(self, stage: str, total: int, done: int) -> None:
        """Opens the bar."""
        self._stack = ExitStack()
        self._shown = self._stack.enter_context(progress(stage, total, "steps", quiet=self._quiet, done=done))

    def step(self, step: int, values: Mapping[str, float], images_per_second: float) -> None:
        """Moves the bar on by one step."""
        named = ("total", "landmark", "photometric")
        shown = {name: f"{values[name]:.4f}" for name in named if name in values}
        if self._shown is not None:
            self._shown.advance(1, {**shown, "images/s": f"{images_per_second:.1f}"})

    def note(self, text: str) -> None:
        """Prints a line."""
        if not self._quiet:
            print_line(text, sys.stderr)

    def end(self) -> None:
        """Closes the bar."""
        self._shown = None
        self._stack.close()
