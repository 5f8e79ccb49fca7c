"""What every per-image stage offers to the runner."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from deca_data.sample import Sample


class Stage(Protocol):
    """One step of the way of an image.

    Attributes:
        name: the stage's name, as typed on the command line and written in the `stage` column.
        version: raised whenever the code changes what the stage writes; old parts are then redone.
        reads: columns that must be there before.
        writes: columns that the stage sets.
        batch: how many samples it wants in one call (1 where batching brings nothing).
    """

    name: str
    version: int
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    batch: int

    def fingerprint(self) -> dict[str, Any]:
        """Whatever changes the result: settings, library versions, hashes of weights. JSON-able."""
        ...

    def run(self, samples: Sequence[Sample], workspace: Path) -> None:
        """Sets the columns of ``samples`` (all still ok) and writes sidecars below ``workspace``."""
        ...
