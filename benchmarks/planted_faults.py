"""Copies a folder of portraits and plants known faults, which `benchmarks/planted.py` then looks for.

The folder has one folder per person, with photos anywhere below. A photo gets at most one fault.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from deca_data.backends import load_backend
from deca_data.sources.walk import IMAGE_ENDINGS, walk
from manifests.images.decode import decode_file

SHARES = {
    "wrong identity": 0.05,
    "near duplicate": 0.05,
    "no face": 0.03,
    "unreadable": 0.03,
    "two faces": 0.03,
    "displaced landmarks": 0.02,
}

DISPLACED = 0.2
"""Landmarks count as displaced if one of them is off by at least this part of the face's size."""


@dataclass
class Tree:
    """The copy.

    Attributes:
        root: its folder.
        kinds: the kind of fault of each photo with a fault, by its path below ``root``.
        copied: the photos that have a near duplicate under another identity.
    """

    root: Path
    kinds: dict[str, str] = field(default_factory=dict)
    copied: set[str] = field(default_factory=set)


def plant(photos: Path, root: Path, seed: int) -> Tree:
    """Copies ``photos`` to ``root`` and plants every kind of fault in its share of the photos."""
    shutil.copytree(photos, root)
    return _Planter(root, np.random.default_rng(seed)).plant()


class _Planter:
    """Takes the photos in random order and plants each kind of fault in its share of them."""

    def __init__(self, root: Path, rng: np.random.Generator):
        self._tree, self._rng = Tree(root), rng
        self._photos = [found.path for found in walk(root, IMAGE_ENDINGS)]
        self._persons = sorted({path.split("/")[0] for path in self._photos})
        self._detector = load_backend("detector", "mediapipe")
        self._landmarker = load_backend("landmarker", "mediapipe")

    def plant(self) -> Tree:
        ways = {
            "wrong identity": self._wrong_identity,
            "near duplicate": self._near_duplicate,
            "no face": self._faceless,
            "unreadable": self._unreadable,
            "two faces": self._two_faces,
            "displaced landmarks": self._displaced,
        }
        left = [self._photos[place] for place in self._rng.permutation(len(self._photos))]
        for kind, share in SHARES.items():
            wanted = round(share * len(self._photos))
            while wanted:
                path = left.pop()
                planted = ways[kind](path)
                if planted is not None:  # some photos cannot get this fault
                    self._tree.kinds[planted] = kind
                    wanted -= 1
        return self._tree

    def _wrong_identity(self, path: str) -> str:
        """Moves the photo to another person's folder."""
        target = self._elsewhere(path)
        (self._tree.root / path).rename(self._tree.root / target)
        return target

    def _near_duplicate(self, path: str) -> str:
        """Puts a copy in another person's folder: cropped by up to 2 % a side, resized, lighter or darker."""
        image, rng = self._read(path), self._rng
        height, width = image.shape[:2]
        top, bottom, left, right = rng.uniform(0, 0.02, 4)
        cut = image[int(top * height) : height - int(bottom * height)]
        cut = cut[:, int(left * width) : width - int(right * width)]
        scale = rng.uniform(0.85, 1.15)
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        copy = cv2.resize(cut, None, fx=scale, fy=scale, interpolation=way) * rng.uniform(0.9, 1.1)
        target = self._elsewhere(path)
        self._write(target, np.clip(copy, 0, 255).astype(np.uint8), int(rng.integers(60, 91)))
        self._tree.copied.add(path)
        return target

    def _faceless(self, path: str) -> str | None:
        """Replaces the photo by its largest part that is well outside the face."""
        image = self._read(path)
        faces = self._detector.detect([image])[0]
        if not faces:
            return None
        x0, y0, x1, y1 = _grown(faces[0].box, 0.3).astype(int)
        parts = [image[: max(y0, 0)], image[y1:], image[:, : max(x0, 0)], image[:, x1:]]
        part = max(parts, key=lambda each: min(each.shape[:2]))
        if min(part.shape[:2]) < 40:
            return None
        scale = 200 / min(part.shape[:2])
        self._write(path, cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC))
        return path

    def _unreadable(self, path: str) -> str:
        """Damages the file: truncated, empty, zeros from some byte on, or not an image."""
        file = self._tree.root / path
        data, rng = file.read_bytes(), self._rng
        cut = int(len(data) * rng.uniform(0.2, 0.95))
        ways = (
            data[:cut],
            b"",
            data[:cut] + bytes(len(data) - cut),
            rng.bytes(len(data)),
            b"<!DOCTYPE html><title>404 Not Found</title>",
        )
        file.write_bytes(ways[int(rng.integers(len(ways)))])
        return path

    def _two_faces(self, path: str) -> str:
        """Puts another person's photo beside the photo, 0.75 to 1 times as high."""
        image, rng = self._read(path), self._rng
        others = [each for each in self._photos if each.split("/")[0] != path.split("/")[0]]
        while True:
            other = others[int(rng.integers(len(others)))]
            if other not in self._tree.kinds and (self._tree.root / other).exists():
                break
        beside = self._read(other)
        height = int(image.shape[0] * rng.uniform(0.75, 1.0))
        beside = cv2.resize(beside, (round(beside.shape[1] * height / beside.shape[0]), height))
        below = image.shape[0] - height
        beside = cv2.copyMakeBorder(beside, below, 0, 0, 0, cv2.BORDER_REPLICATE)
        pair = [image, beside] if rng.random() < 0.5 else [beside, image]
        self._write(path, np.hstack(pair))
        return path

    def _displaced(self, path: str) -> str | None:
        """Shifts the lower part of the photo sideways, as in a damaged file: no landmarks fit both parts.

        The true landmarks are those of the undamaged photo, shifted with their part. The fault counts as
        planted only if the landmarks found in the damaged photo are off by ``DISPLACED`` of the face's size.
        """
        image = self._read(path)
        truth = self._landmarks(image)
        if truth is None or "profile" in path:
            return None
        low, high = truth.min(0), truth.max(0)
        size = float((high - low).max())
        row = round(float(low[1] + self._rng.uniform(0.35, 0.6) * (high - low)[1]))
        slip = round(float(self._rng.choice([-1, 1]) * self._rng.uniform(0.3, 0.5) * size))
        torn = image.copy()
        torn[row:] = np.roll(torn[row:], slip, axis=1)
        truth[truth[:, 1] >= row, 0] += slip
        found = self._landmarks(torn)
        if found is None or np.linalg.norm(found - truth, axis=1).max() < DISPLACED * size:
            return None
        self._write(path, torn)
        return path

    def _landmarks(self, image: np.ndarray) -> np.ndarray | None:
        faces = self._detector.detect([image])[0]
        found = self._landmarker.landmarks([image], [faces[0].box])[0] if faces else None
        return None if found is None else found.points.astype(np.float64)

    def _elsewhere(self, path: str) -> str:
        """A new path in another person's folder, with the same sub-folders."""
        person, _, rest = path.partition("/")
        others = [each for each in self._persons if each != person]
        folder = others[int(self._rng.integers(len(others)))]
        return f"{folder}/{Path(rest).with_suffix('')}_{person}.jpg"

    def _read(self, path: str) -> np.ndarray:
        return decode_file(self._tree.root / path).image

    def _write(self, path: str, image: np.ndarray, quality: int = 92) -> None:
        file = self._tree.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])


def _grown(box: np.ndarray, share: float) -> np.ndarray:
    by = share * np.tile(box[2:] - box[:2], 2)
    return box + by * (-1, -1, 1, 1)
