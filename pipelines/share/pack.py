"""`deca-data pack`: the training crop of every kept row in a pack (`manifests/packs` has the format).

A shard is known by its fingerprint, the digest of its rows and of the settings: shards whose fingerprint fits
stay as they are, so that a call that was stopped goes on and a changed manifest costs only what changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import cv2

from manifests.errors import UsageError
from manifests.packs.reading import is_finished
from manifests.packs.schema import FORMAT, Index, Shard
from manifests.packs.writing import shard_name, write_index, write_shard
from manifests.reading import Manifest
from manifests.streaming import ManifestStream, open_stream
from pipelines.share.pack_rows import CARRIED, CropSettings, pack_row
from pipelines.terminal.progress_bar import Progress, progress
from pipelines.workspace.parts import digest

AT_ONCE = 256
"""Rows that are in memory with their crops."""

_READ = (*CARRIED, "image", "width", "height", "mask_path", "content_hash")


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
    rows = sum(plan.rows for plan in plans)
    with (
        progress("pack", rows, "photos", quiet=call.quiet) as shown,
        _one_thread_each(),
        ThreadPoolExecutor(call.workers) as pool,
    ):
        for stream, plan in zip(streams, plans, strict=True):
            _pack_manifest(stream, plan, call, pool, done, shown)
    return done


def _plan(stream: ManifestStream, call: Call) -> Index:
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
        shards.append(Shard(name=shard_name(name, number), rows=len(rows), fingerprint=fingerprint))
    return Index(
        **settings,
        split=info.get("split"),
        manifest=digest([shard.fingerprint for shard in shards]),
        rows=sum(shard.rows for shard in shards),
        shards=tuple(shards),
    )


def _shards(stream: ManifestStream, size: int) -> Iterator[list[dict[str, Any]]]:
    rows = stream.usable_rows(_READ)
    while some := list(islice(rows, size)):
        yield some


def _pack_manifest(
    stream: ManifestStream,
    plan: Index,
    call: Call,
    pool: ThreadPoolExecutor,
    done: Packed,
    shown: Progress,
) -> None:
    for shard, rows in zip(plan.shards, _shards(stream, call.shard_rows), strict=True):
        if is_finished(call.out, shard):
            done.kept += 1
            shown.advance(len(rows))
            continue
        write_shard(call.out, plan, shard, _packed(stream.head, rows, call, pool, shown))
        done.made += 1
    done.files.append(write_index(call.out, stream.head.path.stem, plan))
    done.rows += plan.rows


def _packed(
    manifest: Manifest, rows: list[dict[str, Any]], call: Call, pool: ThreadPoolExecutor, shown: Progress
) -> Iterator[dict[str, Any]]:
    """The rows of a shard as the pack has them, made side by side and given in order."""
    for start in range(0, len(rows), AT_ONCE):
        jobs = [pool.submit(pack_row, manifest, row, call.crop) for row in rows[start : start + AT_ONCE]]
        try:
            packed = [job.result() for job in jobs]
        finally:
            for job in jobs:  # after an error or Ctrl-C, none of the others is begun
                job.cancel()
        yield from packed
        shown.advance(len(packed))


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """OpenCV keeps to the thread that calls it: the photos are what is worked on side by side."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
