"""`deca-data pack`: the training crop of every kept row, in a few large files that are read in order.

A pack is a folder of Parquet shards `<manifest's name>-00000.parquet`, `-00001` and on, in the manifest's
order (so a person's rows stand together), and `<manifest's name>.json`, written last, which lists them:
`{"format": 1, "rows": ..., "shards": [{"name", "rows", "fingerprint"}, ...], "settings": {...}, "split",
"manifest": digest of the packed rows}`. Each shard's footer holds, under the key `deca-pack`, a JSON object
with the keys `format`, `settings`, `fingerprint` (of this shard) and `manifest`.

Columns, one row per face; row groups of 256 rows:

| column | type | meaning |
|---|---|---|
| sample_id, dataset, identity, clip, split | string | as in the manifest; identity and clip may be null |
| frame, expression | int32 | as in the manifest; may be null |
| valence, arousal | float32 | as in the manifest; may be null |
| image_jpeg | binary | the crop, `size` x `size` RGB, JPEG; black where it reaches beyond the photo |
| landmarks | list of 136 float32 | x0, y0, x1, y1, ... in pixels of the crop, pixel centres at integers |
| mask_png | binary | 1-bit grey PNG of the same size, white on the visible face; null without one |
| crop_left, crop_top, crop_side | int32 | the square in pixels of the upright photo; may reach beyond it |

`image_jpeg` and `mask_png` are stored as they are (no compression, no dictionary, pages of version 1), so
that a reader can find a picture's bytes in the file and take them without unpacking a row group.

The square is centred on the box of the 68 landmarks; its side is `scale` (2.05) times the mean of the box's
width and height, moved to whole pixels. The trainer's rule cuts at 1.4 to 1.8 of that mean and may move the
centre by 0.1 of it (`deca_model/data/crop.py`): 1.8 + 2 x 0.1 = 2.0, and the rest is for whole pixels.
That square of 1.8 is 225 of the 256 pixels, enough for an input of 224. Photo pixel x lies at
`(x - crop_left + 0.5) * size / crop_side - 0.5` of the crop, and y likewise. A reader that applies the rule
to the packed landmarks gets the rule's square in pixels of the crop.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import pyarrow as pa
import pyarrow.parquet as pq

from manifests.errors import UsageError
from manifests.files import atomic_path, write_atomic
from manifests.reading import Manifest
from manifests.streaming import ManifestStream, open_stream
from pipelines.share.pack_rows import CARRIED, CropSettings, pack_row
from pipelines.terminal.progress_bar import Progress, progress
from pipelines.workspace.parts import digest

FORMAT = 1
KEY = b"deca-pack"
ROW_GROUP = 256

_READ = (*CARRIED, "image", "width", "height", "mask_path", "content_hash")

SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("sample_id", "dataset", "identity", "clip")),
        pa.field("frame", pa.int32()),
        pa.field("split", pa.string()),
        *(pa.field(name, pa.float32()) for name in ("valence", "arousal")),
        pa.field("expression", pa.int32()),
        pa.field("image_jpeg", pa.binary(), nullable=False),
        pa.field("landmarks", pa.list_(pa.float32()), nullable=False),
        pa.field("mask_png", pa.binary()),
        *(pa.field(name, pa.int32(), nullable=False) for name in ("crop_left", "crop_top", "crop_side")),
    ]
)


@dataclass(frozen=True)
class Call:
    """What `deca-data pack` was asked for.

    Attributes:
        manifests: the files to pack.
        out: the pack's folder.
        crop: size, scale and quality.
        roots: folders that moved, by name.
        shard_rows: rows per shard.
        workers: threads; OpenCV and the file system work outside Python's lock.
        quiet: no progress.
    """

    manifests: Sequence[Path]
    out: Path
    crop: CropSettings
    roots: Mapping[str, Path] = field(default_factory=dict)
    shard_rows: int = 4096
    workers: int = 1
    quiet: bool = False


@dataclass
class Packed:
    """What was done: index files, rows in the pack, shards made, and shards kept as they were."""

    files: list[Path] = field(default_factory=list)
    rows: int = 0
    made: int = 0
    kept: int = 0


def pack(call: Call) -> Packed:
    """Brings the pack up to date with the manifests; shards whose fingerprint fits stay as they are.

    Raises:
        UsageError: a manifest cannot be used, or two have the same file name.
        WorkFailed: a kept photo or its mask cannot be read any more; finished shards stay.
    """
    names = [path.stem for path in call.manifests]
    if len(set(names)) < len(names):
        raise UsageError(f"--manifest: two files are named {max(names, key=names.count)}; pack them apart.")
    done = Packed()
    streams = [open_stream(path, call.roots) for path in call.manifests]
    # Planning reads all rows once and packing once more, so that no more than a shard is ever held.
    plans = [_plan(stream, call) for stream in streams]
    rows = sum(shard["rows"] for plan in plans for shard in plan["shards"])
    with (
        progress("pack", rows, "photos", quiet=call.quiet) as shown,
        _one_thread_each(),
        ThreadPoolExecutor(call.workers) as pool,
    ):
        for stream, plan in zip(streams, plans, strict=True):
            _pack_manifest(stream, plan, call, pool, done, shown)
    return done


def _plan(stream: ManifestStream, call: Call) -> dict[str, Any]:
    """The index that the pack of this manifest will have."""
    info = stream.head.info
    settings = {**call.crop.model_dump(), "format": FORMAT}
    name = stream.head.path.stem
    shards = []
    for number, rows in enumerate(_shards(stream, call.shard_rows)):
        points = b"".join(row["landmarks"].tobytes() for row in rows)
        words = [{key: value for key, value in row.items() if key != "landmarks"} for row in rows]
        masks = info.get("fingerprints", {}).get("masks")
        fingerprint = digest([settings, masks, words, hashlib.blake2b(points).hexdigest()])
        shards.append({"name": f"{name}-{number:05d}.parquet", "rows": len(rows), "fingerprint": fingerprint})
    return {
        "format": FORMAT,
        "settings": settings,
        "split": info.get("split"),
        "manifest": digest([shard["fingerprint"] for shard in shards]),
        "rows": sum(shard["rows"] for shard in shards),
        "shards": shards,
    }


def _shards(stream: ManifestStream, size: int) -> Iterator[list[dict[str, Any]]]:
    rows = stream.usable_rows(_READ)
    while some := list(islice(rows, size)):
        yield some


def _pack_manifest(
    stream: ManifestStream,
    plan: dict[str, Any],
    call: Call,
    pool: ThreadPoolExecutor,
    done: Packed,
    shown: Progress,
) -> None:
    index = call.out / f"{stream.head.path.stem}.json"
    for shard, rows in zip(plan["shards"], _shards(stream, call.shard_rows), strict=True):
        path = call.out / shard["name"]
        if _fingerprint(path) == shard["fingerprint"]:
            done.kept += 1
            shown.advance(len(rows))
            continue
        footer = {key: plan[key] for key in ("format", "settings", "manifest")}
        footer["fingerprint"] = shard["fingerprint"]
        _write_shard(path, footer, stream.head, rows, call, pool, shown)
        done.made += 1
    wanted = {shard["name"] for shard in plan["shards"]}
    for path in call.out.glob(f"{stream.head.path.stem}-[0-9][0-9][0-9][0-9][0-9].parquet"):
        if path.name not in wanted:  # of a longer manifest before
            path.unlink()
    write_atomic(index, json.dumps(plan, indent=1, sort_keys=True).encode())
    done.files.append(index)
    done.rows += plan["rows"]


def _write_shard(
    path: Path,
    footer: dict[str, Any],
    manifest: Manifest,
    rows: list[dict[str, Any]],
    call: Call,
    pool: ThreadPoolExecutor,
    shown: Progress,
) -> None:
    schema = SCHEMA.with_metadata({KEY: json.dumps(footer, sort_keys=True)})
    packed_already = {"image_jpeg", "mask_png"}
    options: dict[str, Any] = {
        "compression": {name: "NONE" if name in packed_already else "ZSTD" for name in SCHEMA.names},
        "use_dictionary": ["dataset", "identity"],
        "data_page_version": "1.0",
    }
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema, **options) as writer:
        for start in range(0, len(rows), ROW_GROUP):
            some = rows[start : start + ROW_GROUP]
            jobs = [pool.submit(pack_row, manifest, row, call.crop) for row in some]
            try:
                packed = [job.result() for job in jobs]
            finally:
                for job in jobs:  # after an error or Ctrl-C, none of the others is begun
                    job.cancel()
            writer.write_table(pa.Table.from_pylist(packed, schema=schema), row_group_size=ROW_GROUP)
            shown.advance(len(some))


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """OpenCV keeps to the thread that calls it: the photos are what is worked on side by side."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _fingerprint(path: Path) -> str | None:
    """The fingerprint of a shard that is there; None if there is none or it cannot be read."""
    try:
        metadata = pq.read_metadata(path).metadata or {}
        return json.loads(metadata[KEY])["fingerprint"]
    except (OSError, KeyError, ValueError, pa.ArrowInvalid):
        return None
