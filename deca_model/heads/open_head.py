"""The embedded default head: reading and writing its array file, which is part of the package."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path

import numpy as np

from deca_model.heads.head import INDICES, REAL, HeadData
from manifests.errors import UsageError

OPEN_HEAD = Path(__file__).with_name("open_head.npz")
MODE_UNIT = 1e-3
"""Metres per stored unit: half precision is too coarse for very small numbers, so millimetres are stored."""
HALF = ("shape_basis", "expression_basis", "pose_basis")


def load_open_head(path: Path = OPEN_HEAD) -> HeadData:
    """Read the open head.

    Args:
        path: an array file that ``save_open_head`` wrote; by default the one in the package.

    Raises:
        UsageError: the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        names = tuple(json.loads(str(arrays["expression_names"])))
        modes = {key: arrays[key].astype(np.float32) * np.float32(MODE_UNIT) for key in HALF}
        return HeadData(
            name="open",
            **modes,
            **{key: arrays[key].astype(np.float32) for key in REAL},
            **{key: arrays[key].astype(np.int64) for key in ("parents", *INDICES)},
            face_region=arrays["face_region"].astype(bool),
            expression_names=names,
        )
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UsageError(
            f"the open head's file {path} cannot be read ({error}): install the package again"
        ) from error


def save_open_head(data: HeadData, path: Path) -> None:
    """Write a head for ``load_open_head``; the same arrays give the same bytes in one version of Python."""
    arrays: dict[str, np.ndarray] = {key: (getattr(data, key) / MODE_UNIT).astype(np.float16) for key in HALF}
    arrays |= {key: getattr(data, key).astype(np.float32) for key in REAL}
    arrays |= {key: getattr(data, key).astype(np.int32) for key in ("parents", *INDICES)}
    arrays["face_region"] = data.face_region.astype(bool)
    arrays["expression_names"] = np.array(json.dumps(list(data.expression_names)))
    np.savez_compressed(path, **arrays)
