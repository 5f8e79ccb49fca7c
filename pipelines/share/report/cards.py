"""The photos of the page: small JPEG crops, with landmarks and mask as line drawings over them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
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
from pipelines.share.report.windows import face_window

SIDE = 208
"""Pixels of a crop's sides; shown at about 130, and twice that when opened."""

QUALITY = 80
BUDGET = 8_000_000
"""Bytes of all pictures in the page; of further cards the page shows the photo's own file."""

THREADS = 4
BACKGROUND = (118, 118, 118)
_COLUMNS = ("sample_id", *KEYS, "identity", "image", "box", "landmarks", "mask_path", "duplicate_of")


def make_cards(
    streams: Sequence[ManifestStream], sheets: Sequence[Sheet], faces: Sequence[Pick], scores: Sequence[str]
) -> dict[Pick, dict[str, Any]]:
    """Makes a JSON-able card for each row that a sheet shows, and for each of ``faces``.

    A card has names, scores, picture and drawings. The picture is None if the file cannot be read, which
    `note` then says, or beyond `BUDGET`.
    """
    picks = list(dict.fromkeys([*_in_order(sheets), *faces]))
    rows = rows_at(streams, picks, (*_COLUMNS, *scores))
    # Where other faces are the reason, the whole photo must be shown.
    crowds = {
        pick
        for sheet in sheets
        for pick in sheet.photos
        if any(each.column == "faces" for each in sheet.bounds)
    }
    left = BUDGET
    cards = {}

    def make(pick: Pick) -> dict[str, Any]:
        return _card(streams[pick.file].head, rows[pick], pick in crowds, scores)

    with ThreadPoolExecutor(THREADS) as pool:
        for pick, card in zip(picks, pool.map(make, picks), strict=True):
            cards[pick] = card
            left -= len(card["jpeg"] or "")
            if left < 0 and card["jpeg"] is not None:
                card.update(jpeg=None, mask=[], landmarks=[])
    return cards


def _in_order(sheets: Sequence[Sheet]) -> list[Pick]:
    """Lists each row once: the first photos of every sheet, then the second, so that all share the budget."""
    rounds = zip_longest(*(picks for sheet in sheets for picks in (sheet.photos, sheet.compared)))
    return list(dict.fromkeys(pick for each in rounds for pick in each if pick is not None))


def _card(manifest: Manifest, row: dict[str, Any], whole: bool, scores: Sequence[str]) -> dict[str, Any]:
    names = ("sample_id", *KEYS, "identity", "duplicate_of")
    card: dict[str, Any] = {name: row[name] for name in names if row[name] is not None}
    values = {name: float(f"{row[name]:.4g}") for name in scores if row[name] is not None}
    card.update(scores=values, jpeg=None, landmarks=[], mask=[], note=None)
    try:
        image = decode_file(manifest.image_path(row["dataset"], row["image"])).image
    except (Unreadable, UsageError) as error:
        return {**card, "note": str(error)}
    points = None if row["landmarks"] is None else np.array(row["landmarks"], np.float32).reshape(68, 2)
    window = face_window(image.shape[1], image.shape[0], _corners(points, row["box"]), whole)
    card["jpeg"] = _jpeg(_cut(image, window, BACKGROUND))
    if points is not None:
        placed = (points + 0.5 - (window.left, window.top)) * (SIDE / window.side)
        card["landmarks"] = [round(float(value), 1) for value in placed.reshape(-1)]
    if row["mask_path"] is not None:
        card["mask"] = _outlines(manifest, row["mask_path"], image, window)
    return card


def _corners(points: np.ndarray | None, box: Sequence[float] | None) -> np.ndarray | None:
    """Returns (2, 2): the lowest and highest x and y of the landmarks, else of the box; None without both."""
    if points is None and box is None:
        return None
    corners = points if points is not None else np.array(box, np.float32).reshape(2, 2)
    return np.stack([corners.min(axis=0), corners.max(axis=0)])


def _cut(image: np.ndarray, window: Cut, fill: Any) -> np.ndarray:
    """Cuts the window, (SIDE, SIDE, ...) uint8; ``fill`` beyond the photo."""
    way = cv2.INTER_AREA if window.side > SIDE else cv2.INTER_CUBIC
    return cut_square(image, window, SIDE, interpolation=way, fill=fill, resize_first=True)


def _outlines(manifest: Manifest, mask_path: str, image: np.ndarray, window: Cut) -> list[list[int]]:
    """Returns the mask's borders as polygons, x and y in turn, in pixels of the crop."""
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
