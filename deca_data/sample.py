"""One photo and its row, which the stages work on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

OK, DROPPED, FAILED = "ok", "dropped", "failed"


@dataclass
class Sample:
    """One face photo and the results of the stages so far.

    Attributes:
        image: (H, W, 3) uint8, RGB, upright by its EXIF orientation; a reduced copy of a large photo.
        row: manifest columns by name; a missing key and None both mean "absent". Its positions and lengths
            are in pixels of the photo.
        path: the photo's file; None for an image that is only in memory.
        scratch: data that one stage keeps for a later stage of the same pass. It only saves work: a stage
            gives the same result without it.
        shrunk: the factor by which the photo's sides were divided to make ``image``.
        photo_size: width and height of the photo; None takes those of ``image``.
        writes: what a stage leaves to be done for this photo after its ``run``, such as writing a file; it
            may be done in another thread, but before a stage that reads one of the stage's columns.
        unsynced: files that stages wrote for this photo and that may not be on the disk yet; they are synced
            together, before the results that name them are written.
    """

    image: np.ndarray
    row: dict[str, Any]
    path: Path | None = None
    scratch: dict[str, Any] = field(default_factory=dict)
    shrunk: int = 1
    photo_size: tuple[int, int] | None = None
    unsynced: list[Path] = field(default_factory=list)
    writes: list[Callable[[], None]] = field(default_factory=list)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the photo in its own pixels."""
        return self.photo_size or (self.image.shape[1], self.image.shape[0])

    def box(self) -> np.ndarray:
        """The row's box, (4,) float64, x0 y0 x1 y1 in pixels of ``image``."""
        return self._to_image(np.asarray(self.row["box"], np.float64).reshape(4))

    def landmarks(self) -> np.ndarray:
        """The row's landmarks, (68, 2) float32 in pixels of ``image``."""
        return self._to_image(np.asarray(self.row["landmarks"], np.float32).reshape(68, 2))

    def to_photo(self, positions: np.ndarray) -> np.ndarray:
        """Converts positions or boxes from pixels of ``image`` to pixels of the photo."""
        return positions if self.shrunk == 1 else (positions + 0.5) * self.shrunk - 0.5

    def _to_image(self, positions: np.ndarray) -> np.ndarray:
        return positions if self.shrunk == 1 else (positions + 0.5) / self.shrunk - 0.5

    @property
    def ok(self) -> bool:
        """True while no stage has ended this row."""
        return self.row.get("status", OK) == OK

    def drop(self, stage: str, reason: str) -> None:
        """Ends the row because of what the photo shows (for example no face)."""
        self.row.update(status=DROPPED, stage=stage, reason=reason)

    def fail(self, stage: str, reason: str) -> None:
        """Ends the row because it could not be processed (for example an unreadable file)."""
        self.row.update(status=FAILED, stage=stage, reason=reason)
