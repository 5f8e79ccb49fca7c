"""Dataset layouts on disk, one file each, and the function that guesses the layout of a folder."""

from __future__ import annotations

from pathlib import Path

from deca_data.sources import voxceleb2
from deca_data.sources.affectnet import AFFECTNET
from deca_data.sources.bupt import BUPT
from deca_data.sources.folder import FOLDER
from deca_data.sources.source import Source
from deca_data.sources.vggface2 import VGGFACE2
from deca_data.sources.videos import VIDEOS
from deca_data.sources.voxceleb1 import VOXCELEB1
from deca_data.sources.walk import IMAGE_ENDINGS, VIDEO_ENDINGS, walk
from manifests.errors import UsageError

SOURCES = {
    source.name: source
    for source in (BUPT, VGGFACE2, voxceleb2.VIDEOS, voxceleb2.FRAMES, VOXCELEB1, AFFECTNET, FOLDER, VIDEOS)
}
"""Every known layout by its name, in the order in which `guess_source` tries them."""


def get_source(name: str) -> Source:
    """The source called ``name``.

    Raises:
        UsageError: there is no source of that name.
    """
    if name not in SOURCES:
        raise UsageError(f"there is no dataset layout {name!r}: choose one of {', '.join(SOURCES)}.")
    return SOURCES[name]


def guess_source(root: Path, *, follow_links: bool = False) -> tuple[Source, str]:
    """The layout that ``root`` seems to have, and the reason in a few words.

    ``follow_links`` says whether photos and videos that links lead to outside ``root`` count.

    Raises:
        UsageError: ``root`` is missing, is a file, or holds neither photos nor videos.
    """
    if not root.exists():
        raise UsageError(f"there is no folder {root}: give the folder that holds the dataset.")
    if not root.is_dir():
        raise UsageError(f"{root} is a file: give the folder that holds the dataset.")
    for source in SOURCES.values():
        why = source.guess(root)
        if why is not None:
            return source, why
    if follow_links:
        for source, endings in ((FOLDER, IMAGE_ENDINGS), (VIDEOS, VIDEO_ENDINGS)):
            if any(True for _ in walk(root, endings, follow_links=True)):
                return source, "linked files"
    endings = ", ".join(sorted(IMAGE_ENDINGS | VIDEO_ENDINGS))
    raise UsageError(
        f"{root} holds no photo or video (files ending in {endings}): give the folder that holds the "
        "dataset, or say --follow-links if it holds links to them."
    )
