"""Build step 2: shape changes and facial actions in; mean face, identity and expression modes out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import eigh

from deca_model.heads.building.mesh import EYE_HELPERS, EYES_AT, Cut, Source

SHAPE_MODES = 100
BATCH = 100
CHIN_HEIGHT = -0.1
"""Metres; faces are aligned by their vertices above this height, that is without the neck."""
SPREAD = 0.27
"""Standard deviation of a local shape change; 1 is the artists' full change, which is a caricature."""
SIDE_SPREAD = 0.2
"""Spread of the part of a paired change that is drawn for each side alone, relative to the common part."""
REGIONS = ("cheek", "chin", "ear", "eyebrows", "eye", "forehead", "head", "mouth", "neck", "nose")
WEAKER = {
    "ear": 0.7, "ear-shape": 0.3, "epicanthus": 0.4, "eyefold": 0.6, "forehead": 0.6, "head-": 0.6,
    "lip-ext": 0.4, "lip-middle": 0.4, "mouth": 0.6, "mouth-angles": 0.3, "neck": 0.3, "nose-hump": 0.7,
    "nostrils": 0.6, "trans-out": 0.3,
}  # fmt: skip
"""Factors on SPREAD for changes that would look unnatural, or act as a shift or an expression."""
RIGID = ("head-trans", "head-angle", "neck-trans")
"""Changes that are not used because they move the whole head, as the pose does."""

PAIRED = (
    "mouthSmile", "eyeBlink", "browDown", "mouthFrown", "mouthStretch", "mouthUpperUp", "mouthLowerDown",
    "browOuterUp", "eyeWide", "eyeSquint", "cheekSquint", "noseSneer", "mouthPress", "mouthDimple",
    "eyeLookDown", "eyeLookUp", "eyeLookIn", "eyeLookOut",
)  # fmt: skip
"""Actions that exist once for each side."""
ORDER = (
    "mouthSmile", "eyeBlink", "browInnerUp", "browDown", "mouthPucker", "mouthFunnel", "mouthFrown",
    "mouthStretch", "mouthUpperUp", "mouthLowerDown", "browOuterUp", "eyeWide", "eyeSquint", "cheekPuff",
    "mouthSideways", "noseSneer", "cheekSquint", "mouthPress", "mouthRollLower", "mouthRollUpper",
    "mouthShrugLower", "mouthShrugUpper", "mouthClose", "mouthDimple", "jawSideways", "jawForward",
    "eyeLookDown", "eyeLookUp", "eyeLookIn", "eyeLookOut",
)  # fmt: skip
"""The first modes, most important first; the other left-right differences follow in PAIRED's order."""
STRENGTH = {"eyeBlink": 0.82, "mouthSmile": 0.75, "mouthClose": 0.5}
"""Factors for actions that are too strong in full: upper lids would cover lower ones, cheeks would fold."""


