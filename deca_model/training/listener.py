"""What the trainer tells whoever watches it; the command line draws a bar from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Progress(Protocol):
    """Receives the trainer's news, in this order: begin, any number of step and note, end."""

    def begin(self, stage: str, total: int, done: int) -> None:
        """A stage of ``total`` steps begins, of which ``done`` were made before."""
        ...

    def step(self, step: int, values: Mapping[str, float], images_per_second: float) -> None:
        """A step was made; ``values`` holds its losses by name, weighted sum ``total``."""
        ...

    def note(self, text: str) -> None:
        """One line worth showing."""
        ...

    def end(self) -> None:
        """The stage is over."""
        ...


class Silent:
    """Shows nothing."""

    def begin(self, stage: str, total: int, done: int) -> None:
        """Nothing."""

    def step(self, step: int, values: Mapping[str, float], images_per_second: float) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""
