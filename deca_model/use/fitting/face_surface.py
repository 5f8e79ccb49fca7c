"""The face's surface as a function of the codes, for terms that compare it with the photo."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from deca_model.heads.head import Head
from deca_model.use.fitting.face_codes import FaceCodes, tensors
from deca_model.use.fitting.landmark_system import LandmarkSystem
from deca_model.use.fitting.projection import project, projected_derivatives


class Surface(NamedTuple):
    """The face's vertices under one code."""

    seen: np.ndarray  # (V, 3) normalised image coordinates
    derivatives: np.ndarray | None  # (V, 3, 159): by shape, expression, pose, logarithm of scale, shift


class FaceSurface:
    """The face region of a head, cut out, with derivatives.

    Attributes:
        triangles: (F, 3) corners of the face region's triangles, numbered as the vertices here.
        number: (all triangles of the head,) the triangle's place in ``triangles``, -1 outside the face.
    """

    def __init__(self, head: Head) -> None:
        self._system = LandmarkSystem(head, face=True)
        small = self._system.head
        self.triangles = small.faces[small.face_region].numpy()
        region = head.face_region.cpu().numpy()
        self.number = np.where(region, np.cumsum(region) - 1, -1)

    def at(self, code: FaceCodes, derivatives: bool) -> Surface:
        """The vertices under a code, and if they are wanted their derivatives."""
        if not derivatives:
            places = self._system.vertices(*(each[None] for each in tensors(code)))[0].numpy()
            return Surface(project(places, code.camera), None)
        found = self._system.surface(*tensors(code))
        seen = project(found.places.numpy(), code.camera)
        return Surface(seen, projected_derivatives(seen, found.derivatives.numpy(), code.camera))
