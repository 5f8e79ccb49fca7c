"""Tells one photo that is missing from a dataset that is not there.

The rule: a photo that is gone or may not be read fails, as any bad photo does. But where the dataset's folder
is gone, or more than half of a shard's photos, and at least two, cannot be opened, the dataset is not there
as a whole: its drive is not mounted, or this user may not read it. Then the run stops, and the shard's rows
stay to be done.
"""

from __future__ import annotations

import os
from pathlib import Path

from manifests.machine_faults import GO_ON, MachineFault


def check_root(dataset: str, folder: Path) -> None:
    """Raises `MachineFault` if the folder of a dataset's photos is gone."""
    if not os.path.isdir(folder):  # False also where it may not be looked at
        raise MachineFault(
            f"{dataset}: its folder {folder} is gone or cannot be read; see to it that the drive is mounted. "
            f"{GO_ON}"
        )


def check_opened(dataset: str, folder: Path, tried: int, missing: int) -> None:
    """Raises `MachineFault` if so many of the ``tried`` files are missing that the dataset is."""
    if missing >= 2 and 2 * missing > tried:
        raise MachineFault(
            f"{dataset}: {missing} of {tried} files of one shard cannot be opened; see to it that {folder} "
            f"is mounted and may be read, or, if they were removed on purpose, give {folder} again. {GO_ON}"
        )
