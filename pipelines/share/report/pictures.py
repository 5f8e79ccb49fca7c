"""A folder beside the page with a small picture of every listed photo."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import cv2
import numpy as np

from manifests.errors import UsageError
from manifests.files import writable_folder, write_atomic
from manifests.images.crop import Cut, cut_square
from manifests.images.decode import Unreadable, decode_file
from manifests.streaming import ManifestStream
from pipelines.share.report.listing import Listing
from pipelines.terminal.progress_bar import Progress
from pipelines.threads import in_order

SIDE = 160
"""Pixels of a picture's sides."""

QUALITY, THREADS = 75, 4
IN_FOLDER = 1000
"""Pictures of one folder."""

_OURS = re.compile(r"[0-9a-f]{16}")
_BACKGROUND = (118, 118, 118)


def pictures_folder(page: Path) -> Path:
    """Returns the folder beside ``page``: of report.html it is report-photos."""
    return page.with_name(f"{page.stem}-photos")


def write_pictures(
    streams: list[ManifestStream], listing: Listing, datasets: list[str], page: Path, progress: Progress
) -> tuple[str, int]:
    """Writes the pictures that are not there yet.

    Args:
        streams: the manifests.
        listing: the photos; a picture is named by its place in the list.
        datasets: the dataset of each group.
        page: the report; the folder lies beside it.
        progress: advanced by one for each photo.

    Returns:
        the folder of this list, relative to the page, and the number of photos that could not be read.
    """
    folder = writable_folder(pictures_folder(page), str(pictures_folder(page))) / listing.digest()

    def make(place: int) -> bool:
        target = folder / f"{place // IN_FOLDER:04d}" / f"{place}.jpg"
        if target.exists():
            return True
        dataset = datasets[listing.groups[place]]
        image = listing.images.get(place, listing.ids[place][len(dataset) + 1 :])
        try:
            photo = decode_file(streams[listing.picks[place].file].head.image_path(dataset, image)).image
        except (Unreadable, UsageError):
            return False
        height, width = photo.shape[:2]
        window = listing.windows[place].tolist()
        # The photo may have changed since; then its whole is shown.
        cut = Cut(*window[2:]) if tuple(window[:2]) == (width, height) else Cut(0, 0, max(width, height))
        write_atomic(target, _jpeg(photo, cut), synced=False)
        return True

    missing = 0
    for made in in_order(make, range(len(listing.ids)), THREADS, 4 * THREADS):
        missing += not made
        progress.advance(1)
    return f"{folder.parent.name}/{folder.name}", missing


def remove_older(page: Path, used: str) -> None:
    """Removes pictures of other lists that an earlier call wrote beside ``page``."""
    for folder in pictures_folder(page).iterdir():
        if _OURS.fullmatch(folder.name) and folder.name != Path(used).name and not folder.is_symlink():
            shutil.rmtree(folder)


def _jpeg(photo: np.ndarray, cut: Cut) -> bytes:
    way = cv2.INTER_AREA if cut.side > SIDE else cv2.INTER_CUBIC
    small = cut_square(photo, cut, SIDE, interpolation=way, fill=_BACKGROUND, resize_first=True)
    _, data = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return data.tobytes()
