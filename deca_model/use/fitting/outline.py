"""The outline of a face as a term of the fit: chin and jaw from the front, the profile line from the side.

The head's occluding contour is found by rasterising. Each of its points should lie on the rim of the photo's
mask: its residual is the mask's signed distance there, whose gradient is the direction across the rim. The
points are chosen anew in each round, as in iterative closest points.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch.nn.functional import grid_sample

from deca_model.heads.head import Head
from deca_model.render.rasterize import Fragments, rasterize
from deca_model.use.fitting.face_codes import FaceCodes, tensors
from deca_model.use.fitting.face_surface import FaceSurface
from deca_model.use.fitting.projection import project

JUMP = 0.006
"""Metres of depth between neighbour pixels from which a rim of the face is an outline."""
SPREAD = 0.02
"""Standard deviation of the mask's rim, as a part of the inter-ocular distance."""
FARTHEST = 0.12
"""The same of the distance up to which a rim of the mask is that of the face, and not of hair before it."""
ALIGNED = 0.7
"""Cosine between the directions of the two rims from which they are the same."""
SHARED = 20.0
"""Neighbour pixels err together, so they count as if there were fewer by this factor."""
_AROUND = ((0, 1), (0, -1), (1, 0), (-1, 0))


class OutlineTerm:
    """Points on the head's outline, which should lie on the mask's rim.

    Args:
        surface: of the head.
        distance: (S, S) signed distance to the mask's rim in pixels, positive inside.
        triangles: (N,) the points' triangles of the surface.
        barycentric: (N, 3) and their places there.
        spread: standard deviation of a point in normalised coordinates.
    """

    def __init__(
        self,
        surface: FaceSurface,
        distance: np.ndarray,
        triangles: np.ndarray,
        barycentric: np.ndarray,
        spread: float,
    ) -> None:
        self._surface, self._distance = surface, distance * (2 / len(distance))
        self._across, self._down = (
            cv2.Sobel(distance, cv2.CV_32F, 1, 0, scale=1 / 8),
            cv2.Sobel(distance, cv2.CV_32F, 0, 1, scale=1 / 8),
        )
        self._corners, self._places = surface.triangles[triangles], barycentric
        self._spread = spread

    def residuals(self, code: FaceCodes, rows: bool) -> tuple[np.ndarray, np.ndarray | None]:
        """As ``Term``: the mask's signed distance at each point."""
        at = self._surface.at(code, rows)
        points = (at.seen[self._corners] * self._places[..., None]).sum(axis=1)
        residual = sample(self._distance, points) / self._spread
        if at.derivatives is None:
            return residual, None
        moved = (at.derivatives[self._corners, :2] * self._places[..., None, None]).sum(axis=1)
        slope = np.stack([sample(self._across, points), sample(self._down, points)], axis=1)
        return residual, np.einsum("nc,nck->nk", slope, moved) / self._spread


def signed_distance(skin: np.ndarray) -> np.ndarray | None:  # (S, S) bool -> (S, S) float32
    """Distance in pixels to the rim of the largest part of a mask, without its holes, positive inside."""
    contours, _ = cv2.findContours(skin.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return None
    filled = np.zeros(skin.shape, np.uint8)
    cv2.drawContours(filled, [max(contours, key=cv2.contourArea)], -1, (1,), cv2.FILLED)
    inside, outside = (cv2.distanceTransform(part, cv2.DIST_L2, 5) for part in (filled, 1 - filled))
    return cv2.GaussianBlur(inside - outside, (0, 0), 1.0)


def outline_term(
    head: Head,
    surface: FaceSurface,
    code: FaceCodes,
    distance: np.ndarray,  # (S, S) from signed_distance
    covered: np.ndarray,  # (S, S) bool: inside the photo
    unit: float,
) -> OutlineTerm | None:
    """The term for the outline of the head as it stands; None where the mask has no such rim."""
    size = len(distance)
    fragments = draw(head, code, size)
    index = fragments.face_index[0].numpy()
    face = (index >= 0) & (surface.number[np.maximum(index, 0)] >= 0)
    depth = np.where(index >= 0, fragments.depth[0].numpy() / code.camera[0], 1.0)
    rim = np.zeros_like(face)
    for step in _AROUND:
        beside = np.roll(depth, step, axis=(0, 1))
        rim |= face & (beside - depth > JUMP)
    rim[[0, -1]] = rim[:, [0, -1]] = False
    body = cv2.GaussianBlur(face.astype(np.float32), (0, 0), 2.0)
    row, column = np.nonzero(rim & _away_from_edge(covered))
    inward = _direction(body, row, column)
    wanted = _direction(distance, row, column)
    far = np.abs(distance[row, column]) * (2 / size) > FARTHEST * unit
    kept = ((inward * wanted).sum(axis=1) > ALIGNED) & ~far
    row, column = row[kept], column[kept]
    if len(row) < 10:
        return None
    places = fragments.barycentric[0].numpy()[row, column].astype(np.float64)
    triangles = surface.number[index[row, column]]
    return OutlineTerm(surface, distance, triangles, places, SPREAD * unit * np.sqrt(SHARED))


@torch.no_grad()
def draw(head: Head, code: FaceCodes, size: int) -> Fragments:
    """The whole head rasterised under a code."""
    places = head(*(each[None].float() for each in tensors(code))).vertices[0].numpy()
    return rasterize(torch.from_numpy(project(places, code.camera)[None]).float(), head.faces, size)


def sample(picture: np.ndarray, points: np.ndarray) -> np.ndarray:  # (S, S[, C]), (N, >= 2)
    """Values of a picture at points in normalised coordinates, linear between pixels; the rim's outside."""
    maps = torch.from_numpy(picture.reshape(*picture.shape[:2], -1)).permute(2, 0, 1)[None]
    where = torch.from_numpy(points[:, :2]).to(maps.dtype)[None, None]
    found = grid_sample(maps, where, padding_mode="border", align_corners=False)[0, :, 0].T.double().numpy()
    return found.reshape(len(points), *picture.shape[2:])


def _away_from_edge(covered: np.ndarray) -> np.ndarray:
    """Pixels whose neighbours within 5 are inside the photo."""
    inside = np.pad(covered, 1).astype(np.uint8)
    return cv2.erode(inside, np.ones((11, 11), np.uint8))[1:-1, 1:-1] > 0


def _direction(picture: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:  # (N, 2)
    """Unit gradient of a picture at pixels, x right and y down."""
    across, down = (cv2.Sobel(picture, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    found = np.stack([across[row, column], down[row, column]], axis=1)
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-6)
