"""The photos of the page: small JPEG crops, with landmarks and mask as line drawings over them."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import cv2
import numpy as np

from manifests.errors import UsageError, WorkFailed
from manifests.images.crop import Cut, cut_square
from manifests.images.decode import Unreadable, decode_file
from manifests.images.kept import read_mask
from manifests.reading import Manifest
from manifests.streaming import ManifestStream
from pipelines.share.report.counts import KEYS
from pipelines.share.report.sampling import Pick, Sheet, rows_at

SIDE = 208
"""Pixels of a crop's sides; shown at about 130, and twice that when opened."""

QUALITY = 80
BUDGET = 6_500_000
"""Bytes of all pictures as the page holds them; once they are used up, cards have no picture."""

AROUND = 1.9
"""Side of the crop over the longer side of the landmarks' (or face's) box."""

THREADS = 4
BACKGROUND = (118, 118, 118)
_COLUMNS = ("sample_id", *KEYS, "identity", "image", "box", "landmarks", "mask_path", "duplicate_of")


def make_cards(
    streams: Sequence[ManifestStream], sheets: Sequence[Sheet], scores: Sequence[str]
) -> dict[Pick, dict[str, Any]]:
    """A card for each row that a sheet shows: its names, scores, picture and drawings, JSON-able.

    A picture is None where the file cannot be read; `note` then says why.
    """
    picks = list(_in_order(sheets))
    rows = rows_at(streams, picks, (*_COLUMNS, *scores))
    show = partial(_card, scores=scores)
    crowds = {pick for sheet in sheets if _is_crowd(sheet) for pick in sheet.photos}
    left = BUDGET
    cards = {}
    with ThreadPoolExecutor(THREADS) as pool:
        jobs = [pool.submit(show, streams[pick.file].head, rows[pick], pick in crowds) for pick in picks]
        for pick, job in zip(picks, jobs, strict=True):
            cards[pick] = card = job.result()
            left -= len(card["jpeg"] or "")
            if left < 0 and card["jpeg"] is not None:
                card.update(jpeg=None, mask=[], landmarks=[], note="left out to keep this page small")
    return cards


def _in_order(sheets: Sequence[Sheet]) -> Iterable[Pick]:
    """Each row once: the first photos of every sheet, then the second ones, so that all share the budget."""
    longest = max((max(len(sheet.photos), len(sheet.compared)) for sheet in sheets), default=0)
    ordered = (
        pick
        for at in range(longest)
        for sheet in sheets
        for pick in (*sheet.photos[at : at + 1], *sheet.compared[at : at + 1])
    )
    return dict.fromkeys(ordered)


def _is_crowd(sheet: Sheet) -> bool:
    """True where other faces are the reason, so that the whole photo must be shown."""
    return any(bound.column == "faces" for bound in sheet.bounds)


def _card(manifest: Manifest, row: dict[str, Any], whole: bool, scores: Sequence[str]) -> dict[str, Any]:
    names = ("sample_id", *KEYS, "identity", "duplicate_of")
    values = {name: float(f"{row[name]:.4g}") for name in scores if row[name] is not None}
    card: dict[str, Any] = {name: row[name] for name in names if row[name] is not None}
    card.update(scores=values, jpeg=None, landmarks=[], mask=[], note=None)
    try:
        image = decode_file(manifest.image_path(row["dataset"], row["image"])).image
    except (Unreadable, UsageError) as error:
        return {**card, "note": str(error)}
    points = None if row["landmarks"] is None else np.array(row["landmarks"], np.float32).reshape(68, 2)
    window = _window(image, points, row["box"], whole)
    card["jpeg"] = _jpeg(_cut(image, window, BACKGROUND))
    if points is not None:
        placed = (points + 0.5 - (window.left, window.top)) * (SIDE / window.side)
        card["landmarks"] = [round(float(value), 1) for value in placed.reshape(-1)]
    if row["mask_path"] is not None:
        card["mask"] = _outlines(manifest, row["mask_path"], image, window)
    return card


def _window(image: np.ndarray, points: np.ndarray | None, box: Sequence[float] | None, whole: bool) -> Cut:
    """The square around the landmarks, else around the box, else around the whole photo.

    It is moved and made smaller to hold as little beside the photo as it can.
    """
    height, width = image.shape[:2]
    most = max(height, width)
    if whole or (points is None and box is None):
        return Cut((width - most) // 2, (height - most) // 2, most)
    corners = points if points is not None else np.array(box, np.float32).reshape(2, 2)
    low, high = corners.min(axis=0), corners.max(axis=0)
    face = float((high - low).max())
    side = round(min(max(16.0, AROUND * face), max(1.15 * face, min(height, width)), 2.0 * most))
    start = [
        round(float(np.clip(centre - side / 2, min(0, size - side), max(0, size - side))))
        for centre, size in zip((low + high) / 2, (width, height), strict=True)
    ]
    return Cut(start[0], start[1], side)


def _cut(image: np.ndarray, window: Cut, fill: Any) -> np.ndarray:
    """The window, (SIDE, SIDE, ...) uint8; ``fill`` where it reaches beyond the photo."""
    way = cv2.INTER_AREA if window.side > SIDE else cv2.INTER_CUBIC
    return cut_square(image, window, SIDE, interpolation=way, fill=fill, resize_first=True)


def _outlines(manifest: Manifest, mask_path: str, image: np.ndarray, window: Cut) -> list[list[int]]:
    """The mask's borders as polygons, x and y in turn, in pixels of the crop."""
    try:
        mask = read_mask(manifest.workspace_path(mask_path), (image.shape[1], image.shape[0]))
    except (UsageError, WorkFailed):
        return []
    inside = (_cut(mask, window, 0) > 127).astype(np.uint8)
    borders, _ = cv2.findContours(inside, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    large = [cv2.approxPolyDP(border, 0.8, True) for border in borders if cv2.contourArea(border) > 20]
    return [border.reshape(-1).tolist() for border in large]


def _jpeg(image: np.ndarray) -> str:
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return base64.b64encode(data.tobytes()).decode()
