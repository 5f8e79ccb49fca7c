"""The row: one face of one image or video frame, column by column.

Null means absent; nothing is filled with zeros or ones. Scores are raw; thresholds only decide `status`, so
that a changed threshold needs no new score. Sizes and positions are those of the photo as
`manifests/images/decode.py` reads it: upright, and the first frame of an animation.

The core columns, which every manifest has, are here; they include those of the project's own stages. A user's
stage describes its columns in its own file. They follow the core columns in a manifest, with unit and meaning
in each field's metadata.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import pyarrow as pa

FORMAT = 1
"""Rises when a column changes its meaning; new columns are null in older files."""

SPLITS = ("train", "val")

# Arrow cannot read null lists of a fixed length from Parquet, so the file's lists have any length;
# `writing.conform` checks them against `LENGTHS`.
_TEXT, _INT, _FLOAT, _FLOATS = pa.string(), pa.int32(), pa.float32(), pa.list_(pa.float32())
LENGTHS = {"box": 4, "landmarks": 136}


class Column(NamedTuple):
    """One column of the manifest; the unit is "" if it has none."""

    name: str
    type: pa.DataType
    unit: str
    meaning: str


COLUMNS: tuple[Column, ...] = (
    Column("sample_id", _TEXT, "", "dataset/path, unique and never null; frames add #number"),
    Column("dataset", _TEXT, "", "name of the dataset; its folder stands under this name in the roots"),
    Column("identity", _TEXT, "", "the person, unique within the dataset; null where unknown"),
    Column("clip", _TEXT, "", "the video clip that a frame comes from"),
    Column("frame", _INT, "", "number of the frame in its clip, from 0"),
    Column("image", _TEXT, "", "path of the image, relative to the dataset's root"),
    Column("width", _INT, "px", "width of the upright image"),
    Column("height", _INT, "px", "height of the upright image"),
    Column("box", _FLOATS, "px", "the chosen face: x0, y0, x1, y1"),
    Column("box_score", _FLOAT, "0-1", "the detector's confidence"),
    Column("faces", _INT, "", "number of faces found in the image"),
    Column(
        "landmarks",
        _FLOATS,
        "px",
        "68 points in iBUG order: x0, y0, x1, y1, ...; x right, y down, pixel centres at integers",
    ),
    Column(
        "landmark_confidence",
        _FLOAT,
        "0-1",
        "the landmark model's confidence; its meaning is the backend's own",
    ),
    Column(
        "landmark_shift_error",
        _FLOAT,
        "box sides",
        "largest move of a landmark when the box is shifted by 5 % to the bottom right",
    ),
    Column(
        "landmark_shift_back",
        _FLOAT,
        "box sides",
        "the same with a shift to the top left; null where landmark_shift_error is below 0.04",
    ),
    Column(
        "landmark_spread",
        _FLOAT,
        "box sides",
        "mean distance between landmarks of the box shifted by 20 % left and right; null beyond 30 deg yaw",
    ),
    Column("landmark_path", _TEXT, "", ".npy of (68, 2) float32, relative to the workspace"),
    Column(
        "dense_path",
        _TEXT,
        "",
        ".npy of (478, 3) float32, MediaPipe's mesh: x, y as landmarks, z alike; null without --dense",
    ),
    Column(
        "mask_path", _TEXT, "", "PNG of the image's size, 255 on the visible face, relative to the workspace"
    ),
    Column("skin_fraction", _FLOAT, "0-1", "share of the face's outline that the mask shows as visible face"),
    Column("face_size", _FLOAT, "px", "square root of the area of the landmarks' box"),
    Column("yaw", _FLOAT, "deg", "head turn; positive when the nose points to the image's right"),
    Column("pitch", _FLOAT, "deg", "head nod; positive when the face looks up"),
    Column("roll", _FLOAT, "deg", "head tilt; positive when the head leans clockwise in the image"),
    Column("sharpness", _FLOAT, "grey^2", "variance of the Laplacian on the face at a fixed scale"),
    Column("brightness", _FLOAT, "0-1", "mean luma of the face"),
    Column("clipping", _FLOAT, "0-1", "share of the face's pixels that are black or burnt out"),
    Column("eye_openness", _FLOAT, "eye widths", "mean distance of the lids over the eye's width"),
    Column(
        "mouth_openness", _FLOAT, "mouth widths", "mean distance of the inner lips over the mouth's width"
    ),
    Column("content_hash", _TEXT, "", "BLAKE2b of the file's bytes: equal for exact duplicates"),
    Column("phash", _TEXT, "", "pHash of the face, 64 bits, hexadecimal: close for near duplicates"),
    Column("duplicate_of", _TEXT, "", "sample_id of the better copy of this picture"),
    Column(
        "identity_score",
        _FLOAT,
        "cosine",
        "likeness to the identity's robust centre; null without an embedder",
    ),
    Column(
        "identity_margin",
        _FLOAT,
        "cosine",
        "how much more alike its identity than the most similar other one (of up to 1,000)",
    ),
    Column("valence", _FLOAT, "-1..1", "where the dataset has it"),
    Column("arousal", _FLOAT, "-1..1", "where the dataset has it"),
    Column("expression", _INT, "", "the dataset's own expression class (AffectNet: 0-10)"),
    Column("split", _TEXT, "", "train or val; a person is only ever in one"),
    Column("status", _TEXT, "", "ok, dropped (by what it shows) or failed (could not be processed)"),
    Column("stage", _TEXT, "", "the stage that dropped or failed the row"),
    Column("reason", _TEXT, "", "why, in one phrase for people"),
    Column("reason_column", _TEXT, "", "the score whose bound dropped the row; null where none did"),
    Column("reason_bound", pa.float64(), "as that score", "the bound that the score must not pass"),
    Column("reason_side", _TEXT, "", "below or above: where the score lies"),
)

NAMES: tuple[str, ...] = tuple(column.name for column in COLUMNS)
BOUND_COLUMNS = ("reason_column", "reason_bound", "reason_side")
"""The columns that hold a `Bound`, in the order of its fields."""


class Bound(NamedTuple):
    """A limit, in the score's unit, on a column; rows on its side ("below" or "above") are dropped."""

    column: str
    value: float
    side: str