def draw_faces(
    source: Source, cut: Cut, bone_names: Sequence[str], count: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw random people (ethnicity, age, gender, build, local changes) and align their heads rigidly.

    Returns:
        (count, V, 3) float32 vertices, and (count, J, 3) starts of the named bones.
    """
    coefficients = _coefficients(source, count, np.random.default_rng(seed))
    active = np.flatnonzero(np.abs(coefficients).max(axis=0) > 0)
    used = np.concatenate([cut.body, *map(list, EYE_HELPERS.values())])
    shapes = source.shapes[active][:, used].reshape(len(active), -1)
    bones = [source.model.bone_labels.index(name) for name in bone_names]
    bone_start, bone_shapes = source.bones[bones], source.bone_shapes[active][:, bones]

    def people(part: np.ndarray) -> np.ndarray:
        points = np.zeros((len(part), len(source.template), 3), np.float32)
        points[:, used] = source.template[used] + (part.astype(np.float32) @ shapes).reshape(len(part), -1, 3)
        return cut.vertices(points)

    vertices, starts = [], []
    reference = people(coefficients[:BATCH, active]).mean(axis=0)
    reference += EYES_AT - reference[np.concatenate(list(cut.eyeball.values()))].mean(axis=0)
    skull = reference[:, 1] > CHIN_HEIGHT
    for start in range(0, count, BATCH):
        part = coefficients[start : start + BATCH, active]
        heads = people(part)
        joints = bone_start + np.einsum("nk,kjc->njc", part, bone_shapes)
        rotation, shift = _align(heads, reference, skull)
        vertices.append((heads @ rotation + shift).astype(np.float32))
        starts.append(joints @ rotation + shift)
    return np.concatenate(vertices), np.concatenate(starts)


def identity_modes(faces: np.ndarray, cut: Cut, importance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean face and principal components of (n, V, 3) aligned random faces.

    Every face is used together with its mirror image. So the mean is symmetric and each mode is symmetric or
    antisymmetric: the codes of a mirrored face differ only in signs. ``importance`` (V,) is the weight of a
    vertex's squared error.

    Returns:
        (V, 3) mean and (V, 3, 100) modes, scaled so that the faces' codes have unit variance.
    """
    count = len(faces)
    mirrored = mirror(faces, cut)
    even = (0.5 * (faces + mirrored)).reshape(count, -1)
    mean = even.mean(axis=0, dtype=np.float64)
    odd = (0.5 * (faces - mirrored)).reshape(count, -1)
    weight = np.repeat(np.sqrt(importance), 3).astype(np.float32)
    modes, variances = [], []
    for part in ((even - mean).astype(np.float32), odd):
        weighted = part * weight
        gram = (weighted @ weighted.T).astype(np.float64) / count
        values, vectors = eigh(gram, subset_by_index=[count - SHAPE_MODES, count - 1])
        # With unit-variance scores, regression of the faces on the scores gives the scaled modes.
        modes.append((part.T @ vectors.astype(np.float32) / np.sqrt(count)).T)
        variances.append(values)
    order = np.argsort(-np.concatenate(variances), kind="stable")[:SHAPE_MODES]
    chosen = np.concatenate(modes)[order].astype(np.float64)
    # An eigenvector's sign is arbitrary: make the largest displacement positive.
    peak = np.abs(chosen).argmax(axis=1)
    chosen *= np.sign(chosen[np.arange(len(chosen)), peak])[:, None]
    return mean.reshape(-1, 3), np.moveaxis(chosen.reshape(SHAPE_MODES, -1, 3), 0, -1)


def expression_modes(source: Source, cut: Cut) -> tuple[np.ndarray, tuple[str, ...], np.ndarray]:
    """Fifty named modes from the 52 facial actions.

    The jaw joint opens the jaw, so jaw opening is no mode; the tongue is not part of the head. A left and a
    right action become two modes: their sum (``mouthSmile``: 1 = both sides fully active) and half their
    difference (``mouthSmile:left-right``). So a symmetric movement is one number, and each mode is symmetric
    or antisymmetric. The left side alone is 0.5 of the first and 1 of the second.

    Returns:
        (V, 3, 50) modes in metres, their names, and (V, 3) the displacement of jaw opening.
    """
    labels = list(source.model.blendshape_labels)
    moves = {name: np.zeros((len(cut.mirror), 3)) for name in source.model.facial_action_labels}
    for name, move in moves.items():  # the eyeballs do not move: joints turn them
        move[: len(cut.body)] = source.shapes[labels.index(f"facial_action:{name}")][cut.body]
    modes: dict[str, np.ndarray] = {}
    for name in (*PAIRED, "mouth", "jaw"):
        left, right = moves.pop(f"{name}Left"), moves.pop(f"{name}Right")
        left = 0.5 * (left + mirror(right, cut))
        right = mirror(left, cut)
        both, difference = (
            (name, f"{name}:left-right") if name in PAIRED else (f"{name}Both", f"{name}Sideways")
        )
        modes[both] = left + right
        modes[difference] = (0.5 if name in PAIRED else 1) * (left - right)
    del moves["tongueOut"]
    single = {name: 0.5 * (move + mirror(move, cut)) for name, move in moves.items()}
    jaw_open = single.pop("jawOpen")
    # The artists' mouthClose undoes jawOpen at the lips; alone it would push the lower lip through the upper.
    # Their sum is a natural movement: the jaw opens behind closed lips.
    single["mouthClose"] += jaw_open
    modes |= single
    names = (*ORDER, *(name for name in modes if name not in ORDER))
    scaled = [modes[name] * STRENGTH.get(name.split(":")[0], 1.0) for name in names]
    return np.stack(scaled, axis=-1), names, jaw_open


def mirror(points: np.ndarray, cut: Cut) -> np.ndarray:
    """(..., V, 3) vertices or displacements of the mirrored head."""
    return points[..., cut.mirror, :] * np.array([-1, 1, 1], points.dtype)


def _coefficients(source: Source, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, K) weights of the shape changes of random people."""
    import torch

    def around(middle: float, spread: float) -> np.ndarray:
        return np.clip(rng.normal(middle, spread, count), 0, 1)

    # Anny's ages: 1/3 a child, 2/3 about 25 years, 1 old. Few face photos show small children.
    people = {
        "gender": rng.beta(0.6, 0.6, count),
        "age": np.where(rng.random(count) < 0.1, rng.uniform(0.33, 0.5, count), rng.uniform(0.5, 1, count)),
        "muscle": around(0.5, 0.2),
        "weight": around(0.5, 0.2),
        "height": around(0.5, 0.15),
        "proportions": around(0.5, 0.2),
    }
    people |= dict(zip(("african", "asian", "caucasian"), rng.dirichlet([0.6] * 3, count).T, strict=True))
    local: dict[str, np.ndarray] = {}
    for label in source.model.local_change_labels:
        if label.startswith("r-"):
            continue
        name = label.removeprefix("l-")
        if not name.startswith(REGIONS) or name.startswith(RIGID):
            continue
        spread = SPREAD * min([value for key, value in WEAKER.items() if key in name], default=1.0)
        both = rng.normal(0, spread, count)
        local[label] = both
        if label.startswith("l-"):
            for side in ("l-", "r-"):
                local[side + name] = both + rng.normal(0, SIDE_SPREAD * spread, count)
    limited = {label: torch.from_numpy(np.clip(value, -0.9, 0.9)) for label, value in local.items()}
    numbers = {label: torch.from_numpy(value) for label, value in people.items()}
    return source.model.get_phenotype_blendshape_coefficients(**numbers, local_changes=limited).numpy()


def _align(heads: np.ndarray, reference: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotations (n, 3, 3) and shifts (n, 1, 3) that align row-vector heads with the reference (Kabsch)."""
    middle, target = heads[:, chosen].mean(axis=1, keepdims=True), reference[chosen].mean(axis=0)
    covariance = np.einsum("nvi,vj->nij", heads[:, chosen] - middle, reference[chosen] - target)
    u, _, vt = np.linalg.svd(covariance)
    u[:, :, 2] *= np.linalg.det(u @ vt)[:, None]
    rotation = u @ vt
    return rotation, target - middle @ rotation
