"""ICT-FaceKit (MIT) as a head model.

ICT-FaceKit has no joints. Every head here has five, so they are added:

- root and neck rotate the whole head about the midpoint between the ears;
- the jaw has no skinning weights: its rotation drives ICT-FaceKit's own jaw shapes through the pose
  correctives. The angle of a full jawOpen gives jawOpen; rotations to the sides give jawLeft and jawRight. In
  between, the offset is proportional to the sine of the angle;
- each eye rotates about the centre of its eyeball.

These joints replace the shapes jawOpen, jawLeft, jawRight and eyeLook*, which are therefore no expression
modes. The remaining modes are padded with zeros to 50, so that the encoder's codes fit. Eyelashes, tear fluid
and the other transparent shells around the eye are dropped because they would hide it. The UV tiles of the
materials are packed into one square with the face in the middle, so the layout is left-right symmetric.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from deca_model.heads.contour import Skin, contour
from deca_model.heads.face_region import region_by_landmarks
from deca_model.heads.head import JOINTS, LEFT_EYE, PARENTS, RIGHT_EYE, HeadData
from deca_model.heads.ict_files import IctModel, read_ict
from manifests.errors import UsageError

_EYES = ("M_ScleraLeft", "M_IrisLeft", "M_ScleraRight", "M_IrisRight")
_SKIN = ("M_Face", "M_BackHead")
# The place of each kept material in the UV square: left, bottom, width, height.
_PLACES = {
    "M_Face": (0.125, 0.25, 0.75, 0.75),
    "M_BackHead": (0.0, 0.0, 0.25, 0.25),
    "M_GumsTongue": (0.375, 0.0, 0.25, 0.25),
    "M_Teeth": (0.75, 0.0, 0.25, 0.25),
    "M_ScleraLeft": (0.875, 0.875, 0.125, 0.125),
    "M_IrisLeft": (0.875, 0.75, 0.125, 0.125),
    "M_ScleraRight": (0.0, 0.875, 0.125, 0.125),
    "M_IrisRight": (0.0, 0.75, 0.125, 0.125),
}
_JAW_SHAPES = ("jawOpen", "jawLeft", "jawRight")
_CHIN, _EARS = 8, (0, 16)  # landmarks
# Rows of the jaw's rotation entries (2, 1) and (0, 2): nine entries per joint, first neck, then jaw.
_SINE_ABOUT_X, _SINE_ABOUT_Y = 9 + 7, 9 + 2
_SHAPE_MODES, _EXPRESSION_MODES = 100, 50


def load_ict_head(path: Path, cache: Path | None = None) -> HeadData:
    """Read ICT-FaceKit's files.

    Args:
        path: Its ``FaceXModel`` folder, or the folder that holds it.
        cache: A folder to cache the arrays of its many files in.

    Raises:
        UsageError: The folder or one of its files is missing, damaged, or lacks what a head needs.
    """
    model = read_ict(path, cache)
    missing = [name for name in _JAW_SHAPES if name not in model.expression_names]
    lacking = missing + [name for name in (*_SKIN, *_EYES) if name not in model.materials]
    if lacking:
        raise UsageError(f"the ICT-FaceKit model {path} lacks {', '.join(lacking)}: use the published files")
    model = _without_shells(model)
    template = model.neutral - model.neutral[model.landmarks[list(_EARS)]].mean(axis=0) * [0, 1, 1]
    landmark_faces, landmark_places = _on_triangles(model)
    region = region_by_landmarks(template, model.faces, template[model.landmarks])
    region &= np.isin(model.materials, ["M_Face", *_EYES])
    weights, regressor = _rig(model, template)
    eyes = (regressor @ template)[[LEFT_EYE, RIGHT_EYE]].mean(axis=0)
    skin = np.isin(model.materials, _SKIN)
    moving = contour(Skin(template, model.faces, skin, region & (model.materials == "M_Face"), eyes))
    uv, uv_faces = _pack_uv(model)
    # no modes that a joint drives
    driven = [name in _JAW_SHAPES or name.startswith("eyeLook") for name in model.expression_names]
    modes = np.flatnonzero(~np.array(driven))
    return HeadData(
        name="ict",
        template=template.astype(np.float32),
        shape_basis=_basis(model.identity, _SHAPE_MODES),
        expression_basis=_basis(model.expression[modes], _EXPRESSION_MODES),
        pose_basis=_jaw_correctives(model, template),
        joint_regressor=regressor.astype(np.float32),
        parents=PARENTS,
        weights=weights.astype(np.float32),
        faces=model.faces,
        uv=uv,
        uv_faces=uv_faces,
        static_faces=landmark_faces[17:],
        static_barycentric=landmark_places[17:],
        contour_faces=moving[0],
        contour_barycentric=moving[1].astype(np.float32),
        full_faces=landmark_faces,
        full_barycentric=landmark_places,
        face_region=region,
        expression_names=tuple(model.expression_names[modes].tolist()),
    )


def _without_shells(model: IctModel) -> IctModel:
    """Keep only the triangles of the materials in ``_PLACES``, and the vertices that they use."""
    kept = np.isin(model.materials, list(_PLACES))
    used = np.unique(model.faces[kept])
    number = np.full(len(model.neutral), -1)
    number[used] = np.arange(len(used))
    return replace(
        model,
        neutral=model.neutral[used],
        faces=number[model.faces[kept]],
        uv_faces=model.uv_faces[kept],
        materials=model.materials[kept],
        identity=model.identity[:, used],
        expression=model.expression[:, used],
        landmarks=number[model.landmarks],
    )


def _on_triangles(model: IctModel) -> tuple[np.ndarray, np.ndarray]:
    """The landmark vertices as (68,) triangles and (68, 3) barycentric coordinates."""
    faces, places = [], []
    skin = np.flatnonzero(model.materials == "M_Face")
    for vertex in model.landmarks:
        where = np.argwhere(model.faces[skin] == vertex)
        if not len(where):
            raise UsageError(
                "a landmark of the ICT-FaceKit model is not on its face: use the published files"
            )
        faces.append(skin[where[0, 0]])
        places.append(np.eye(3, dtype=np.float32)[where[0, 1]])
    return np.array(faces), np.stack(places)


def _rig(model: IctModel, template: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Skinning weights (V, 5) and joint regressor (5, V)."""
    weights = np.zeros((len(template), JOINTS))
    weights[:, 0] = 1
    regressor = np.zeros((JOINTS, len(template)))
    regressor[:3, model.landmarks[list(_EARS)]] = 0.5
    ball = np.unique(model.faces[np.isin(model.materials, _EYES)])
    for joint, side in ((LEFT_EYE, template[ball, 0] > 0), (RIGHT_EYE, template[ball, 0] <= 0)):
        vertices = ball[side]
        weights[vertices] = np.eye(JOINTS)[joint]
        regressor[joint, vertices] = 1 / len(vertices)
    return weights, regressor


