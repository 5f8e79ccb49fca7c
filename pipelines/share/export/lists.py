"""The lists of the official DECA trainer: which photos are of one person, and which frames of one clip.

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
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from deca_data.video import choose_frames
from manifests.files import atomic_path
from pipelines.share.export.rows import Exported

GROUP = 5
CLIP_FRAMES = 50
RACES = ("African", "Asian")
LARGE = 400
"""Mean of width and height, in pixels, that the box of a face in the list of large faces exceeds."""

RING_LIST = "{dataset}_{split}_list_max_normal_100_ring_5_1_serial.npy"
LARGE_LIST = "{dataset}_bbx_size_bigger_than_400_{split}_list_max_normal_100_ring_5_1_serial.npy"
RACE_LIST = "vggface2_and_race_per_7000_african_asian_2d_{split}_list_max_normal_100_ring_5_1_serial.npy"
CLIP_LIST = "vox2_best_clips_info_max_normal_50_images_loadinglist.npy"
CLIP_LIST_VAL = "vox2_best_clips_info_max_normal_50_images_loadinglist_val.npy"

Groups = dict[tuple[str, str, str], dict[str, list[str]]]
"""Stems by (source, dataset, split), then by person (VoxCeleb2: by clip)."""


def ending_of(source: str) -> str:
    """Returns the ending of photos in the official loader of the layout ``source``."""
    return ".png" if source == "voxceleb2" else ".jpg"


def stem_of(source: str, image: str) -> str | None:
    """Returns the stem of an image in the official loader of the layout ``source``; None if it has none.

    Endings other than the loader's stay in the stem, so that `1.png` and `1.jpg` stay two photos.
    """
    ending = ending_of(source)
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


def is_large(box: Sequence[float] | None) -> bool:
    """Returns whether a face with this box (xyxy, pixels) is in the list of large faces."""
    return box is not None and (box[2] - box[0] + box[3] - box[1]) / 2 > LARGE


def few_photos(label: str, people: dict[str, list[str]]) -> list[str]:
    """Returns a sentence about the persons with fewer than five photos, if there are any."""
    few = sum(len(stems) < GROUP for stems in people.values())
    if not few:
        return []
    which = "in no list" if len(people) - few > 1 else "listed with repeated photos"
    return [f"{label}: {few} of {len(people)} persons, who have fewer than {GROUP} photos, are {which}"]


def write_list(path: Path, array: np.ndarray, done: Exported) -> None:
    """Writes a list and notes its number of entries."""
    save(path, array)
    done.files[str(path)] = len(array)


def save(path: Path, array: np.ndarray) -> None:
    """Writes an array as a `.npy` file without pickles."""
    with atomic_path(path) as temporary:
        np.save(temporary, array, allow_pickle=False)
