"""The second part of a fit: the codes from the landmarks are moved, so that the outline fits the mask's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from deca_model.heads.head import Head
from deca_model.use.fitting.face_codes import FaceCodes
from deca_model.use.fitting.face_surface import FaceSurface
from deca_model.use.fitting.landmark_fit import LandmarkFit
from deca_model.use.fitting.outline import OutlineTerm, outline_term, signed_distance
from deca_model.use.fitting.targets import SMALLEST_UNIT, Target
from manifests.landmarks import interocular

TURNED = 25.0
"""Yaw in degrees from which the outline is used. Heads from the front do not gain by it."""
ROUNDS, STEPS = 3, 2
"""How often the outline's points are chosen anew, and the steps of each round."""


@dataclass(frozen=True)
class Silhouette:
    """The face in one photo's crop."""

    skin: np.ndarray  # (S, S) bool: visible skin of the face
    covered: np.ndarray  # (S, S) bool: inside the photo

    @cached_property
    def distance(self) -> np.ndarray | None:
        """(S, S) from ``signed_distance``; only turned heads ask for it."""
        return signed_distance(self.skin)


class OutlineFit:
    """Refines codes from landmarks with the masks' outlines; landmarks and priors stay in the energy."""

    def __init__(self, head: Head, landmarks: LandmarkFit) -> None:
        self._head, self._landmarks = head, landmarks
        self._surface = FaceSurface(head)

    def refine(
        self,
        targets: Sequence[Target],
        silhouettes: Sequence[Silhouette],
        codes: list[FaceCodes],
        *,
        free_shape: bool,
    ) -> list[FaceCodes]:
        """Codes of photos that share the shape; those given where no head is turned."""
        units = [max(float(interocular(each.landmarks[None])[0]), SMALLEST_UNIT) for each in targets]
        targets = [self._landmarks.trusted(each, code) for each, code in zip(targets, codes, strict=True)]
        for _ in range(ROUNDS):
            terms = [
                self._terms(code, part, unit)
                for code, part, unit in zip(codes, silhouettes, units, strict=True)
            ]
            if not any(terms):
                break
            codes = self._landmarks.refine(targets, codes, free_shape=free_shape, terms=terms, steps=STEPS)
        return codes

    def _terms(self, code: FaceCodes, part: Silhouette, unit: float) -> list[OutlineTerm]:
        """The term of one photo, if its head is turned and its mask has a rim."""
        if abs(np.degrees(code.pose[1])) < TURNED or part.distance is None:
            return []
        term = outline_term(self._head, self._surface, code, part.distance, part.covered, unit)
        return [] if term is None else [term]
