"""Load FLAME from the user's own licensed files.

One folder holds the model (``generic_model.pkl`` of FLAME 2020, or the ``.pkl`` or ``.npz`` of another FLAME)
and two files that DECA publishes: the landmark embedding (``landmark_embedding.npy``) and the UV layout
(``head_template.obj``). DECA's UV face mask is optional. Source of the format: Li et al. 2017 and the
published files.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from deca_model.files.obj import ObjMesh, read_obj
from deca_model.files.restricted_pickle import as_array, load_restricted
from deca_model.heads.face_region import region_by_landmarks
from deca_model.heads.head import HeadData
from manifests.errors import UsageError
from manifests.files import require_file
from manifests.images.decode import Unreadable, decode_as_stored, read_bytes

EMBEDDING_FILE = "landmark_embedding.npy"
TEMPLATE_FILE = "head_template.obj"
MASK_FILES = ("uv_face_eye_mask.png", "uv_face_mask.png")
_EXPRESSION_START = 300  # the file's shape basis holds 300 identity modes, then 100 expression modes
_KEYS = ("v_template", "shapedirs", "posedirs", "J_regressor", "kintree_table", "weights", "f")


def load_flame_head(path: Path) -> HeadData:
    """Read FLAME's files, with the first 100 identity and 50 expression modes, as DECA does.

    Args:
        path: The model's ``.pkl`` or ``.npz``, or its folder; the other files are in the same folder.

    Raises:
        UsageError: A file is missing or has the wrong content.
    """
    model_path = _find_model(path)
    folder = model_path.parent
    arrays = _read_model(model_path)
    mesh = _read_template(folder / TEMPLATE_FILE, arrays["f"], model_path)
    embedding = _read_embedding(folder / EMBEDDING_FILE, len(arrays["f"]))
    basis = arrays["shapedirs"].astype(np.float32)
    parents = arrays["kintree_table"][0].astype(np.int64)
    parents[0] = -1  # the file has 2^32 - 1
    vertices = len(arrays["v_template"])
    return HeadData(
        name="flame",
        template=arrays["v_template"].astype(np.float32),
        shape_basis=basis[..., :100],
        expression_basis=basis[..., _EXPRESSION_START : _EXPRESSION_START + 50],
        pose_basis=np.ascontiguousarray(arrays["posedirs"].reshape(vertices * 3, -1).T, dtype=np.float32),
        joint_regressor=arrays["J_regressor"].astype(np.float32),
        parents=parents,
        weights=arrays["weights"].astype(np.float32),
        faces=arrays["f"].astype(np.int64),
        uv=mesh.uv,
        uv_faces=mesh.uv_faces,
        face_region=_face_region(folder, mesh, arrays, embedding),
        **embedding,
        expression_names=(),
        tooth_faces=0,
    )


def _find_model(path: Path) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise UsageError(f"the FLAME model {path} does not exist: give the .pkl or .npz file or its folder")
    usual = path / "generic_model.pkl"
    found = [usual] if usual.is_file() else sorted(path.glob("*.pkl"))
    found = found or [each for each in sorted(path.glob("*.npz")) if _is_model(each)]  # not an albedo file
    if len(found) != 1:
        what = "no .pkl file and no .npz model" if not found else f"{len(found)} {found[0].suffix} files"
        raise UsageError(f"{path} holds {what}: give the path of FLAME's model file")
    return found[0]


def _is_model(path: Path) -> bool:
    return zipfile.is_zipfile(path) and "v_template.npy" in zipfile.ZipFile(path).namelist()


def _read_model(path: Path) -> dict[str, np.ndarray]:
    """The model's arrays; their shapes and indices are checked."""
    raw = _read_npz(path) if path.suffix == ".npz" else load_restricted(path)
    if not isinstance(raw, dict):
        raise UsageError(f"{path} is not FLAME's model: it holds no named arrays")
    missing = [key for key in _KEYS if key not in raw]
    if missing:
        raise UsageError(f"{path} is not FLAME's model: it lacks {', '.join(missing)}")
    arrays = {key: as_array(raw[key], key, path) for key in _KEYS}
    count, triangles = arrays["v_template"].size // 3, arrays["f"].size // 3
    modes = arrays["shapedirs"].shape[-1] if arrays["shapedirs"].ndim else 0
    expected = {
        "v_template": (count, 3),
        "shapedirs": (count, 3, modes),
        "posedirs": (count, 3, 36),
        "J_regressor": (5, count),
        "kintree_table": (2, 5),
        "weights": (count, 5),
        "f": (triangles, 3),
    }
    for key, shape in expected.items():
        if arrays[key].shape != shape:
            raise UsageError(
                f"'{key}' in {path} has shape {arrays[key].shape}, not {shape}: use FLAME 2020 or 2023"
            )
    if modes <= _EXPRESSION_START:
        raise UsageError(f"'shapedirs' in {path} has {modes} modes, not 400: use FLAME 2020 or 2023")
    _check_indices("f", arrays["f"], count, path)
    for joint, parent in enumerate(arrays["kintree_table"][0, 1:], 1):
        _check_indices("kintree_table", parent, joint, path)  # parents come first
    return arrays


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    """The model's arrays; objects are not read."""
    try:
        with np.load(require_file(path), allow_pickle=False) as archive:
            return {key: archive[key] for key in _KEYS if key in archive}
    except Exception as error:  # a damaged archive can raise almost any exception
        raise UsageError(
            f"{path} is not an intact .npz of plain arrays ({type(error).__name__}): download the file again"
        ) from error


