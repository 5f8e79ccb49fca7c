"""Positions of a head's landmarks and their derivatives by all codes, in double precision.

At a fixed pose the vertices are affine in the shape and expression codes, so their derivative is one matrix
product. The derivative by the six pose angles comes from central differences.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from deca_model.heads.head import JAW, JOINTS, ROOT, Head, contour_row
from deca_model.heads.rotations import axis_angle_to_matrix, yaw_degrees
from deca_model.use.fitting.landmark_head import landmark_head

SHAPES, EXPRESSIONS, POSES = 100, 50, 6
_STEP = 1e-5  # radians


class Points(NamedTuple):
    """Landmarks of one posed head: N = dense points (if the head has them), then the 68."""

    places: Tensor  # (N, 3) head space, metres
    derivatives: Tensor  # (N, 3, 156): by shape, expression, pose


class LandmarkSystem:
    """The landmarks of a head as functions of its codes."""

    def __init__(self, head: Head, face: bool = False) -> None:
        self.head = landmark_head(head, face).double()
        self.dense_count = 0 if head.dense_points is None else len(head.dense_points)
        basis = torch.cat([self.head.shape_basis[:SHAPES], self.head.expression_basis[:EXPRESSIONS]])
        self._basis = basis.T.reshape(-1, 3, SHAPES + EXPRESSIONS).contiguous()  # (V, 3, 150)

    def vertices(self, shape: Tensor, expression: Tensor, pose: Tensor) -> Tensor:  # (B, ...) -> (B, V, 3)
        """The posed vertices of the small head."""
        return self.head(shape, expression, pose).vertices

    def places(self, shape: Tensor, expression: Tensor, pose: Tensor) -> Tensor:  # (100,), (50,), (6,)
        """(N, 3) the landmarks alone."""
        return self._pick(self.vertices(shape[None], expression[None], pose[None]), pose)[0]

    def points(self, shape: Tensor, expression: Tensor, pose: Tensor) -> Points:
        """The landmarks with their derivatives."""
        vertices, by_pose = self._by_pose(shape, expression, pose)
        picked = self._pick(torch.cat([vertices[None], by_pose]), pose)
        by_code = self._pick(self._by_code(pose).permute(2, 0, 1), pose)  # (150, N, 3)
        return Points(picked[0], torch.cat([by_code, picked[1:]]).permute(1, 2, 0))

    def _by_pose(self, shape: Tensor, expression: Tensor, pose: Tensor) -> tuple[Tensor, Tensor]:
        """Vertices (V, 3) and their derivatives (6, V, 3) by the pose."""
        steps = torch.cat([torch.zeros(1, POSES), torch.eye(POSES), -torch.eye(POSES)]).double() * _STEP
        moved = self.vertices(shape.expand(13, -1), expression.expand(13, -1), pose + steps)
        return moved[0], (moved[1 : POSES + 1] - moved[POSES + 1 :]) / (2 * _STEP)

    def surface(self, shape: Tensor, expression: Tensor, pose: Tensor) -> Points:
        """The posed vertices (V, 3) of the small head with their derivatives (V, 3, 156)."""
        places, by_pose = self._by_pose(shape, expression, pose)
        return Points(places, torch.cat([self._by_code(pose), by_pose.permute(1, 2, 0)], dim=2))

    def facing(self, shape: Tensor, expression: Tensor, pose: Tensor) -> Tensor:  # (N,), -1 to 1
        """How much the skin at each landmark faces the viewer: 1 is head-on, below 0 is hidden."""
        vertices = self.vertices(shape[None], expression[None], pose[None])
        corners = vertices[0][self.head.faces[self._table(pose)[0]]]
        normal = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        return normal[:, 2] / normal.norm(dim=1).clamp(min=1e-12)

    def _by_code(self, pose: Tensor) -> Tensor:  # (V, 3, 150)
        """Derivative of the posed vertices by the codes: skinning is linear in vertices and joints."""
        angles = torch.zeros(JOINTS, 3, dtype=torch.float64)
        angles[ROOT], angles[JAW] = pose[:3], pose[3:]  # neck and eyes are still
        rotation = axis_angle_to_matrix(angles)
        joints = self._basis[-JOINTS:]  # (5, 3, 150)
        turned, moved = [rotation[ROOT]], [joints[ROOT]]
        for joint, parent in enumerate(self.head.parents[1:], 1):
            turned.append(turned[parent] @ rotation[joint])
            moved.append(moved[parent] + turned[parent] @ (joints[joint] - joints[parent]))
        turns = torch.stack(turned)
        shift = torch.stack(moved) - turns @ joints
        blended = (self.head.weights @ turns.flatten(1)).unflatten(1, (3, 3))
        return blended @ self._basis + (self.head.weights @ shift.flatten(1)).unflatten(1, (3, -1))

    def _pick(self, vertices: Tensor, pose: Tensor) -> Tensor:  # (B, V, 3) -> (B, N, 3)
        """The landmarks on vertices, with the contour of this pose."""
        faces, places = self._table(pose)
        return (vertices[:, self.head.faces[faces]] * places[..., None]).sum(dim=2)

    def _table(self, pose: Tensor) -> tuple[Tensor, Tensor]:  # (N,), (N, 3)
        """Triangle and barycentric coordinates of each landmark."""
        head = self.head
        row = int(contour_row(yaw_degrees(axis_angle_to_matrix(pose[:3]))))
        faces = torch.cat([head.contour_faces[row], head.static_faces])
        places = torch.cat([head.contour_barycentric[row], head.static_barycentric])
        if head.dense_faces is not None and head.dense_barycentric is not None:
            faces = torch.cat([head.dense_faces, faces])
            places = torch.cat([head.dense_barycentric, places])
        return faces, places