def is_bound(value: object) -> bool:
    """Returns whether a value from a file is a `Bound`."""
    if not isinstance(value, list | tuple) or len(value) != len(Bound._fields):
        return False
    column, limit, side = value
    return isinstance(column, str) and isinstance(limit, int | float) and side in ("below", "above")


def field_of(column: Column) -> pa.Field:
    """Returns the Arrow field of a column, with unit and meaning in its metadata."""
    metadata = {"unit": column.unit, "meaning": column.meaning}
    nullable = column.name not in {"sample_id", "dataset", "image", "status"}
    return pa.field(column.name, column.type, nullable=nullable, metadata=metadata)


SCHEMA = pa.schema([field_of(column) for column in COLUMNS])


def schema_with(added: Iterable[Column]) -> pa.Schema:
    """Returns the schema of a manifest with ``added`` columns."""
    return pa.schema([*SCHEMA, *map(field_of, added)])


def added_columns(schema: pa.Schema) -> tuple[Column, ...]:
    """Returns the columns beyond the core ones in the schema of a manifest's file."""

    def text(field: pa.Field, key: bytes) -> str:
        return (field.metadata or {}).get(key, b"").decode()

    added = [field for field in schema if field.name not in NAMES]
    return tuple(Column(each.name, each.type, text(each, b"unit"), text(each, b"meaning")) for each in added)


def subset(names: Iterable[str]) -> pa.Schema:
    """Returns the schema of some core columns, in the manifest's order.

    Raises:
        KeyError: a name is no core column.
    """
    unknown = set(names) - set(NAMES)
    if unknown:
        raise KeyError(f"no such manifest column: {', '.join(sorted(unknown))}")
    return pa.schema([SCHEMA.field(name) for name in NAMES if name in names])
