"""The interface through which the trainer reports its progress; the command line shows a bar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Progress(Protocol):
    """Receives the trainer's progress, in this order: begin, any number of step and note, end."""

    def begin(self, stage: str, total: int, done: int) -> None:
        """A stage of ``total`` steps begins; ``done`` of them were made before."""
        ...

    def step(self, step: int, values: Mapping[str, float], images_per_second: float) -> None:
        """A step was made; ``values`` has its losses by name, and their weighted sum as ``total``."""
        ...

    def note(self, text: str) -> None:
        """A line of text to show."""
        ...

    def end(self) -> None:
        """The stage has ended."""
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
