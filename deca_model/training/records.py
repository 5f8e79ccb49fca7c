"""The records of a run: one line of JSON each, and the same numbers for TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from manifests.files import write_atomic


class RunLog:
    """Appends to ``metrics.jsonl`` and ``tensorboard/`` of a run folder.

    Args:
        folder: the run folder.
        step: the step from which the run continues; later records of an interrupted run are removed.
    """

    def __init__(self, folder: Path, step: int = 0) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.path = folder / "metrics.jsonl"
        kept = [record for record in read_metrics(self.path) if record["step"] <= step]
        write_atomic(self.path, "".join(json.dumps(record) + "\n" for record in kept).encode())
        self._file = self.path.open("a", encoding="utf-8")
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1 if step else None)

    def write(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """Write one record; ``kind`` is ``train`` or ``validation``."""
        self._file.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")
        self._file.flush()
        for name, value in values.items():
            if isinstance(value, (int, float)):
                self._board.add_scalar(f"{kind}/{name}", value, step)

    def explain(self, meanings: Mapping[str, str]) -> None:
        """Show what the figures of validations mean, as a table of TensorBoard's texts."""
        rows = "".join(f"| validation/{name} | {meaning} |\n" for name, meaning in meanings.items())
        self._board.add_text("figures", f"| figure | meaning |\n| --- | --- |\n{rows}")

    def picture(self, name: str, step: int, image: np.ndarray) -> None:  # (H, W, 3) uint8 RGB
        """Show a picture in TensorBoard, where Pillow is installed."""
        with suppress(ImportError):
            self._board.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        """Close both files."""
        self._file.close()
        self._board.close()


def figures_of(checkpoint: Path) -> dict[str, Any] | None:
    """The held-out figures of a checkpoint that a run has written; None if they were not measured."""
    step = int(checkpoint.stem.removeprefix("step-"))
    records = read_metrics(checkpoint.parents[1] / "metrics.jsonl")
    found = [each for each in records if each["kind"] == "validation" and each["step"] == step]
    return {k: v for k, v in found[-1].items() if k not in ("kind", "step")} if found else None


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The records of a ``metrics.jsonl``; an incomplete last line (the run was killed) is left out."""
    if not path.is_file():
        return []
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records
