"""The protocol of a stage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from deca_data.sample import Sample


class Stage(Protocol):
    """One processing step for a photo.

    Attributes:
        name: the stage's name, as on the command line and in the `stage` column.
        version: to be raised when a code change changes the stage's results; old parts are then redone.
        reads: columns that earlier stages must have set.
        writes: columns that the stage sets.
        batch: largest number of samples in one call (1 where batching does not help).
    """

    name: str
    version: int
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    batch: int

    def fingerprint(self) -> dict[str, Any]:
        """Everything that changes the result: settings, library versions, hashes of weights. JSON-able."""
        ...

    def run(self, samples: Sequence[Sample], workspace: Path) -> None:
        """Sets the columns of ``samples`` (all still ok) and writes sidecars below ``workspace``."""
        ...
