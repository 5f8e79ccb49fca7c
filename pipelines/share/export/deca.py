"""The lists and folders that the loaders of the official DECA trainer read, and EMOCA's copies of them.

For each dataset `images/<stem>.jpg` (VoxCeleb2: `.png`), `landmarks/<stem>.npy` of (68, 2) float32 in
pixels of that image, and `masks/<stem>.npy` of the image's size, float32, 1 on the visible face (the loaders
keep the type, and their warp divides whole numbers by 255). In `lists/`, under the names that the loaders
read:

- VGGFace2: a 2-D unicode array of stems, five photos of one person and in the sixth column one of another
  person. Persons with fewer than five kept photos are in no list, unless fewer than two persons have five. An
  incomplete last group is filled with the person's first photos. A second list has only the faces larger than
  400 pixels, under the name that EMOCA's detail stage reads.
- BUPT-Balancedface: the same, with the stems of VGGFace2 and those under `African/` and `Asian/`; the loader
  distinguishes them by their first letter and has no other group.
- VoxCeleb2: a 1-D unicode array of person/video/clip/frame, at most 50 frames per clip, evenly spread.
"""

from __future__ import annotations

import itertools
import os
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from deca_data.video import choose_frames
from manifests.errors import UsageError
from manifests.files import atomic_path, inside, read_file, remove_left, write_atomic
from manifests.images.kept import read_mask
from manifests.reading import Manifest
from manifests.streaming import open_stream
from pipelines.share.export.images import as_it_is, encoded
from pipelines.share.export.rows import AHEAD, THREADS, Call, Exported
from pipelines.terminal.progress_bar import progress
from pipelines.threads import in_order

GROUP = 5
CLIP_FRAMES = 50
RACES = ("African", "Asian")
COLUMNS = ("dataset", "identity", "image", "mask_path", "split", "box")
LARGE = 400
"""Mean of width and height, in pixels, that the box of a face in the list of large faces exceeds."""

RING_LIST = "{dataset}_{split}_list_max_normal_100_ring_5_1_serial.npy"
LARGE_LIST = "{dataset}_bbx_size_bigger_than_400_{split}_list_max_normal_100_ring_5_1_serial.npy"
RACE_LIST = "vggface2_and_race_per_7000_african_asian_2d_{split}_list_max_normal_100_ring_5_1_serial.npy"
CLIP_LIST = "vox2_best_clips_info_max_normal_50_images_loadinglist.npy"
CLIP_LIST_VAL = "vox2_best_clips_info_max_normal_50_images_loadinglist_val.npy"

Groups = dict[tuple[str, str, str], dict[str, list[str]]]
"""Stems by (source, dataset, split), then by person (VoxCeleb2: by clip)."""

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
    _mark_as_ours(call.out)
    done = Exported()
    groups: Groups = defaultdict(lambda: defaultdict(list))
    large: Groups = defaultdict(lambda: defaultdict(list))
    counts: dict[str, int] = defaultdict(int)
    streams = [open_stream(path, call.roots) for path in call.manifests]
    rows = sum(stream.count_ok() for stream in streams)
    with progress("export", rows, "photos", quiet=call.quiet) as shown:
        for stream in streams:
            write = partial(_write_files, call, stream.head)
            for row, source, stem, masked in in_order(
                write, stream.usable_rows(COLUMNS), THREADS, AHEAD, shown
            ):
                if stem is None or row["identity"] is None:
                    counts["other" if stem is None else "nobody"] += 1
                    continue
                name = stem.rsplit("/", 1)[0] if source == "voxceleb2" else row["identity"]
                key = source, row["dataset"], row["split"] or "train"
                groups[key][name].append(stem)
                if _is_large(row["box"]):
                    large[key][name].append(stem)
                counts["unmasked"] += not masked
    _write_lists(call, groups, large, done)
    _note(done, counts)
    return done


def stem_of(source: str, image: str) -> str | None:
    """Returns the stem of an image in the official loader of the layout ``source``; None if it has none.

    Endings other than the loader's stay in the stem, so that `1.png` and `1.jpg` stay two photos.
    """
    ending = _ending(source)
    parts = PurePosixPath(image[: -len(ending)] if image.endswith(ending) else image).parts
    if source == "vggface2":
        return "/".join(parts[-2:])
    if source == "voxceleb2":
        return "/".join(parts[-4:]) if len(parts) >= 4 else None
    if source == "bupt":
        at = next((number for number, part in enumerate(parts) if part in RACES), None)
        return None if at is None else "/".join(parts[at:])
    return "/".join(parts)


