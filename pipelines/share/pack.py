"""`deca-data pack`: the training crop of every kept row in a pack (`manifests/packs` has the format).

The fingerprint of a shard is the digest of its rows and of the settings. Shards with the right fingerprint
stay, so that a stopped call can go on, and a changed manifest costs only the changed shards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from manifests.errors import UsageError
from manifests.files import open_file
from manifests.packs.reading import is_finished
from manifests.packs.schema import FORMAT, Index, Shard
from manifests.packs.writing import shard_name, write_index, write_shard
from manifests.streaming import ManifestStream, open_stream
from pipelines.share.pack_rows import CARRIED, CropSettings, pack_row
from pipelines.terminal.progress_bar import progress
from pipelines.threads import in_order
from pipelines.workspace.parts import digest

AHEAD = 256
"""Rows whose crops are made before they are written."""

_READ = (*CARRIED, "image", "width", "height", "mask_path", "dense_path", "content_hash")


@dataclass
class Packed:
    """The result: index files, rows in the pack, and numbers of shards made and kept."""

    files: list[Path] = field(default_factory=list)
    rows: int = 0
    made: int = 0
    kept: int = 0


def pack(
    manifests: Sequence[Path],
    out: Path,
    crop: CropSettings,
    roots: Mapping[str, Path] | None = None,
    *,
    shard_rows: int = 4096,
    workers: int = 1,
    quiet: bool = False,
) -> Packed:
    """Brings the pack in ``out`` up to date with the manifests.

    ``roots`` are folders that moved, by name; ``workers`` is a number of threads.

    Raises:
        UsageError: a manifest cannot be used, none has a photo to pack, or two have the same file name.
        WorkFailed: a kept photo or its mask cannot be read any more; finished shards stay.
    """
    names = [path.stem for path in manifests]
    if len(set(names)) < len(names):
        raise UsageError(f"--manifest: two files are named {max(names, key=names.count)}; pack them apart.")
    done = Packed()
    streams = [open_stream(path, roots) for path in manifests]
    # The rows are read twice, for the plan and for the pack, so that memory holds one shard at most.
    plans = [_plan(stream, crop, shard_rows) for stream in streams]
    for name, plan in zip(names, plans, strict=True):
        _refuse_foreign(out, name, plan)
    done.rows = sum(plan.rows for plan in plans)
    if not done.rows:
        raise UsageError(
            f"{', '.join(map(str, manifests))}: no row has status ok and landmarks, so there is nothing to "
            "pack; `deca-data failures` says why."
        )
    with progress("pack", done.rows, "photos", quiet=quiet) as shown:
        for stream, plan in zip(streams, plans, strict=True):
            work = partial(pack_row, stream.head, settings=crop)
            for shard, rows in zip(plan.shards, _shards(stream, shard_rows), strict=True):
                if is_finished(out, shard):
                    done.kept += 1
                    shown.advance(len(rows))
                else:
                    dense = any(row["dense_path"] is not None for row in rows)
                    write_shard(out, plan, shard, in_order(work, rows, workers, AHEAD, shown), dense)
                    done.made += 1
            done.files.append(write_index(out, stream.head.path.stem, plan))
    return done


def _plan(stream: ManifestStream, crop: CropSettings, shard_rows: int) -> Index:
    """Returns the index that the pack of this manifest will have."""
    info = stream.head.info
    settings = {**crop.model_dump(), "format": FORMAT}
    name = stream.head.path.stem
    shards = []
    for number, rows in enumerate(_shards(stream, shard_rows)):
        points = b"".join(row["landmarks"].tobytes() for row in rows)
        words = [_words(row) for row in rows]
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


def _words(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the fingerprint depends on, beside the landmarks; `dense_path` counts only where there is one."""
    left_out = {"landmarks"} if row["dense_path"] is not None else {"landmarks", "dense_path"}
    return {key: value for key, value in row.items() if key not in left_out}


def _refuse_foreign(out: Path, name: str, plan: Index) -> None:
    """Raises UsageError where a file that the pack would replace belongs to no pack.

    A pack that was stopped has no index yet. With an index, a shard that looks wrong is a damaged one.
    """
    index = out / f"{name}.json"
    marks = {index: b'"shards"'}
    if not index.exists():
        marks |= {out / each.name: b"ARROW1" for each in plan.shards}
    for path, mark in marks.items():
        if path.exists():
            with open_file(path) as file:
                if mark not in file.read(4096):
                    raise UsageError(
                        f"--out {out}: {path.name} is no file of a pack; move it, or name another folder."
                    )


def _shards(stream: ManifestStream, size: int) -> Iterator[list[dict[str, Any]]]:
    rows = stream.usable_rows(_READ)
    while some := list(islice(rows, size)):
        yield some
