"""One image on its way through the stages."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

OK, DROPPED, FAILED = "ok", "dropped", "failed"


@dataclass
class Sample:
    """One face photo and what is known of it so far.

    Attributes:
        image: (H, W, 3) uint8, RGB, turned upright as its EXIF says.
        row: manifest columns by name; a missing key and None both mean "absent".
        path: the file that the image was read from; None for an image that is only in memory.
        scratch: what one stage leaves for a later one of the same pass. It only saves work: a stage
            gives the same result when it is empty.
    """

    image: np.ndarray
    row: dict[str, Any]
    path: Path | None = None
    scratch: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """True while no stage has ended this row."""
        return self.row.get("status", OK) == OK

    def drop(self, stage: str, reason: str) -> None:
        """Ends the row because of what the image shows (no face, say)."""
        self._end(DROPPED, stage, reason)

    def fail(self, stage: str, reason: str) -> None:
        """Ends the row because it could not be processed (an unreadable file, say)."""
        self._end(FAILED, stage, reason)

    def _end(self, status: str, stage: str, reason: str) -> None:
        self.row.update(status=status, stage=stage, reason=reason)