def ring_list(people: dict[str, list[str]]) -> np.ndarray:
    """Groups of five and a photo of somebody else.

    Args:
        people: stems by person, at least one person. Those with fewer than five are left out; if only one
            person or nobody has five, all are in, and the photos of those who have fewer repeat.

    Returns:
        (groups, 6) unicode. The sixth column, which no loader reads, is of the next person in order of names,
        the first one following the last; a single person follows itself.
    """
    names = sorted(name for name, stems in people.items() if len(stems) >= GROUP)
    names = names if len(names) > 1 else sorted(people)
    rows = []
    for place, name in enumerate(names):
        stems, others = people[name], people[names[(place + 1) % len(names)]]
        for start in range(0, len(stems), GROUP):
            group = [*stems[start : start + GROUP], *itertools.islice(itertools.cycle(stems), GROUP)][:GROUP]
            rows.append([*group, others[(start // GROUP) % len(others)]])
    return np.array(rows, dtype=np.str_)


def clip_list(clips: dict[str, list[str]]) -> np.ndarray:
    """Returns (frames,) unicode person/video/clip/frame, at most 50 of each clip, evenly spread."""
    chosen = []
    for name in sorted(clips):
        frames = sorted(clips[name])
        chosen += [frames[place] for place in choose_frames(len(frames), CLIP_FRAMES)]
    return np.array(chosen, dtype=np.str_)


def _ending(source: str) -> str:
    return ".png" if source == "voxceleb2" else ".jpg"


def _mark_as_ours(out: Path) -> None:
    """Writes README.txt, by which the next export knows that it may replace what it finds."""
    readme = out / "README.txt"
    ours = readme.is_file() and readme.read_bytes().startswith(_README.encode()[:40])
    if not ours and out.exists() and any(out.iterdir()):
        raise UsageError(
            f"--out {out}: it holds other files; name a new folder or that of an earlier export."
        )
    for folder, _, _ in os.walk(out):  # what an export that was killed left
        remove_left(Path(folder))
    write_atomic(readme, _README.encode())


def _write_files(
    call: Call, manifest: Manifest, row: dict[str, Any]
) -> tuple[dict[str, Any], str, str | None, bool]:
    """Writes image, landmarks and mask of a row; returns it with source, stem and whether it has a mask."""
    source = manifest.info.get("sources", {}).get(row["dataset"], "folder")
    stem = stem_of(source, row["image"])
    if stem is None:
        return row, source, None, False
    folder, ending = inside(call.out, row["dataset"], manifest.path), _ending(source)
    image = manifest.image_path(row["dataset"], row["image"])
    target = folder / "images" / f"{stem}{ending}"
    kind = "PNG" if ending == ".png" else "JPEG"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)  # it may be a link of an earlier export
    if not as_it_is(image, kind):
        write_atomic(target, encoded(image, kind))
    elif call.copy_images:
        write_atomic(target, read_file(image))
    else:
        os.symlink(image.resolve(), target)
    _save(folder / "landmarks" / f"{stem}.npy", row["landmarks"])
    mask = folder / "masks" / f"{stem}.npy"
    if row["mask_path"] is None:
        mask.unlink(missing_ok=True)  # of an earlier export
        return row, source, stem, False
    visible = read_mask(manifest.workspace_path(row["mask_path"])) > 127
    _save(mask, visible.astype(np.float32))
    return row, source, stem, True


def _save(path: Path, array: np.ndarray) -> None:
    with atomic_path(path) as temporary:
        np.save(temporary, array, allow_pickle=False)


def _is_large(box: Sequence[float] | None) -> bool:
    return box is not None and (box[2] - box[0] + box[3] - box[1]) / 2 > LARGE


def _write_lists(call: Call, groups: Groups, large: Groups, done: Exported) -> None:
    vggface2 = {
        split: people
        for (source, _, split), people in reversed(sorted(groups.items()))
        if source == "vggface2"
    }
    for key, people in sorted(groups.items()):
        source, dataset, split = key
        folder = _list_folder(call, groups, source, dataset)
        if source == "voxceleb2":
            _write_list(folder / (CLIP_LIST if split == "train" else CLIP_LIST_VAL), clip_list(people), done)
            continue
        listed = dataset if source == "folder" else source
        name = RING_LIST.format(dataset=listed, split=split)
        if source == "bupt":
            people = {**vggface2.get(split, {}), **people}
            name = RACE_LIST.format(split=split)
        few = sum(len(stems) < GROUP for stems in people.values())
        if few:
            which = "in no list" if len(people) - few > 1 else "listed with repeated photos"
            done.notes.append(
                f"{dataset}, {split}: {few} of {len(people)} persons, who have fewer than {GROUP} photos, "
                f"are {which}"
            )
        _write_list(inside(folder, name, call.manifests[0]), ring_list(people), done)
        if source != "bupt" and large[key]:
            name = LARGE_LIST.format(dataset=listed, split=split)
            _write_list(inside(folder, name, call.manifests[0]), ring_list(large[key]), done)
    if not done.files:
        raise UsageError(
            "--format deca: no list can be written, because no kept photo has a known person; see "
            "`deca-data status`, and keep more with another recipe."
        )


def _list_folder(call: Call, groups: Groups, source: str, dataset: str) -> Path:
    """`lists`, or, where several datasets have one layout, a folder in it for each: a loader reads one."""
    alike = {other for layout, other, _ in groups if layout == source}
    lists = call.out / "lists"
    return inside(lists, dataset, call.manifests[0]) if len(alike) > 1 and source != "folder" else lists


def _write_list(path: Path, array: np.ndarray, done: Exported) -> None:
    _save(path, array)
    done.files[str(path)] = len(array)


def _note(done: Exported, counts: dict[str, int]) -> None:
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