def _basis(offsets: np.ndarray, modes: int) -> np.ndarray:  # (N, V, 3) -> (V, 3, max(N, modes))
    """Move the mode axis last and pad with zero modes, so that the encoder's codes fit every head."""
    empty = np.zeros((max(0, modes - len(offsets)), *offsets.shape[1:]), np.float32)
    return np.moveaxis(np.concatenate([offsets, empty]), 0, -1)


def _jaw_correctives(model: IctModel, template: np.ndarray) -> np.ndarray:  # (36, V * 3)
    """Jaw shapes that grow with the sine of the jaw's rotation about x (open) and y (sideways)."""
    shapes = dict(zip(model.expression_names.tolist(), model.expression, strict=True))
    chin = model.landmarks[_CHIN]
    hinge = template[model.landmarks[list(_EARS)]].mean(axis=0)
    before = template[chin] - hinge
    result = np.zeros((9 * (JOINTS - 1), template.size), np.float32)
    opened = _sine(before, shapes["jawOpen"][chin], (1, 2))
    result[_SINE_ABOUT_X] = shapes["jawOpen"].ravel() / opened
    sideways = (shapes["jawLeft"] - shapes["jawRight"]) / 2
    result[_SINE_ABOUT_Y] = sideways.ravel() / _sine(before, sideways[chin], (2, 0))
    return result


def _sine(before: np.ndarray, offset: np.ndarray, plane: tuple[int, int]) -> float:
    """Sine of the angle between a point (relative to its hinge) and the moved point, in a plane."""
    a, b = before[list(plane)], (before + offset)[list(plane)]
    return float((a[0] * b[1] - a[1] * b[0]) / (np.linalg.norm(a) * np.linalg.norm(b)))


def _pack_uv(model: IctModel) -> tuple[np.ndarray, np.ndarray]:
    """Scale each material's unit tile into its place; a UV vertex that two materials use is duplicated."""
    packed, corners = [], np.empty_like(model.uv_faces)
    start = 0
    for material, (left, bottom, width, height) in _PLACES.items():
        chosen = model.materials == material
        used, index = np.unique(model.uv_faces[chosen], return_inverse=True)
        tile = model.uv[used] - np.floor(np.median(model.uv[used], axis=0)) if len(used) else model.uv[used]
        packed.append(tile.clip(0, 1) * [width, height] + [left, bottom])
        corners[chosen] = index.reshape(-1, 3) + start
        start += len(used)
    return np.concatenate(packed).astype(np.float32), corners
