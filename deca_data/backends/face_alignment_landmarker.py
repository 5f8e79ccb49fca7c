"""Landmarks with the face-alignment library's 2D-FAN-4 (Bulat and Tzimiropoulos, ICCV 2017)."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import face_alignment
import numpy as np
import torch
from face_alignment.api import models_urls

from deca_data.backends.precision import network_type
from deca_data.backends.protocols import LandmarkResult
from manifests.errors import UsageError
from manifests.images.crop import Cut, cut_square

_OFFICIAL = models_urls["2DFAN-4"].rsplit("/", 1)[-1]  # 2DFAN4-11f355bf06.pth.tar
_NAME = re.compile(r"2DFAN4-([0-9a-f]{6,64})\.pth\.tar")
_RAISED = 0.2  # MediaPipe's boxes end at the brows; FAN is used to boxes that reach the hairline
_REACH = 1.2  # of a tile around a face, in box sides from its centre; FAN's own crop reaches 1.03
_LARGEST = 400  # px; larger faces are reduced first, as FAN's input of 256 px shows two box sides


class FaceAlignmentLandmarker:
    """2D-FAN-4 through the library's own calls; iBUG-68 by training.

    The faces of a batch are laid side by side on one canvas, which goes to the library with the list of
    their boxes: so the network runs once over all of them, although the photos differ in size. The
    confidence is the mean height of the 68 heat maps' peaks, clipped to 0 to 1.

    Args:
        device: torch device.
        weights: `2DFAN4-<hash>.pth.tar` or the folder that holds it; None looks in torch's hub cache.
        download: whether the library may fetch a missing file.

    Raises:
        UsageError: the file is missing, or its content does not match the hash in its name.
    """

    name = "face-alignment"

    def __init__(self, device: str = "cpu", weights: Path | None = None, download: bool = False) -> None:
        self._device = device
        self._file = _find(weights, download)
        self._digest = _check(self._file) if self._file is not None else None

    def fingerprint(self) -> dict[str, str]:
        """The library's version and the beginning of the weights' SHA-256."""
        if self._digest is None:
            self._network  # noqa: B018 - fetches the file
        return {"face-alignment": version("face-alignment"), "fan": (self._digest or "")[:16]}

    def landmarks(
        self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray]
    ) -> list[LandmarkResult | None]:
        """Landmarks of the face in each box, in one batch."""
        if not images:
            return []
        tiles = [_Tile(image, np.asarray(box, np.float64)) for image, box in zip(images, boxes, strict=True)]
        canvas, lefts = _side_by_side([tile.pixels for tile in tiles])
        faces = [tile.box + (left, 0, left, 0) for tile, left in zip(tiles, lefts, strict=True)]
        self._network.max_batch_size = len(tiles)
        found = self._network.get_landmarks_from_image(
            canvas, detected_faces=faces, return_landmark_score=True
        )
        return [
            # the library adds the maps of the photo and its mirror image, so a mean is up to 2
            LandmarkResult(tile.to_image(points - (left, 0)), float(np.clip(np.mean(scores) / 2, 0, 1)))
            for tile, left, points, scores in zip(tiles, lefts, found[0], found[1], strict=True)
        ]

    @cached_property
    def _network(self) -> Any:
        kind = face_alignment.LandmarksType.TWO_D
        with nullcontext() if self._file is None else _as_cache(self._file):
            # The "folder" detector is the only one without weights; it is never asked, as boxes are given.
            made = face_alignment.FaceAlignment(
                kind,
                device=self._device,
                dtype=network_type(self._device),
                face_detector="folder",
                compile=False,
            )
        if self._file is None:
            self._digest = _check(_cache() / _OFFICIAL)
        return made


class _Tile:
    """The surroundings of one face, black outside of the photo; a very large face is reduced."""

    def __init__(self, image: np.ndarray, box: np.ndarray) -> None:
        x0, y0, x1, y1 = box
        y0 = y0 - _RAISED * (y1 - y0)
        side = max(x1 - x0, y1 - y0)
        self._factor = max(1, int(np.ceil(side / _LARGEST)))
        half = int(np.ceil(_REACH * side / self._factor)) * self._factor
        left, top = int((x0 + x1) / 2) - half, int((y0 + y1) / 2) - half
        self._corner = np.array([left, top])
        square, size = Cut(left, top, 2 * half), 2 * half // self._factor
        self.pixels = cut_square(image, square, size, interpolation=cv2.INTER_AREA)
        self.box = (np.array([x0, y0, x1, y1]) - np.tile(self._corner, 2)) / self._factor

    def to_image(self, points: np.ndarray) -> np.ndarray:
        """(68, 2) float32 pixels of the photo from pixels of the tile."""
        return ((points + 0.5) * self._factor - 0.5 + self._corner).astype(np.float32)


def _side_by_side(tiles: Sequence[np.ndarray]) -> tuple[np.ndarray, list[int]]:
    """One canvas with all tiles in a row, and the column at which each begins."""
    lefts = np.cumsum([0, *(tile.shape[1] for tile in tiles)]).tolist()
    canvas = np.zeros((max(tile.shape[0] for tile in tiles), lefts[-1], 3), np.uint8)
    for tile, left in zip(tiles, lefts, strict=False):
        canvas[: tile.shape[0], left : left + tile.shape[1]] = tile
    return canvas, lefts[:-1]


def _cache() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints"


def _find(weights: Path | None, download: bool) -> Path | None:
    """The weight file; None where it is to be downloaded."""
    place = _cache() if weights is None else weights
    if place.is_dir():
        named = [path for path in place.iterdir() if _NAME.fullmatch(path.name)]
        if named:
            return min(named, key=lambda path: (path.name != _OFFICIAL, path))
    elif place.is_file():
        return place
    if download and weights is None:
        return None
    raise UsageError(
        f"the weights of the landmark backend 'face-alignment', {_OFFICIAL}, are not at {place}: "
        "give the file or its folder with `--weights`, or let the library fetch it with `--download`."
    )


def _check(file: Path) -> str:
    """The SHA-256 of ``file``, which must begin as its name says."""
    named = _NAME.fullmatch(file.name)
    if named is None:
        raise UsageError(
            f"{file} is not named like 2DFAN4-<hash>.pth.tar: "
            f"give the file under the name that it came with, {_OFFICIAL}."
        )
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if not digest.startswith(named[1]):
        raise UsageError(
            f"{file} is damaged or not what its name says: its SHA-256 begins with "
            f"{digest[: len(named[1])]}; download it again."
        )
    return digest


@contextmanager
def _as_cache(file: Path) -> Iterator[None]:
    """Lets the library, which takes no path, find ``file`` as if it were in its cache."""
    kept = torch.hub.get_dir()
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Path(folder) / "checkpoints"
        checkpoints.mkdir()
        (checkpoints / _OFFICIAL).symlink_to(file.resolve())
        torch.hub.set_dir(folder)
        try:
            yield
        finally:
            torch.hub.set_dir(kept)
