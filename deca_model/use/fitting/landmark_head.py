"""A head cut down to the vertices that its landmarks need, so that a derivative costs milliseconds."""

from __future__ import annotations

from typing import Any

import numpy as np

from deca_model.heads.dense import DenseLandmarks
from deca_model.heads.head import JOINTS, Head, HeadData


def landmark_head(head: Head, face: bool = False) -> Head:
    """A head with the same landmarks, dense ones too, for the same codes; its vertices are others.

    It keeps the corners of the triangles that carry landmarks, and with ``face`` those of the face region,
    whose triangles keep their order. Joints are regressed from all vertices of the full head, so each joint
    is one more vertex here that moves as the joint does.
    """
    arrays = {name: value.detach().cpu().numpy() for name, value in head.named_buffers()}
    dense = None
    if head.dense_points is not None:
        dense = DenseLandmarks(arrays["dense_points"], arrays["dense_faces"], arrays["dense_barycentric"])
    tables = [arrays[f"{name}_faces"].ravel() for name in ("static", "contour", "full")]
    tables.append(dense.faces if dense else tables[0][:0])
    tables.append(np.flatnonzero(arrays["face_region"]) if face else tables[0][:0])
    chosen, place = np.unique(np.concatenate(tables), return_inverse=True)
    corners, renumbered = np.unique(arrays["faces"][chosen], return_inverse=True)
    faces = renumbered.reshape(-1, 3)
    split = np.split(place, np.cumsum([table.size for table in tables]))
    new: dict[str, Any] = {
        f"{name}_faces": part.reshape(arrays[f"{name}_faces"].shape)
        for name, part in zip(("static", "contour", "full"), split, strict=False)
    }
    regressor = np.zeros((JOINTS, len(corners) + JOINTS), np.float32)
    regressor[:, len(corners) :] = np.eye(JOINTS)
    data = HeadData(
        name=head.name,
        template=_with_joints(arrays["template"], corners, arrays["joint_regressor"]),
        shape_basis=_modes(arrays["shape_basis"], corners, arrays["joint_regressor"]),
        expression_basis=_modes(arrays["expression_basis"], corners, arrays["joint_regressor"]),
        pose_basis=_still_joints(arrays.get("pose_basis"), corners),
        joint_regressor=regressor,
        parents=np.array(head.parents),
        weights=np.concatenate([arrays["weights"][corners], np.eye(JOINTS, dtype=np.float32)]),
        faces=faces,
        uv=np.zeros((1, 2), np.float32),
        uv_faces=np.zeros((len(faces), 3), np.int64),
        face_region=arrays["face_region"][chosen],
        expression_names=head.expression_names,
        tooth_faces=0,
        **{name: arrays[name] for name in arrays if name.endswith("_barycentric") and "dense" not in name},
        **new,
    )
    if dense is not None:
        dense = DenseLandmarks(dense.points, split[3], dense.barycentric)
    return Head(data, dense)


def _with_joints(vertices: np.ndarray, corners: np.ndarray, regressor: np.ndarray) -> np.ndarray:
    """(V, ...) values of all vertices -> those of the corners, then those of the joints."""
    flat = vertices.reshape(len(vertices), -1)
    return np.concatenate([flat[corners], regressor @ flat]).reshape(-1, *vertices.shape[1:])


def _modes(basis: np.ndarray, corners: np.ndarray, regressor: np.ndarray) -> np.ndarray:
    """(N, V * 3) as the head holds it -> (V', 3, N) as ``HeadData`` does."""
    whole = np.moveaxis(basis.reshape(len(basis), -1, 3), 0, -1)
    return _with_joints(np.ascontiguousarray(whole), corners, regressor)


def _still_joints(basis: np.ndarray | None, corners: np.ndarray) -> np.ndarray | None:
    """Pose correctives of the corners; the joints have none."""
    if basis is None:
        return None
    kept = basis.reshape(len(basis), -1, 3)[:, corners]
    return np.concatenate([kept, np.zeros((len(basis), JOINTS, 3), np.float32)], axis=1).reshape(
        len(basis), -1
    )
