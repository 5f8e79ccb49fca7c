"""Teeth for the open head: two plain arches behind the lips, closed solids that only outputs have.

The base mesh of MakeHuman has a mouth but no teeth. They are made by formula and appended to the arrays of
the head, so the numbers of its own vertices, triangles and landmarks stay. Training does without them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from deca_model.heads.head import JAW, JOINTS, NECK, HeadData

COLUMNS = 33
"""Points along an arch."""
CHART = (0.165, 0.435, 0.01, 0.105)
"""Where the upper teeth are in the UV square: u from, to, v from, to; the lower ones at the mirrored u."""
_INNER_LIPS = (62, 66)  # iBUG: the middle of the upper and of the lower lip
_BINDING = 0.006  # metres: how far away skin of the mouth moves a tooth when the shape changes
_CHIN = 8
_JAW_MODES = ("jaw", "mouthClose")  # expressions that move the lower jaw without turning its joint


@dataclass(frozen=True)
class _Arch:
    """An arch: metres from the middle between the lips, and how far it goes along a half ellipse."""

    joint: int
    heights: tuple[float, float, float]  # of the gum's end, the neck of the teeth, and their edge
    width: float  # half axes of the ellipse
    depth: float
    front: float
    far: float  # degrees to each side


_UPPER = _Arch(NECK, (0.0140, 0.0075, -0.0017), 0.0330, 0.036, -0.0055, 62.0)
_LOWER = _Arch(JAW, (-0.0135, -0.0085, 0.0003), 0.0300, 0.034, -0.0085, 55.0)
_INWARD = (0.0008, 0.0, 0.0003, 0.0020, 0.0055, 0.0065)
"""How far the six points of an arch's outline lie behind its front: outside downwards, inside upwards."""


def with_teeth(data: HeadData) -> HeadData:
    """The open head's arrays with teeth; ``tooth_faces`` of the triangles, the last ones, are theirs.

    The upper arch is fixed to the skull, the lower one follows the jaw. Both follow the skin of the mouth
    when the shape changes, and nothing when lips or cheeks move.
    """
    if data.name != "open":
        return data
    for arch in (_UPPER, _LOWER):
        data = _appended(data, arch)
    return data


def _appended(data: HeadData, arch: _Arch) -> HeadData:
    lips = _landmarks(data)[list(_INNER_LIPS)].mean(axis=0)
    points, outward = _points(arch, lips)  # (6, C, 3), (C, 3)
    binding = _bound(data, arch, points[1], outward)  # (C, V)
    rows, count = len(points), len(data.template)
    weights = np.zeros((points[..., 0].size, JOINTS), np.float32)
    weights[:, arch.joint] = 1
    faces, uv, uv_faces = _surface(rows, arch)
    modes = data.expression_basis
    if arch.joint == JAW:
        chin = data.faces[data.full_faces[_CHIN]]
        moved = (modes[chin] * data.full_barycentric[_CHIN][:, None, None]).sum(axis=0)  # (3, NE)
        follows = [name.startswith(_JAW_MODES) for name in data.expression_names]
        moved = moved * np.array(follows or [False] * modes.shape[2])
    else:
        moved = np.zeros(modes.shape[1:], np.float32)
    of_teeth = np.broadcast_to(moved, (len(weights), *moved.shape))
    shapes = np.einsum("cv,vkn->ckn", binding, data.shape_basis)
    pose = data.pose_basis
    if pose is not None:
        pose = np.concatenate([pose, np.zeros((len(pose), 3 * len(weights)), pose.dtype)], axis=1)
    regressor = np.pad(data.joint_regressor, ((0, 0), (0, len(weights))))
    return replace(
        data,
        template=_joined(data.template, points.reshape(-1, 3)),
        shape_basis=_joined(data.shape_basis, np.tile(shapes, (rows, 1, 1))),
        expression_basis=_joined(modes, of_teeth),
        pose_basis=pose,
        joint_regressor=regressor,
        weights=_joined(data.weights, weights),
        faces=_joined(data.faces, faces + count),
        uv=_joined(data.uv, uv),
        uv_faces=_joined(data.uv_faces, uv_faces + len(data.uv)),
        face_region=np.concatenate([data.face_region, np.zeros(len(faces), bool)]),
        tooth_faces=data.tooth_faces + len(faces),
    )


