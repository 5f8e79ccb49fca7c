"""A 3-D head: its arrays, and how codes become vertices and landmarks.

The maths is that of FLAME (Li et al. 2017, "Learning a model of facial shape and expression from 4D scans"):
linear shape and expression bases, pose correctives, linear blend skinning over five joints. Every head
(FLAME, ICT, the embedded one) is converted to this form, so the code that uses a head is the same for all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from deca_model.heads.dense import FLAME_DENSE, DenseLandmarks
from deca_model.heads.rotations import axis_angle_to_matrix, yaw_degrees
from manifests.errors import UsageError

ROOT, NECK, JAW, LEFT_EYE, RIGHT_EYE = range(5)
"""Joint numbers; left and right are the subject's."""
JOINTS = 5
PARENTS = np.array([-1, 0, 1, 1, 1])
"""Parent of each joint; -1 for the root."""
YAW_LIMIT = 39
"""Degrees; at larger yaws the dynamic contour no longer changes."""
YAW_BINS = 2 * YAW_LIMIT + 1
PLACES = ("static_barycentric", "contour_barycentric", "full_barycentric")
REAL = ("template", "joint_regressor", "weights", "uv", *PLACES)
INDICES = ("faces", "uv_faces", "static_faces", "contour_faces", "full_faces")
"""Names of the arrays of barycentric coordinates, of all numbers but the bases, and of the indices."""


@dataclass(frozen=True)
class HeadData:
    """The arrays of one head model. V vertices, F triangles, T texture vertices; metres, y up, face to +z."""

    name: str
    template: np.ndarray  # (V, 3) float32
    shape_basis: np.ndarray  # (V, 3, NS) float32, metres per unit of code
    expression_basis: np.ndarray  # (V, 3, NE) float32, metres per unit of code
    pose_basis: np.ndarray | None  # (36, V * 3) float32: 9 rotation entries for each of joints 1-4
    joint_regressor: np.ndarray  # (5, V) float32
    parents: np.ndarray  # (5,) int64, -1 for the root
    weights: np.ndarray  # (V, 5) float32, rows sum to one
    faces: np.ndarray  # (F, 3) int64
    uv: np.ndarray  # (T, 2) float32 in [0, 1], u right, v up
    uv_faces: np.ndarray  # (F, 3) int64
    static_faces: np.ndarray  # (51,) int64: landmarks 17-67 of iBUG-68
    static_barycentric: np.ndarray  # (51, 3) float32
    contour_faces: np.ndarray  # (79, 17) int64: landmarks 0-16; rows are yaws 0 to 39, then -1 to -39
    contour_barycentric: np.ndarray  # (79, 17, 3) float32
    full_faces: np.ndarray  # (68,) int64: all landmarks; the jaw line is that of the frontal pose
    full_barycentric: np.ndarray  # (68, 3) float32
    face_region: np.ndarray  # (F,) bool: triangles of the face (without scalp, ears, neck)
    expression_names: tuple[str, ...] = ()  # name of each expression mode; empty if unknown
    tooth_faces: int = 0  # how many of the triangles, the last ones, are teeth

    def __post_init__(self) -> None:
        """Check that the arrays fit together.

        Raises:
            UsageError: an array's shape or an index does not fit the others.
        """
        vertices, triangles = len(self.template), len(self.faces)
        expected = {
            "template": (vertices, 3),
            "shape_basis": (vertices, 3, self.shape_basis.shape[-1]),
            "expression_basis": (vertices, 3, self.expression_basis.shape[-1]),
            "joint_regressor": (JOINTS, vertices),
            "parents": (JOINTS,),
            "weights": (vertices, JOINTS),
            "faces": (triangles, 3),
            "uv": (len(self.uv), 2),
            "uv_faces": (triangles, 3),
            "static_faces": (51,),
            "static_barycentric": (51, 3),
            "contour_faces": (YAW_BINS, 17),
            "contour_barycentric": (YAW_BINS, 17, 3),
            "full_faces": (68,),
            "full_barycentric": (68, 3),
            "face_region": (triangles,),
        }
        if self.pose_basis is not None:
            expected["pose_basis"] = (9 * (JOINTS - 1), vertices * 3)
        for key, shape in expected.items():
            found = getattr(self, key).shape
            if found != shape:
                raise UsageError(
                    f"the {self.name} head's {key} has shape {found}, not {shape}: use an intact file"
                )
        limits = (vertices, len(self.uv), triangles, triangles, triangles)
        for key, limit in zip(INDICES, limits, strict=True):
            index = getattr(self, key)
            if index.min() < 0 or index.max() >= limit:
                raise UsageError(
                    f"the {self.name} head's {key} points outside 0..{limit - 1}: use an intact file"
                )


