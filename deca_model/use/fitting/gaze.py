"""Where the eyes look: the irises of MediaPipe's mesh turn the head's eyeballs.

Both eyes get one direction, as for something far away: the mean of the two, in which the eye that the photo
shows wider and more open counts more. The rotation has no twist about the line of sight (Listing's law).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from deca_model.heads.head import LEFT_EYE, RIGHT_EYE, Head
from deca_model.heads.rotations import axis_angle_to_matrix
from deca_model.networks.model import Deca
from deca_model.use.fitting.smoothing import smoothed_rows
from deca_model.use.inference import Reconstruction

FARTHEST = 40.0
"""Degrees from straight ahead; eyes do not turn further."""
_EYES = ((LEFT_EYE, 473, slice(42, 48)), (RIGHT_EYE, 468, slice(36, 42)))
# joint of each eye, the centre of its iris in the mesh, and its lids in the 68 landmarks
_UNSEEN = 1e-6  # pixels of trust
_SHUT, _OPEN = 0.08, 0.18  # opening over width: where an iris is not known, and where it is


class Look(NamedTuple):
    """What a photo shows of the irises, of the left eye and of the right one."""

    offsets: np.ndarray  # (2, 2) pixels, from the mean of the lids' landmarks to the centre of the iris
    trust: np.ndarray  # (2,) width of the eye in pixels, 0 where it is shut


NOWHERE = Look(np.zeros((2, 2)), np.zeros(2))
"""No iris is known: the eyes look straight ahead."""


def look(landmarks: np.ndarray, mesh: np.ndarray | None) -> Look:
    """The irises of one face, of the 68 landmarks (68, 2) and the mesh (478, 3), both in pixels."""
    if mesh is None:
        return NOWHERE
    offsets, trust = np.zeros((2, 2)), np.zeros(2)
    for side, (_, iris, lids) in enumerate(_EYES):
        points = landmarks[lids]
        offsets[side] = mesh[iris, :2] - points.mean(axis=0)
        width = float(np.linalg.norm(points[3] - points[0]))
        opening = float(np.linalg.norm(points[1:3].mean(axis=0) - points[4:6].mean(axis=0)))
        share = (opening / max(width, 1e-9) - _SHUT) / (_OPEN - _SHUT)
        trust[side] = width * np.clip(share, 0, 1)
    return Look(offsets, trust)


def smoothed_looks(looks: Sequence[Look], per_second: float) -> list[Look]:
    """The looks of a clip without jitter; during a blink, the eyes look where they look before and after."""
    trust = smoothed_rows(np.stack([each.trust for each in looks]), per_second).clip(1e-9)
    weighted = np.stack([(each.offsets * each.trust[:, None]).ravel() for each in looks])
    offsets = smoothed_rows(weighted, per_second).reshape(-1, 2, 2) / trust[..., None]
    return [Look(*each) for each in zip(offsets, trust, strict=True)]


def with_gaze(model: Deca, found: Reconstruction, looks: Sequence[Look]) -> Reconstruction:
    """The same faces, whose eyes look where they look in the photos.

    A head without eyeballs that turn about their joints stays as it is.
    """
    if not _has_eyeballs(model.head):
        return found
    turns = np.stack([_gaze(model.head, found, n, each) for n, each in enumerate(looks)])
    eyes = torch.from_numpy(turns).to(found.posed.vertices).repeat(1, 2)
    return replace(found, posed=model.pose(found.posed.codes, eyes))


def turn_to(direction: np.ndarray) -> np.ndarray:  # (3,) -> (3,)
    """The axis-angle without twist that turns straight ahead (+z) to a direction, at most ``FARTHEST``."""
    x, y, z = direction / np.linalg.norm(direction)
    angle = min(np.arccos(np.clip(z, -1, 1)), np.radians(FARTHEST))
    axis = np.array([-y, x, 0.0])
    return angle * axis / max(float(np.linalg.norm(axis)), 1e-9)


def _has_eyeballs(head: Head) -> bool:
    return bool((head.weights[:, [LEFT_EYE, RIGHT_EYE]] > 0.5).any(dim=0).all())


def _gaze(head: Head, found: Reconstruction, n: int, seen: Look) -> np.ndarray:  # (3,) axis-angle
    """The turn of both eyes of one face.

    An iris is as far from the fitted lids as in the photo from its own: the fit's error at the eye, some
    tenths of a millimetre, would be some degrees.
    """
    codes = found.posed.codes
    scale, *shift = codes.camera[n].tolist()
    own = found.posed.landmarks[n].cpu().numpy()
    total = np.zeros(3)
    for side, (joint, _, lids) in enumerate(_EYES):
        at = own[lids].mean(axis=0) + seen.offsets[side] * (2 / float(found.squares[n].side))
        place = np.array([at[0] / scale - shift[0], -at[1] / scale - shift[1]])  # metres, head space
        ball = found.posed.head.vertices[n, head.weights[:, joint] > 0.5].cpu().numpy()
        centre = (ball.min(axis=0) + ball.max(axis=0)) / 2
        radius = np.linalg.norm(ball - centre, axis=1).max()
        aside = (place - centre[:2]) / radius
        aside *= min(1.0, 0.95 / max(float(np.linalg.norm(aside)), 1e-9))
        total += seen.trust[side] * np.array([*aside, np.sqrt(1 - (aside**2).sum())])
    if seen.trust.sum() < _UNSEEN:
        return np.zeros(3)
    turned = axis_angle_to_matrix(codes.pose[n : n + 1, :3])[0].cpu().numpy()
    return turn_to(turned.T @ total)
