"""The lists and folders that the loaders of the official DECA trainer read.

For each dataset `images/<stem>.jpg` (VoxCeleb2: `.png`), `landmarks/<stem>.npy` and `masks/<stem>.npy` (see
`official`), and in `lists/` the lists of `lists`, under the names that the loaders read.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from manifests.files import inside
from manifests.reading import Manifest
from pipelines.share.export.lists import (
    CLIP_LIST,
    CLIP_LIST_VAL,
    LARGE_LIST,
    RACE_LIST,
    RING_LIST,
    Groups,
    clip_list,
    ending_of,
    few_photos,
    ring_list,
    stem_of,
    write_list,
)
from pipelines.share.export.official import Place, Written, mark_as_ours, note, opened, write_photos
from pipelines.share.export.rows import Call, Exported

_README = """Written by `deca-data export --format deca`.

In the loader of each dataset, set:
  imagefolder = <this folder>/<dataset>/images
  kptfolder   = <this folder>/<dataset>/landmarks
  segfolder   = <this folder>/<dataset>/masks
  datafile    = <this folder>/lists/<list>      (VoxCeleb2: cleanlist_path)

The official loader takes a photo without a mask file as skin all over, and skips the first frame of each
VoxCeleb2 clip.
"""


def export_deca(call: Call) -> Exported:
    """Writes folders and lists.

    Raises:
        UsageError: a manifest cannot be used or names a path outside ``out``, ``out`` holds other files, or
            no person is known.
        WorkFailed: a kept photo cannot be read any more.
    """
    done = Exported()
    with opened(call) as (streams, shown):
        mark_as_ours(call.out, _README)
        written = write_photos(call, streams, shown, partial(_place, call.out))
    _write_lists(call, written, done)
    note(done, written.counts, "deca")
    done.notes.append(f"README.txt in {call.out} says which attributes of the official loaders to set")
    return done


def _place(out: Path, manifest: Manifest, source: str, row: dict[str, Any]) -> Place | None:
    stem = stem_of(source, row["image"])
    if stem is None:
        return None
    folder = inside(out, row["dataset"], manifest.path)
    return Place(folder / "images", folder / "landmarks", folder / "masks", ending_of(source), stem)


def _write_lists(call: Call, written: Written, done: Exported) -> None:
    groups, large = written.groups, written.large
    vggface2 = {
        split: people
        for (source, _, split), people in reversed(sorted(groups.items()))
        if source == "vggface2"
    }
    for key, people in sorted(groups.items()):
        source, dataset, split = key
        folder = _list_folder(call, groups, source, dataset)
        if source == "voxceleb2":
            write_list(folder / (CLIP_LIST if split == "train" else CLIP_LIST_VAL), clip_list(people), done)
            continue
        listed = dataset if source == "folder" else source
        name = RING_LIST.format(dataset=listed, split=split)
        if source == "bupt":
            people = {**vggface2.get(split, {}), **people}
            name = RACE_LIST.format(split=split)
        done.notes += few_photos(f"{dataset}, {split}", people)
        write_list(inside(folder, name, call.manifests[0]), ring_list(people), done)
        if source != "bupt" and large[key]:
            name = LARGE_LIST.format(dataset=listed, split=split)
            write_list(inside(folder, name, call.manifests[0]), ring_list(large[key]), done)


def _list_folder(call: Call, groups: Groups, source: str, dataset: str) -> Path:
    """`lists`, or, where several datasets have one layout, a folder in it for each: a loader reads one."""
    alike = {other for layout, other, _ in groups if layout == source}
    lists = call.out / "lists"
    return inside(lists, dataset, call.manifests[0]) if len(alike) > 1 and source != "folder" else lists