class HeadOutput(NamedTuple):
    """A posed head in head space (metres, y up, face to +z)."""

    vertices: Tensor  # (B, V, 3)
    landmarks_2d: Tensor  # (B, 68, 3): jaw line on the silhouette, so it depends on the yaw
    landmarks_3d: Tensor  # (B, 68, 3): jaw line at fixed points of the skin


class Head(nn.Module):
    """Turns shape, expression and pose codes into vertices and landmarks.

    It has no parameters. Its arrays are buffers that move with ``.to()`` and are not in the state dict,
    so a checkpoint never contains a licensed head.
    """

    template: Tensor
    shape_basis: Tensor
    expression_basis: Tensor
    pose_basis: Tensor | None
    joint_regressor: Tensor
    weights: Tensor
    faces: Tensor
    uv: Tensor
    uv_faces: Tensor
    face_region: Tensor
    static_faces: Tensor
    static_barycentric: Tensor
    contour_faces: Tensor
    contour_barycentric: Tensor
    full_faces: Tensor
    full_barycentric: Tensor
    dense_points: Tensor | None  # (N,) which of MediaPipe's points the head has; None if it has none
    dense_faces: Tensor | None  # (N,)
    dense_barycentric: Tensor | None  # (N, 3)

    def __init__(self, data: HeadData, dense: DenseLandmarks | None = None) -> None:
        super().__init__()
        self.name = data.name
        self.expression_names = data.expression_names
        self.tooth_faces = data.tooth_faces
        self.parents = [int(parent) for parent in data.parents]
        self._hold(np.float32, "pose_basis", data.pose_basis)
        for key in REAL:
            self._hold(np.float32, key, getattr(data, key))
        for key in INDICES:
            self._hold(np.int64, key, getattr(data, key))
        self._hold(bool, "face_region", data.face_region)
        self._hold(np.int64, "dense_points", None if dense is None else dense.points)
        self._hold(np.int64, "dense_faces", None if dense is None else dense.faces)
        self._hold(np.float32, "dense_barycentric", None if dense is None else dense.barycentric)
        # The mode axis comes first, so that a shorter code multiplies a contiguous slice.
        for key in ("shape_basis", "expression_basis"):
            basis = np.ascontiguousarray(np.moveaxis(getattr(data, key), -1, 0), np.float32)
            self._hold(np.float32, key, basis.reshape(len(basis), -1))

    def forward(
        self,
        shape: Tensor,  # (B, <= NS)
        expression: Tensor,  # (B, <= NE)
        pose: Tensor,  # (B, 6): global rotation, jaw; axis-angle, radians
        neck_pose: Tensor | None = None,  # (B, 3)
        eye_pose: Tensor | None = None,  # (B, 6): left, right
    ) -> HeadOutput:
        """Pose a batch of heads. Codes may be shorter than the bases; the missing numbers are zero.

        Raises:
            ValueError: a code is longer than its basis, or a pose has the wrong width.
        """
        rotations = axis_angle_to_matrix(_joint_angles(pose, neck_pose, eye_pose))  # (B, 5, 3, 3)
        shaped = self.neutral(shape, expression)
        joints = torch.einsum("jv,bvc->bjc", self.joint_regressor, shaped)
        if self.pose_basis is not None:
            feature = rotations[:, 1:] - torch.eye(3, dtype=rotations.dtype, device=rotations.device)
            shaped = shaped + (feature.flatten(1) @ self.pose_basis).unflatten(1, (-1, 3))
        vertices = self._skin(shaped, joints, rotations)

        # The yaw only selects a row of the contour, so it has no gradient; the contour's points have one.
        # A non-finite yaw would be an invalid index. It becomes 0; the vertices and the loss stay non-finite.
        yaw = yaw_degrees((rotations[:, ROOT] @ rotations[:, NECK]).detach()).nan_to_num()
        row = contour_row(yaw)
        contour = _on_faces(vertices, self.faces, self.contour_faces[row], self.contour_barycentric[row])
        batch = len(vertices)
        inner = _on_faces(vertices, self.faces, self.static_faces.expand(batch, -1), self.static_barycentric)
        full = _on_faces(vertices, self.faces, self.full_faces.expand(batch, -1), self.full_barycentric)
        return HeadOutput(vertices, torch.cat([contour, inner], dim=1), full)

    def neutral(self, shape: Tensor, expression: Tensor) -> Tensor:
        """Vertices (B, V, 3) of shape and expression codes, before any pose."""
        offsets = _combine(shape, self.shape_basis, "shape", self.name)
        offsets = offsets + _combine(expression, self.expression_basis, "expression", self.name)
        return self.template + offsets.unflatten(1, (-1, 3))

    def dense(self, vertices: Tensor) -> Tensor:  # (B, V, 3) -> (B, N, 3)
        """The dense landmarks on posed (or projected) vertices, in the order of ``dense_points``.

        Raises:
            UsageError: the head has no dense landmarks.
        """
        if self.dense_faces is None or self.dense_barycentric is None:
            raise UsageError(
                f"the {self.name} head has no dense landmarks: use the open head, or FLAME with MediaPipe's "
                f"embedding ({FLAME_DENSE}) beside its model"
            )
        chosen = self.dense_faces.expand(len(vertices), -1)
        return _on_faces(vertices, self.faces, chosen, self.dense_barycentric)

    def _skin(self, vertices: Tensor, joints: Tensor, rotations: Tensor) -> Tensor:
        """Linear blend skinning: each vertex moves by the weighted mean of its joints' rigid motions."""
        turned, moved = [rotations[:, ROOT]], [joints[:, ROOT]]  # moved: the joints after posing
        for joint, parent in enumerate(self.parents[1:], 1):
            turned.append(turned[parent] @ rotations[:, joint])
            offset = (turned[parent] @ (joints[:, joint] - joints[:, parent]).unsqueeze(-1)).squeeze(-1)
            moved.append(moved[parent] + offset)
        rotation = torch.stack(turned, dim=1)  # (B, 5, 3, 3)
        shift = torch.stack(moved, dim=1) - (rotation @ joints.unsqueeze(-1)).squeeze(-1)
        blended = self.weights @ torch.cat([rotation.flatten(2), shift], dim=2)  # (B, V, 12)
        matrix = blended[..., :9].unflatten(-1, (3, 3))
        return (matrix @ vertices.unsqueeze(-1)).squeeze(-1) + blended[..., 9:]

    def _hold(self, kind: type, key: str, array: np.ndarray | None) -> None:
        value = None if array is None else torch.from_numpy(np.array(array, kind))
        self.register_buffer(key, value, persistent=False)


