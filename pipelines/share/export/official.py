"""Writes each kept photo as the loaders of the official trainers read it: image, landmarks and mask.

The image is a JPEG (VoxCeleb2: a PNG); landmarks are (68, 2) float32 in pixels of that image; the mask has
the image's size, float32, 1 on the visible face (the loaders keep the type, and their warp divides whole
numbers by 255).
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from manifests.errors import UsageError
from manifests.files import read_file, remove_left, write_atomic
from manifests.images.kept import read_mask
from manifests.reading import Manifest
from manifests.streaming import ManifestStream, open_stream
from pipelines.share.export.images import as_it_is, encoded
from pipelines.share.export.lists import RACES, Groups, is_large, save
from pipelines.share.export.rows import AHEAD, THREADS, Call, Exported
from pipelines.terminal.progress_bar import Progress, progress
from pipelines.threads import in_order

COLUMNS = ("dataset", "identity", "image", "mask_path", "split", "box")


@dataclass(frozen=True)
class Place:
    """Where a photo goes: three folders, the image's ending, and the stem, by which the lists name it."""

    images: Path
    landmarks: Path
    masks: Path
    ending: str
    stem: str


Placing = Callable[[Manifest, str, dict[str, Any]], Place | None]
"""The place of a row (manifest, source, row), or None if no loader can read the photo."""


@dataclass
class Written:
    """The stems of what was written, those of large faces among them, and counts for the notes."""

    groups: Groups = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    large: Groups = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))


def write_photos(
    call: Call, streams: list[ManifestStream], shown: Progress, place_of: Placing, apart: str | None = None
) -> Written:
    """Writes the files of all kept photos but those of the layout ``apart``.

    Raises:
        UsageError: a manifest cannot be used or names a path outside the export.
        WorkFailed: a kept photo cannot be read any more.
    """
    written = Written()
    for stream in streams:
        write = partial(_write_files, call, stream.head, place_of)
        rows = (row for row in stream.usable_rows(COLUMNS) if source_of(stream.head, row) != apart)
        for row, source, stem, masked in in_order(write, rows, THREADS, AHEAD, shown):
            if stem is None or row["identity"] is None:
                written.counts["other" if stem is None else "nobody"] += 1
                continue
            name = stem.rsplit("/", 1)[0] if source == "voxceleb2" else row["identity"]
            key = source, row["dataset"], row["split"] or "train"
            written.groups[key][name].append(stem)
            if is_large(row["box"]):
                written.large[key][name].append(stem)
            written.counts["unmasked"] += not masked
    return written


@contextmanager
def opened(call: Call) -> Iterator[tuple[list[ManifestStream], Progress]]:
    """Yields the manifests and the progress bar of an export.

    Raises:
        UsageError: a manifest cannot be used.
    """
    streams = [open_stream(path, call.roots) for path in call.manifests]
    rows = sum(stream.count_ok() for stream in streams)
    with progress("export", rows, "photos", quiet=call.quiet) as shown:
        yield streams, shown


def source_of(manifest: Manifest, row: Mapping[str, Any]) -> str:
    """Returns the layout of a row's dataset."""
    return manifest.info.get("sources", {}).get(row["dataset"], "folder")


def mark_as_ours(out: Path, readme: str) -> None:
    """Writes README.txt, by whose first line the next export knows that it may replace what it finds.

    Raises:
        UsageError: the folder holds other files.
    """
    path = out / "README.txt"
    ours = path.is_file() and path.read_bytes().startswith(readme.splitlines()[0].encode())
    if not ours and out.exists() and any(out.iterdir()):
        raise UsageError(
            f"--out {out}: it holds other files; name a new folder or that of an earlier export."
        )
    for folder, _, _ in os.walk(out):  # what an export that was killed left
        remove_left(Path(folder))
    write_atomic(path, readme.encode())


def write_image(image: Path, target: Path, copy: bool) -> None:
    """Writes a photo as ``target``, a `.jpg` or `.png`: a link where every reader sees the file right.

    ``copy`` copies such a file instead.

    Raises:
        WorkFailed: the photo cannot be read any more.
    """
    kind = "PNG" if target.suffix == ".png" else "JPEG"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)  # it may be a link of an earlier export
    if not as_it_is(image, kind):
        write_atomic(target, encoded(image, kind))
    elif copy:
        write_atomic(target, read_file(image))
    else:
        os.symlink(image.resolve(), target)


def note(done: Exported, counts: dict[str, int], files: str) -> None:
    """Adds a sentence about each kind of photo that a loader misses; ``files`` is the format's name."""
    if not done.files:
        raise UsageError(
            f"--format {files}: no list can be written, because no kept photo has a known person; see "
            "`deca-data status`, and keep more with another recipe."
        )
    if counts["nobody"]:
        done.notes.append(f"{counts['nobody']} photos of nobody known are in no list")
    if counts["other"]:
        done.notes.append(
            f"{counts['other']} photos were left out: the official loader knows of BUPT-Balancedface only "
            f"{' and '.join(RACES)}, and of VoxCeleb2 only frames below person/video/clip"
        )
    if counts["unmasked"]:
        done.notes.append(
            f"{counts['unmasked']} photos have no mask and count as skin all over in the official loader; "
            "run `deca-data masks` and build the manifest again"
        )


def _write_files(
    call: Call, manifest: Manifest, place_of: Placing, row: dict[str, Any]
) -> tuple[dict[str, Any], str, str | None, bool]:
    """Writes image, landmarks and mask of a row; returns it with source, stem and whether it has a mask."""
    source = source_of(manifest, row)
    place = place_of(manifest, source, row)
    if place is None:
        return row, source, None, False
    image = manifest.image_path(row["dataset"], row["image"])
    write_image(image, place.images / f"{place.stem}{place.ending}", call.copy_images)
    save(place.landmarks / f"{place.stem}.npy", row["landmarks"])
    mask = place.masks / f"{place.stem}.npy"
    if row["mask_path"] is None:
        mask.unlink(missing_ok=True)  # of an earlier export
        return row, source, place.stem, False
    visible = read_mask(manifest.workspace_path(row["mask_path"])) > 127
    save(mask, visible.astype(np.float32))
    return row, source, place.stem, True
