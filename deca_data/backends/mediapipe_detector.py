"""Face detection with MediaPipe's bundled networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from deca_data.backends.mediapipe.fit import ON_BOX, fit, overlap, roi_of_box
from deca_data.backends.mediapipe.models import FaceModels, fingerprint
from deca_data.backends.mediapipe.outputs import RawDetection
from deca_data.backends.mediapipe.search import TRUSTED, Reduced, detect_reduced
from deca_data.backends.protocols import Detection

_SURE = (
    0.7  # the score from which the short-range network alone is believed; 99.8 % of frontal photos reach it
)
_LIKELY = (
    0.6  # the score that some look must reach; profiles do with a border, and no cup, ball or flower does
)
_SEEN = 0.5  # the score from which a look supports another, and from which a face beside the first one counts
_SAME = 0.4  # overlap from which two detections mean the same face
_PADDINGS = (0.0, 0.25, 0.5, 1.0)
_ALONE = 0.4  # a face of this part of the image's longer side leaves little room for others of its size
_LARGE = 1500  # pixels of the longer side from which quarter tiles are searched too


class MediapipeDetector:
    """The short-range network; where it is in doubt, the full-range one, borders, tiles, and the mesh.

    A detection of `_SURE` score stands as it is, which is the usual case and costs one pass. A weaker one
    must be seen again with a border around the image, or carry a mesh. So must every face beyond the first,
    because ears and collars make second detections. Where nothing is found, the image is searched in half
    and quarter tiles.
    """

    name = "mediapipe"

    def __init__(self, device: str = "cpu", weights: Path | None = None, download: bool = False) -> None:
        self._models = FaceModels()  # always the CPU and the bundled models: the arguments do not matter

    def fingerprint(self) -> dict[str, str]:
        """MediaPipe's version and its models' hashes."""
        return fingerprint("short", "full", "mesh")

    def detect(self, images: Sequence[np.ndarray]) -> list[list[Detection]]:
        """Faces of each image, the best-supported first."""
        return [self._detect(image) for image in images]

    def _detect(self, image: np.ndarray) -> list[Detection]:
        reduced = Reduced.of(image)
        seen = detect_reduced(self._models, reduced, "short")
        if seen and seen[0].score >= _SURE:
            first, rest = seen[0], seen[1:]
        else:
            first, rest = self._second_look(image, reduced, seen)
        if first is None:
            return []
        if float(np.max(first.box[2:] - first.box[:2])) < _ALONE * max(image.shape[:2]):
            rest = [*rest, *detect_reduced(self._models, reduced, "full")]
        kept = [first]
        for face in rest:
            apart = all(overlap(face.box, other.box) < _SAME for other in kept)
            if apart and face.score >= _SEEN and self._judged(image, face).value > 0:
                kept.append(face)
        return [Detection(face.box, face.score) for face in kept]

    def _second_look(
        self, image: np.ndarray, reduced: Reduced, seen: list[RawDetection]
    ) -> tuple[RawDetection | None, list[RawDetection]]:
        """The best-supported face, or None, and the other candidates."""
        again = detect_reduced(self._models, reduced, "short", 0.5)
        if seen and again and min(seen[0].score, again[0].score) >= _SEEN:
            better = max(seen[0], again[0], key=lambda face: face.score)
            if better.score >= _LIKELY and overlap(seen[0].box, again[0].box) >= _SAME:
                return better, seen[1:]
        candidates = _distinct(
            face
            for padding in _PADDINGS
            for kind in ("short", "full")
            for face in detect_reduced(self._models, reduced, kind, padding)[:3]
        )
        judged = self._best(image, candidates)
        if judged is None and seen and seen[0].score >= _LIKELY:
            return seen[0], []  # the landmark stage searches harder
        if judged is None:
            candidates = _distinct(self._tiles(image))
            judged = self._best(image, candidates)
        return judged, candidates

    def _best(self, image: np.ndarray, candidates: list[RawDetection]) -> RawDetection | None:
        judged = [self._judged(image, face) for face in candidates if face.score >= _LIKELY]
        best = max(judged, key=lambda one: one.value, default=None)
        return best.face if best is not None and best.value > 0 else None

    def _judged(self, image: np.ndarray, face: RawDetection) -> _Judged:
        """How well the mesh supports a detection, times its size: an ear passes for one, but is small."""
        found = fit(self._models, image, roi_of_box(face.box, face.roll))
        on_box = overlap(found.box, face.box)
        if found.confidence < TRUSTED or on_box < ON_BOX:
            return _Judged(0.0, face)
        return _Judged(found.confidence * on_box * float(np.max(face.box[2:] - face.box[:2])), face)

    def _tiles(self, image: np.ndarray) -> Iterator[RawDetection]:
        """What the full-range network sees in half-overlapping tiles, for small faces in large photos."""
        height, width = image.shape[:2]
        for parts in (2, 4) if max(height, width) >= _LARGE else (2,):
            for row in range(2 * parts - 1):
                for column in range(2 * parts - 1):
                    top, left = row * height // (2 * parts), column * width // (2 * parts)
                    tile = image[top : top + height // parts, left : left + width // parts]
                    for face in detect_reduced(self._models, Reduced.of(tile), "full")[:3]:
                        if face.score >= _LIKELY:
                            yield face._replace(box=face.box + (left, top, left, top))


class _Judged(NamedTuple):
    value: float
    face: RawDetection


def _distinct(faces: Iterator[RawDetection]) -> list[RawDetection]:
    kept: list[RawDetection] = []
    for face in sorted(faces, key=lambda one: (-one.score, *one.box)):
        if all(overlap(face.box, other.box) < 0.6 for other in kept):
            kept.append(face)
    return kept[:12]
