"""Tar shards in the webdataset convention: the files of a photo share the name before the first dot.

`<key>.jpg` the photo, `<key>.landmarks.npy` (68, 2) float32 in its pixels, `<key>.mask.png` 255 on the
visible face (if the row has a mask), `<key>.json` the row. The standard library's tarfile writes them, as in
the webdataset package, which is needed only to read them.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from manifests.files import atomic_path, read_file
from manifests.images.kept import read_mask
from manifests.reading import Manifest
from manifests.streaming import ManifestStream, open_stream
from pipelines.share.export.images import file_bytes
from pipelines.share.export.rows import AHEAD, THREADS, Call, Exported
from pipelines.share.own_files import claim
from pipelines.terminal.progress_bar import progress
from pipelines.threads import in_order

Files = dict[str, bytes]
"""Contents by the part of the file name after the key."""

_IN_FILES = ("landmarks", "landmark_path", "dense_path", "mask_path")


def export_webdataset(call: Call) -> Exported:
    """Writes ``out``/<manifest's name>-000000.tar and on, the kept rows in the manifest's order.

    The same manifest gives the same bytes.

    Raises:
        UsageError: a manifest cannot be used, or a file of that name is not ours.
        WorkFailed: a kept photo or its mask cannot be read any more.
    """
    done = Exported()
    streams = [open_stream(path, call.roots) for path in call.manifests]
    rows = sum(stream.count_ok() for stream in streams)
    claim(call.out, [name for stream in streams for name in _names(stream, call.shard_rows)])
    with progress("export", rows, "photos", quiet=call.quiet) as shown:
        for stream in streams:
            usable = stream.usable_rows(stream.names)
            samples = enumerate(in_order(partial(_files, stream.head), usable, THREADS, AHEAD, shown))
            for number, some in groupby(samples, lambda sample: sample[0] // call.shard_rows):
                path = call.out / _name(stream, number)
                done.files[str(path)] = _write_shard(path, some)
    return done


def _name(stream: ManifestStream, number: int) -> str:
    return f"{stream.head.path.stem}-{number:06d}.tar"


def _names(stream: ManifestStream, shard_rows: int) -> list[str]:
    return [_name(stream, number) for number in range(-(-stream.count_ok() // shard_rows))]


def _files(manifest: Manifest, row: dict[str, Any]) -> Files:
    files = {"jpg": file_bytes(manifest.image_path(row["dataset"], row["image"]), "JPEG")}
    buffer = io.BytesIO()
    np.save(buffer, row["landmarks"], allow_pickle=False)
    files["landmarks.npy"] = buffer.getvalue()
    if row["mask_path"] is not None:
        path = manifest.workspace_path(row["mask_path"])
        read_mask(path)  # raises if it is damaged
        files["mask.png"] = read_file(path)
    known = {name: value for name, value in row.items() if value is not None and name not in _IN_FILES}
    files["json"] = json.dumps(known, ensure_ascii=False, sort_keys=True).encode("utf-8", "replace")
    return files


def _write_shard(path: Path, samples: Iterator[tuple[int, Files]]) -> int:
    count = 0
    with atomic_path(path) as temporary, tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number, files in samples:
            for ending, data in files.items():
                entry = tarfile.TarInfo(f"{number:09d}.{ending}")
                entry.size, entry.mode = len(data), 0o644
                tar.addfile(entry, io.BytesIO(data))
            count += 1
    return count
