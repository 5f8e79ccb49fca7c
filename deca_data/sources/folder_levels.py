"""Which folders of a dataset stand above its persons: wrapping folders, splits, and ranges of numbers.

Datasets are unpacked into folders of their own name (`lfw/lfw/Aaron_Eckhart/`), cut into splits
(`train/`, `val/`) and cut into folders of a thousand files each (FFHQ: `00000/`, `0-1000/`). None of these
is a person.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path

from deca_data.sources.walk import IMAGE_ENDINGS, VIDEO_ENDINGS

SPLITS = frozenset(
    {
        *("train", "training", "train_set", "val", "valid", "validation", "val_set"),
        *("test", "testing", "test_set", "dev", "eval"),
    }
)
"""Folder names of splits, in lower case."""

CONTAINERS = SPLITS | {
    *("image", "images", "img", "imgs", "photo", "photos", "picture", "pictures", "pics", "jpg", "jpeg"),
    *("png", "face", "faces", "crop", "crops", "cropped", "aligned", "dataset", "data", "raw"),
    *("img_align_celeba", "celeba-hq", "images1024x1024", "thumbnails128x128"),
}
"""Folder names, in lower case, that say what is inside and not who."""

CLASSES = frozenset(
    {
        *("neutral", "happy", "happiness", "sad", "sadness", "surprise", "surprised", "fear", "fearful"),
        *("disgust", "disgusted", "anger", "angry", "contempt", "contemptuous"),
        *("male", "female", "man", "woman", "men", "women", "real", "fake"),
    }
)
"""Names of classes that datasets are sorted by, in lower case."""

MEDIA = IMAGE_ENDINGS | VIDEO_ENDINGS

DEEPEST = 8
"""Levels of folders that are looked at."""

LOOKED_AT = 2000
"""Entries in and below a folder that are looked at for a photo."""

LOOKED_INTO = 100
"""Sub-folders up to which those without a photo are left out; among more of them, a few do not matter."""

_RANGE = re.compile(r"(\d+)-(\d+)")
_STEP = 1000  # FFHQ's files in a folder


def folders_above_persons(root: Path) -> frozenset[str]:
    """The folders below ``root``, as relative POSIX paths, that are no persons but stand above them.

    They are, from the root down: a single folder that holds only folders, or whose name is in `CONTAINERS`;
    all the folders of a level that are named so or as in `CLASSES`, or two of which are splits; and folders
    named by ranges of numbers. Where a photo lies directly in one of these, its person is unknown.
    """
    return frozenset(_above(root.resolve(), "", DEEPEST))


def last_person(folders: Sequence[str]) -> str | None:
    """The last of the folders of a path whose name may be a person's; None if there is none."""
    return next((name for name in reversed(folders) if name.lower() not in CONTAINERS), None)


def _above(folder: Path, prefix: str, levels: int) -> Iterator[str]:
    names, has_media = _contents(folder)
    if not levels or not _stand_above(folder, names, has_media):
        return
    for name in names:
        yield prefix + name
        yield from _above(folder / name, f"{prefix}{name}/", levels - 1)


def _stand_above(folder: Path, names: list[str], has_media: bool) -> bool:
    """Whether the sub-folders ``names`` of ``folder``, all of them, are no persons."""
    plain = [name.lower() for name in names]
    if not names:
        return False
    if any(set(plain) <= known for known in (CONTAINERS, CLASSES)) or len(SPLITS.intersection(plain)) >= 2:
        return True
    if len(names) == 1 and not has_media:
        inner, holds_media = _contents(folder / names[0])
        if inner and not holds_media:
            return True
    return _are_ranges(names) or _are_thousands(folder, names)


def _are_ranges(names: list[str]) -> bool:
    """Whether the names are ranges like 0-1000 that do not overlap."""
    matches = [_RANGE.fullmatch(name) for name in names]
    ranges = sorted((int(match[1]), int(match[2])) for match in matches if match)
    if len(ranges) < len(names) or any(last - first < 9 for first, last in ranges):
        return False
    return all(left[1] <= right[0] for left, right in pairwise(ranges))


def _are_thousands(folder: Path, names: list[str]) -> bool:
    """Whether each folder's name is the number of its first photo, as in FFHQ, or begins their numbers."""
    if not all(name.isdecimal() for name in names):
        return False
    for name in names[:4]:
        if (folder / name).is_symlink():
            return False
        with os.scandir(folder / name) as scan:
            stems = [os.path.splitext(entry.name)[0] for entry in islice(scan, LOOKED_AT) if _is_media(entry)]
        if not stems or not all(_is_numbered(stem, name) for stem in stems):
            return False
    return True


def _is_numbered(stem: str, folder: str) -> bool:
    """FFHQ: 01000/01999.png; img2dataset: 00001/000010123.jpg."""
    if not stem.isdecimal():
        return False
    if len(folder) == 5 and len(stem) == 9:
        return stem.startswith(folder)
    return int(folder) % _STEP == 0 and int(stem) // _STEP * _STEP == int(folder)


def _contents(folder: Path) -> tuple[list[str], bool]:
    """The sub-folders that hold photos or videos at some depth, sorted, and whether the folder itself does.

    A linked folder may lead anywhere, so it is not looked into, and counts as one with photos.
    """
    folders, files, has_media = [], 0, False
    if folder.is_symlink():
        return [], True
    try:
        with os.scandir(folder) as scan:
            for entry in scan:
                if entry.name[0] in ".~":
                    continue
                if _is_folder(entry):
                    folders.append(entry.name)
                elif not has_media and files < LOOKED_AT:
                    files, has_media = files + 1, _is_media(entry)
    except OSError:
        return [], False
    if len(folders) <= LOOKED_INTO:
        folders = [name for name in folders if _holds_media(folder / name)]
    return sorted(folders), has_media


def _holds_media(folder: Path) -> bool:
    """Whether one of the first entries in and below the folder is a photo or a video."""
    waiting, looked_at = [folder], 0
    while waiting and looked_at < LOOKED_AT:
        if waiting[-1].is_symlink():
            return True
        try:
            with os.scandir(waiting.pop()) as scan:
                for entry in islice(scan, LOOKED_AT):
                    looked_at += 1
                    if _is_media(entry):
                        return True
                    if entry.name[0] not in ".~" and _is_folder(entry):
                        waiting.append(Path(entry.path))
        except OSError:
            continue
    return False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_media(entry: os.DirEntry[str]) -> bool:
    return entry.name[0] not in ".~" and os.path.splitext(entry.name)[1].lower() in MEDIA