def _check_indices(name: str, indices: np.ndarray, count: int, path: Path) -> None:
    if indices.size and not (indices.min() >= 0 and indices.max() < count):
        raise UsageError(f"'{name}' in {path} has numbers outside 0 to {count - 1}: download the file again")


def _read_template(path: Path, faces: np.ndarray, model: Path) -> ObjMesh:
    if not path.is_file():
        raise UsageError(f"FLAME's UV layout {path} is missing: put {TEMPLATE_FILE} beside {model.name}")
    mesh = read_obj(path)
    if mesh.faces.shape != faces.shape or not np.array_equal(mesh.faces, faces) or not len(mesh.uv_faces):
        raise UsageError(
            f"{path} has other triangles than {model}, or no texture coordinates: use DECA's file"
        )
    return mesh


def _read_embedding(path: Path, triangles: int) -> dict[str, np.ndarray]:
    """The landmark arrays under HeadData's names."""
    if not path.is_file():
        raise UsageError(
            f"FLAME's landmark embedding {path} is missing: put {EMBEDDING_FILE} beside the model"
        )
    raw = load_restricted(path)
    names = {"static": "static", "dynamic": "contour", "full": "full"}
    shapes = {"static": (51,), "dynamic": (79, 17), "full": (68,)}
    result = {}
    for theirs, ours in names.items():
        for key, kind, tail in (("lmk_faces_idx", "faces", ()), ("lmk_bary_coords", "barycentric", (3,))):
            name = f"{theirs}_{key}"
            if not isinstance(raw, dict) or name not in raw:
                raise UsageError(f"{path} is not FLAME's landmark embedding: it lacks '{name}'")
            array = as_array(raw[name], name, path)
            shape = shapes[theirs] + tail
            if array.size != np.prod(shape):
                raise UsageError(f"'{name}' in {path} has shape {array.shape}, not {shape}: use DECA's file")
            if kind == "faces":
                _check_indices(name, array, triangles, path)
            result[f"{ours}_{kind}"] = array.reshape(shape).astype(np.float32 if tail else np.int64)
    return result


def _read_mask(path: Path) -> np.ndarray | None:  # (H, W, 3) uint8
    try:
        return decode_as_stored(read_bytes(path))
    except Unreadable:
        return None


def _face_region(
    folder: Path, mesh: ObjMesh, arrays: dict[str, np.ndarray], embedding: dict[str, np.ndarray]
) -> np.ndarray:
    """Triangles of the face: from DECA's UV mask if the file exists, else from the landmarks."""
    for name in MASK_FILES:
        mask = _read_mask(folder / name)
        if mask is not None:
            centres = mesh.uv[mesh.uv_faces].mean(axis=1)
            column = np.clip(centres[:, 0] * mask.shape[1], 0, mask.shape[1] - 1).astype(int)
            row = np.clip((1 - centres[:, 1]) * mask.shape[0], 0, mask.shape[0] - 1).astype(int)
            return mask[row, column].max(axis=1) > 127
    template, faces = arrays["v_template"], arrays["f"].astype(np.int64)
    corners = template[faces[embedding["full_faces"]]]
    landmarks = (corners * embedding["full_barycentric"][..., None]).sum(axis=1)
    return region_by_landmarks(template, faces, landmarks)
