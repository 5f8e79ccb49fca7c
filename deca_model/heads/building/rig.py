"""Build step 3: bones and random faces in; joint regressor, skinning weights and jaw corrective out."""

from __future__ import annotations

import numpy as np

from deca_model.heads.building.mesh import Cut, Source
from deca_model.heads.head import JAW, JOINTS, LEFT_EYE, NECK, RIGHT_EYE, ROOT

BONES = ("neck01", "neck02", "neck03", "jaw")
FOLLOWED = {
    "neck01": (NECK, 0.0), "neck02": (NECK, 0.35), "neck03": (NECK, 0.75), "head": (NECK, 1.0),
    "jaw": (JAW, 1.0),
}  # fmt: skip
"""The joint that a bone follows, and the share of its rotation that the bone takes."""
JAW_OPEN_ANGLE = 0.42
"""Radians; the jaw joint's angle that equals the artists' full jaw opening."""
NEAREST = 60
"""Number of vertices (on one side) that a joint is regressed from."""
RIDGE = 1e-6


def joint_points(bones: np.ndarray, heads: np.ndarray, cut: Cut) -> np.ndarray:
    """(n, 5, 3) joint positions of faces, from the (n, 4, 3) bones of BONES and the eyeballs' centres."""
    joints = np.empty((len(bones), JOINTS, 3))
    joints[:, ROOT] = bones[:, 0]
    joints[:, NECK] = 0.5 * (bones[:, 1] + bones[:, 2])
    joints[:, JAW] = bones[:, 3]
    joints[:, : JAW + 1, 0] = 0
    joints[:, LEFT_EYE] = heads[:, cut.eyeball["left"]].mean(axis=1)
    joints[:, RIGHT_EYE] = heads[:, cut.eyeball["right"]].mean(axis=1)
    return joints


def joint_regressor(joints: np.ndarray, heads: np.ndarray, still: np.ndarray, cut: Cut) -> np.ndarray:
    """(5, V) weights, each row summing to one, that compute the joints from any face's vertices.

    An eye joint is the centre of its eyeball. The other joints are fitted, over the faces ``heads`` (n, V, 3)
    with known joints (n, 5, 3), to the nearest vertices that no expression moves (``still``, (V,) bool), with
    the same weights on both sides.
    """
    regressor = np.zeros((JOINTS, heads.shape[1]))
    for joint, side in ((LEFT_EYE, "left"), (RIGHT_EYE, "right")):
        regressor[joint, cut.eyeball[side]] = 1 / len(cut.eyeball[side])
    mean = heads.mean(axis=0, dtype=np.float64)
    ball = np.concatenate(list(cut.eyeball.values()))
    for joint in (ROOT, NECK, JAW):
        distance = np.linalg.norm(mean - joints[:, joint].mean(axis=0), axis=1)
        distance[~still | (mean[:, 0] < -1e-6)] = np.inf
        distance[ball] = np.inf
        chosen = np.argsort(distance, kind="stable")[:NEAREST]
        pairs = 0.5 * (heads[:, chosen, 1:] + heads[:, cut.mirror[chosen], 1:])
        centre = pairs.mean(axis=1, keepdims=True)
        # Fit deviations from the mean of the candidates, so that the weights sum to one by construction.
        matrix = (pairs - centre).transpose(0, 2, 1).reshape(-1, NEAREST).astype(np.float64)
        target = (joints[:, joint, 1:] - centre[:, 0]).reshape(-1)
        normal = matrix.T @ matrix / len(heads) + RIDGE * np.eye(NEAREST)
        solution = np.linalg.solve(normal, matrix.T @ target / len(heads))
        weights = solution - solution.mean() + 1 / NEAREST
        np.add.at(regressor[joint], chosen, 0.5 * weights)
        np.add.at(regressor[joint], cut.mirror[chosen], 0.5 * weights)
    return regressor


def skinning_weights(source: Source, cut: Cut) -> np.ndarray:
    """(V, 5) weights from the rig's 163 bones: each bone's weight goes to the joint that it follows."""
    model = source.model
    follows = np.zeros((model.bone_count, JOINTS))
    for bone, (name, parent) in enumerate(zip(model.bone_labels, model.bone_parents, strict=True)):
        follows[bone, ROOT] = 1.0
        if name in FOLLOWED:
            joint, share = FOLLOWED[name]
            follows[bone, [ROOT, joint]] = 1 - share, share
        elif parent >= 0:
            follows[bone] = follows[parent]
    weights = np.zeros((len(cut.mirror), JOINTS))
    shares = model.vertex_bone_weights.numpy()[cut.body, :, None].astype(float)
    weights[: len(cut.body)] = (shares * follows[model.vertex_bone_indices.numpy()[cut.body]]).sum(axis=1)
    weights[cut.eyeball["left"], LEFT_EYE] = 1
    weights[cut.eyeball["right"], RIGHT_EYE] = 1
    mirrored = weights[cut.mirror][:, [ROOT, NECK, JAW, RIGHT_EYE, LEFT_EYE]]
    weights = 0.5 * (weights + mirrored)
    return weights / weights.sum(axis=1, keepdims=True)


def jaw_corrective(
    mean: np.ndarray, joint: np.ndarray, weights: np.ndarray, jaw_open: np.ndarray
) -> np.ndarray:
    """(36, V * 3) pose basis that makes the rotated jaw look like the artists' jaw opening.

    At JAW_OPEN_ANGLE about x, the skinned vertex plus its corrective equals the artists' vertex. The
    corrective is proportional to the angle's sine. The sine is in two entries of the rotation matrix; each
    gets half of the corrective.
    """
    sine, cosine = np.sin(JAW_OPEN_ANGLE), np.cos(JAW_OPEN_ANGLE)
    turn = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    share = weights[:, JAW, None, None]
    blend = (1 - share) * np.eye(3) + share * turn
    shift = weights[:, JAW, None] * (joint - turn @ joint)
    wanted = np.linalg.solve(blend, (mean + jaw_open - shift)[..., None])[..., 0] - mean
    basis = np.zeros((9 * (JOINTS - 1), mean.size))
    first = 9 * (JAW - 1)
    basis[first + 7] = 0.5 * wanted.reshape(-1) / sine  # row 2, column 1 of the rotation: sin
    basis[first + 5] = -basis[first + 7]  # row 1, column 2: -sin
    return basis
