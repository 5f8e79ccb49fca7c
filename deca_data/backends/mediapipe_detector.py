"""Face detection with MediaPipe's bundled networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from deca_data.backends.mediapipe.detections import Reduced, detect_reduced
from deca_data.backends.mediapipe.fit import ON_BOX, fit, roi_of_box
from deca_data.backends.mediapipe.models import face_networks
from deca_data.backends.mediapipe.outputs import Networks, RawDetection
from deca_data.backends.mediapipe.search import TRUSTED
from deca_data.backends.protocols import Detection
from deca_data.boxes import longer_side, overlap

_SURE = 0.7  # score from which one detection is accepted without a check; 99.8 % of frontal photos reach it
_LIKELY = 0.6  # score that some pass must reach: profiles do with a border; cups, balls and flowers do not
_SEEN = 0.5  # score from which a detection confirms another, and from which a further face counts
_SAME = 0.4  # intersection over union from which two detections show the same face
_PADDINGS = (0.0, 0.25, 0.5, 1.0)  # width of the border, in parts of the image's longer side
_ALONE = 0.4  # from this part of the image's longer side, a face leaves little room for others of its size
_LARGE = 1500  # pixels of the image's longer side from which quarter tiles are searched too


class MediapipeDetector:
    """Uses the short-range network; if it is unsure, also the full-range one, borders, tiles and the mesh.

    A detection with a score of `_SURE` or more is accepted. This is the usual case and costs one pass. A
    weaker detection must be found again with a border around the image, or the mesh must fit it. The mesh
    must also fit every face beyond the first, because ears and collars give second detections. Where nothing
    is found, the image is searched in half and quarter tiles.

    Args:
        device: "cpu" runs MediaPipe's graphs; on another device the same networks run in torch, in batches.
        weights: not used; the networks are MediaPipe's own.
        download: not used.
        networks: in place of those for ``device``.
    """

    name = "mediapipe"

    def __init__(
        self,
        device: str = "cpu",
        weights: Path | None = None,
        download: bool = False,
        networks: Networks | None = None,
    ) -> None:
        self._models = face_networks(device) if networks is None else networks

    def fingerprint(self) -> dict[str, str]:
        """MediaPipe's version and its models' hashes."""
        return self._models.fingerprint("short", "full", "mesh")

    def detect(self, images: Sequence[np.ndarray]) -> list[list[Detection]]:
        """Faces of each image, the most certain first."""
        return self._models.each(self._detect, images)

    def _detect(self, image: np.ndarray) -> list[Detection]:
        reduced = Reduced.of(image)
        seen = detect_reduced(self._models, reduced, "short")
        if seen and seen[0].score >= _SURE:
            first, rest = seen[0], seen[1:]
        else:
            first, rest = self._second_look(image, reduced, seen)
        if first is None:
            return []
        if longer_side(first.box) < _ALONE * max(image.shape[:2]):
            rest = [*rest, *detect_reduced(self._models, reduced, "full")]
        kept = [first]
        for face in rest:
            apart = all(overlap(face.box, other.box) < _SAME for other in kept)
            if apart and face.score >= _SEEN and self._fit_value(image, face) > 0:
                kept.append(face)
        return [Detection(face.box, face.score) for face in kept]

    def _second_look(
        self, image: np.ndarray, reduced: Reduced, seen: list[RawDetection]
    ) -> tuple[RawDetection | None, list[RawDetection]]:
        """The most certain face, or None, and the other candidates."""
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
            return seen[0], []  # the landmark stage searches further
        if judged is None:
            candidates = _distinct(self._tiles(image))
            judged = self._best(image, candidates)
        return judged, candidates

    def _best(self, image: np.ndarray, candidates: list[RawDetection]) -> RawDetection | None:
        likely = [face for face in candidates if face.score >= _LIKELY]
        values = [self._fit_value(image, face) for face in likely]
        return likely[int(np.argmax(values))] if max(values, default=0.0) > 0 else None

    def _fit_value(self, image: np.ndarray, face: RawDetection) -> float:
        """How well the mesh fits a detection, times its size: it may fit an ear too, but an ear is small."""
        found = fit(self._models, image, roi_of_box(face.box, face.roll))
        on_box = overlap(found.box, face.box)
        if found.confidence < TRUSTED or on_box < ON_BOX:
            return 0.0
        return found.confidence * on_box * longer_side(face.box)

    def _tiles(self, image: np.ndarray) -> Iterator[RawDetection]:
        """Detections of the full-range network in tiles that overlap by half: small faces in large photos."""
        height, width = image.shape[:2]
        for parts in (2, 4) if max(height, width) >= _LARGE else (2,):
            for row in range(2 * parts - 1):
                for column in range(2 * parts - 1):
                    top, left = row * height // (2 * parts), column * width // (2 * parts)
                    tile = image[top : top + height // parts, left : left + width // parts]
                    for face in detect_reduced(self._models, Reduced.of(tile), "full")[:3]:
                        if face.score >= _LIKELY:
                            moved = face.points + (left, top)
                            yield face._replace(box=face.box + (left, top, left, top), points=moved)


def _distinct(faces: Iterator[RawDetection]) -> list[RawDetection]:
    kept: list[RawDetection] = []
    for face in sorted(faces, key=lambda one: (-one.score, *one.box)):
        if all(overlap(face.box, other.box) < 0.6 for other in kept):
            kept.append(face)
    return kept[:12]
