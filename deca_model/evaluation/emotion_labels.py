"""Labelled faces for the emotion table: labels and codes of a manifest, or predictions of another program."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from deca_model.data.manifest_faces import face_table
from deca_model.evaluation.emotion_figures import Labels
from deca_model.networks.model import Deca
from deca_model.training.validation import HeldOut
from manifests.errors import UsageError
from manifests.reading import NEEDED, open_manifest

CLASSES = 8
"""AffectNet's expressions 0 to 7; 8 to 10 are no emotion, uncertain and no face."""
_LABELS = ("valence", "arousal", "expression")


class Labelled(NamedTuple):
    """Labelled faces and their codes."""

    features: np.ndarray  # (N, D)
    labels: Labels


def encode_labelled(
    model: Deca,
    size: int,
    manifest: Path,
    roots: dict[str, Path],
    details: bool,
    done: Callable[[int], None] = lambda _: None,
) -> Labelled:
    """The codes of a manifest's labelled faces, in the order of EMOCA's EmoDECA: shape, expression, jaw.

    Args:
        model: in evaluation mode.
        size: side of its crops.
        manifest: a manifest with AffectNet's labels.
        roots: folders that moved since the manifest was made, by name.
        details: whether to add the detail code.
        done: called after each batch with its number of faces.

    Raises:
        UsageError: no face has these labels.
    """
    opened = open_manifest(manifest, roots, needed=(*NEEDED, *_LABELS))
    rows = _labelled_rows(opened.table, manifest)
    table = face_table([dataclasses.replace(opened, table=rows)])
    held_out = HeldOut(table, size, len(table), scale=model.crop_scale)
    features = []
    for batch in held_out.batches():
        photos = batch.to(model.head.template.device).faces()
        with torch.no_grad():
            codes = model.encode(photos)
            parts = [codes.shape, codes.expression, codes.pose[:, 3:]]
            if details:
                parts.append(model.encode_detail(photos))
        features.append(torch.cat(parts, dim=1).float().cpu().numpy())
        done(len(features[-1]))
    return Labelled(np.concatenate(features), _labels(rows))


def read_labels(manifest: Path) -> tuple[list[str], Labels]:
    """The names and labels of a manifest's labelled faces.

    Raises:
        UsageError: the file is no manifest, or no face has these labels.
    """
    opened = open_manifest(manifest, needed=(*NEEDED, *_LABELS), check_roots=False)
    rows = _labelled_rows(opened.table, manifest)
    return rows["sample_id"].to_pylist(), _labels(rows)


def read_predictions(path: Path, sample_ids: list[str]) -> Labels:
    """Predictions of another program from a CSV: sample_id, valence, arousal and optionally expression.

    Raises:
        UsageError: the file or a column is missing, a value is no number, or a face has no prediction.
    """
    import pandas as pd

    try:
        frame = pd.read_csv(path, dtype={"sample_id": str})
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: this is not a readable CSV file ({error}).") from error
    missing = [name for name in ("sample_id", "valence", "arousal") if name not in frame.columns]
    if missing:
        raise UsageError(f"{path}: it lacks the columns {', '.join(missing)}.")
    frame = frame.drop_duplicates("sample_id", keep="last").set_index("sample_id")
    absent = [name for name in sample_ids if name not in frame.index]
    if absent:
        raise UsageError(f"{path}: {len(absent)} faces of the manifest are not in it, such as {absent[0]}.")
    frame = frame.loc[sample_ids]
    try:
        affect = frame[["valence", "arousal"]].to_numpy(np.float64)
        classes = frame["expression"].fillna(-1).to_numpy(np.int64) if "expression" in frame else None
    except (TypeError, ValueError) as error:
        raise UsageError(f"{path}: a value is no number ({error}).") from error
    if not np.isfinite(affect).all():
        raise UsageError(f"{path}: a valence or arousal is empty or not finite.")
    return Labels(affect, np.full(len(affect), -1) if classes is None else classes)


def _labelled_rows(table: pa.Table, manifest: Path) -> pa.Table:
    """The usable rows that have valence, arousal and one of the eight expressions, as EMOCA chooses them."""
    usable = pc.equal(table["status"], "ok")  # type: ignore[attr-defined]
    for name in ("landmarks", *_LABELS):
        usable = pc.and_(usable, pc.is_valid(table[name]))  # type: ignore[attr-defined]
    rows = table.filter(usable)
    rows = rows.filter(pc.is_in(rows["expression"], pa.array(range(CLASSES), pa.int32())))  # type: ignore[attr-defined]
    if rows.num_rows == 0:
        raise UsageError(
            f"{manifest}: no face has valence, arousal and an expression of 0 to 7; build it from AffectNet."
        )
    return rows


def _labels(rows: pa.Table) -> Labels:
    affect = np.stack([rows[name].to_numpy() for name in _LABELS[:2]], axis=1).astype(np.float64)
    return Labels(affect, rows["expression"].to_numpy().astype(np.int64))