def contour_row(yaw: Tensor) -> Tensor:
    """Row of the dynamic contour for a yaw in degrees (FLAME's order: 0 to 39, then -1 to -39)."""
    degrees = yaw.round().clamp(-YAW_LIMIT, YAW_LIMIT).long()
    return torch.where(degrees >= 0, degrees, YAW_LIMIT - degrees)


def _combine(code: Tensor, basis: Tensor, what: str, head: str) -> Tensor:
    """(B, K) codes times the first K modes of a (N, V * 3) basis."""
    if code.shape[-1] > len(basis):
        raise ValueError(
            f"the {what} code has {code.shape[-1]} numbers, but the {head} head has only {len(basis)} modes: "
            "use a shorter code"
        )
    return code @ basis[: code.shape[-1]]


def _joint_angles(pose: Tensor, neck_pose: Tensor | None, eye_pose: Tensor | None) -> Tensor:
    """(B, 5, 3) axis-angle rotations in joint order; those not given are zero."""
    neck = torch.zeros_like(pose[:, :3]) if neck_pose is None else neck_pose
    eyes = torch.zeros_like(pose) if eye_pose is None else eye_pose
    for found, width, what in ((pose, 6, "pose"), (neck, 3, "neck_pose"), (eyes, 6, "eye_pose")):
        if found.ndim != 2 or found.shape[1] != width:
            raise ValueError(f"{what} has shape {tuple(found.shape)}, not (batch, {width})")
    return torch.stack([pose[:, :3], neck, pose[:, 3:], eyes[:, :3], eyes[:, 3:]], dim=1)


def _on_faces(vertices: Tensor, faces: Tensor, chosen: Tensor, barycentric: Tensor) -> Tensor:
    """Points (B, N, 3) at barycentric ((B,) N, 3) coordinates of the chosen (B, N) faces."""
    corners = faces[chosen].flatten(1)  # (B, N * 3)
    points = vertices.gather(1, corners.unsqueeze(-1).expand(-1, -1, 3)).unflatten(1, (-1, 3))
    return (points * barycentric.unsqueeze(-1)).sum(dim=2)