def _points(arch: _Arch, lips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(6, C, 3) points of the six lines along an arch, and (C, 3) its outward directions."""
    fine = np.radians(np.linspace(-arch.far, arch.far, 2001))
    x, z = arch.width * np.sin(fine), arch.depth * np.cos(fine)
    length = np.concatenate([[0], np.hypot(np.diff(x), np.diff(z)).cumsum()])
    angle = np.interp(np.linspace(0, length[-1], COLUMNS), length, fine)
    x, z = arch.width * np.sin(angle), arch.depth * (np.cos(angle) - 1) + arch.front
    outward = np.stack([np.sin(angle) / arch.width, 0 * angle, np.cos(angle) / arch.depth], axis=1)
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    heights = (*arch.heights, *arch.heights[::-1])
    lines = [
        lips + np.stack([x, 0 * x + height, z], axis=1) - inward * outward
        for height, inward in zip(heights, _INWARD, strict=True)
    ]
    return np.stack(lines).astype(np.float32), outward


def _bound(data: HeadData, arch: _Arch, line: np.ndarray, outward: np.ndarray) -> np.ndarray:
    """(C, V) weights of the skin of the mouth, whose rows sum to one: the walls that face the arch."""
    corners = data.template[data.faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(data.template)
    np.add.at(normals, data.faces, across[:, None].repeat(3, axis=1))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-12)
    near = ((line[:, None] - data.template) ** 2).sum(axis=2)
    weights = np.exp(-0.5 * near / _BINDING**2) * (outward @ normals.T < -0.2)
    weights = weights * ((data.weights[:, JAW] > 0.5) == (arch.joint == JAW))
    return (weights + 1e-12) / (weights + 1e-12).sum(axis=1, keepdims=True)


def _surface(rows: int, arch: _Arch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Triangles (F, 3), UV vertices (T, 2) and UV triangles (F, 3) of an arch, wound outwards."""
    number = np.arange(rows * COLUMNS).reshape(rows, COLUMNS)
    faces = _grid(np.concatenate([number, number[:1]]))
    uv_faces = _grid(np.arange((rows + 1) * COLUMNS).reshape(rows + 1, COLUMNS))
    ends = [(0, k, k + 1) for k in range(1, rows - 1)]
    left, right = np.array(ends)[:, ::-1] * COLUMNS, np.array(ends) * COLUMNS + COLUMNS - 1
    faces, uv_faces = (np.concatenate([each, left, right]) for each in (faces, uv_faces))
    low_u, high_u, low_v, high_v = CHART
    u, v = np.linspace(low_u, high_u, COLUMNS), np.linspace(high_v, low_v, rows + 1)
    if arch.joint == JAW:  # its outline begins at the gum, too, so it is upside down
        u, v, faces, uv_faces = 1 - u[::-1], v[::-1], faces[:, ::-1], uv_faces[:, ::-1]
    uv = np.stack(np.meshgrid(u, v), axis=-1).reshape(-1, 2)
    return faces, uv.astype(np.float32), uv_faces


def _grid(number: np.ndarray) -> np.ndarray:
    """(F, 3) two triangles for each cell of a grid of vertex numbers."""
    a, b, c, d = number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:]
    return np.stack([np.stack([a, b, c], axis=-1), np.stack([a, c, d], axis=-1)], axis=2).reshape(-1, 3)


def _landmarks(data: HeadData) -> np.ndarray:  # (68, 3)
    corners = data.template[data.faces[data.full_faces]]
    return (corners * data.full_barycentric[..., None]).sum(axis=1)


def _joined(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.concatenate([one, other.astype(one.dtype)])
