"""One page that shows reconstructed heads in 3-D; it holds data, scripts and three.js, and loads nothing.

The page computes the head as ``heads.head`` does: expression modes, pose correctives, skinning by neck and
jaw. three.js (MIT) is that in the ``trimesh`` package, which keeps it for its own viewer.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import struct
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import cv2
import numpy as np
import torch

from deca_model.heads import Head, load_head
from deca_model.heads.head import JAW, JOINTS, NECK
from deca_model.networks.codes import Codes
from deca_model.networks.pictures import as_uint8
from deca_model.use.detail_maps import DISPLACEMENT_STEP
from deca_model.use.head_views import grey_map
from deca_model.use.photo_texture import at_vertices
from deca_model.use.reconstruction_files import read_codes, read_eyes, read_head_name
from manifests.errors import UsageError, WorkFailed
from manifests.files import read_file, write_atomic
from manifests.images.c_warnings import decode_quietly
from manifests.images.png_files import SIGNATURE, is_animated, is_too_long
from manifests.machine_faults import stop_at_machine_fault

MODES = 10
"""Expression modes with a slider of their own."""
MOST = 24
"""Faces on one page."""
_SCRIPTS = ("head.js", "view.js")
_QUALITY = 92  # of the textures as JPEG
_SIDE = 8192  # of a picture, in pixels
_LIMIT = 65535  # vertices that the page's indices can name


@dataclass(frozen=True)
class SavedFace:
    """A face that ``save_reconstruction`` wrote."""

    name: str
    place: Path  # the files' path without an ending
    codes: Codes
    eyes: torch.Tensor  # (1, 6)
    head: str
    root: Path  # the folder of results, without links; nothing outside it is read


def saved_faces(folder: Path, only: str = "*") -> list[SavedFace]:
    """The faces in a folder of results, by name; those of one head only.

    Args:
        folder: what `deca fit` or `deca reconstruct` wrote.
        only: a pattern, as of a shell, that the names must fit.

    Raises:
        UsageError: there is none, no name fits, they have different heads, a file is damaged, or leads out of
            the folder.
    """
    if not folder.is_dir():
        raise UsageError(
            f"{folder}: there is no such folder; name one that `deca fit` or `deca reconstruct` wrote."
        )
    found, root = [], folder.resolve()
    for path in sorted(folder.rglob("*.npz")):
        place = path.with_suffix("")
        if not place.with_name(f"{place.name}_texture.png").is_file():
            continue  # such as the codes of a video's frames
        _check_inside(path, root)
        if head := read_head_name(path):
            name = place.relative_to(folder).as_posix()
            found.append(SavedFace(name, place, read_codes(path), read_eyes(path), head, root))
    if not found:
        raise UsageError(
            f"{folder}: it holds no reconstructed face; make one with `deca fit` or `deca reconstruct`."
        )
    names = ", ".join(face.name for face in found[:5])
    found = [face for face in found if fnmatchcase(face.name, only)]
    if not found:
        raise UsageError(f"--only {only}: no face in {folder} has such a name; the first ones: {names}.")
    heads = sorted({face.head for face in found})
    if len(heads) > 1:
        raise UsageError(
            f"{folder}: its faces have different heads ({', '.join(heads)}); give a folder of one."
        )
    return found


def write_viewer(faces: Sequence[SavedFace], out: Path, head_path: Path | None = None) -> int:
    """Write the page with at most ``MOST`` faces; returns its size in bytes.

    Args:
        faces: from ``saved_faces``, at least one.
        out: the page, ending in .html.
        head_path: the file of a head that is not the embedded one.

    Raises:
        UsageError: the head's file is missing, or a face's codes do not fit the head.
    """
    if faces[0].head != "open" and head_path is None:
        raise UsageError(
            f"{faces[0].place}.npz: this face has the {faces[0].head} head; give the file or folder of that "
            "head with --head-path."
        )
    head = load_head(faces[0].head, head_path, teeth=True)
    if max(len(head.template), len(head.uv)) > _LIMIT:
        raise UsageError(f"the {head.name} head has more vertices than the page can show ({_LIMIT}).")
    data = {"head": _head_data(head), "faces": [_face_data(head, face) for face in faces[:MOST]]}
    page = _assemble(data).encode()
    write_atomic(out, page)
    return len(page)


def three_js() -> str:
    """The text of three.js, of the viewer in the trimesh package.

    Raises:
        WorkFailed: the package has another viewer than expected.
    """
    end = 'Object.defineProperty(t,"__esModule",{value:!0})}));'
    try:
        packed = (resources.files("trimesh") / "resources/templates/viewer.zip").read_bytes()
        with zipfile.ZipFile(io.BytesIO(packed)) as file:
            page = file.read("viewer.html.template").decode()
        start = page.index("<script>") + len("<script>")
        return page[start : page.index(end) + len(end)]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, ModuleNotFoundError) as error:
        raise WorkFailed(
            f"three.js is not in the trimesh package ({error}); pip install 'deca-data[train]' again."
        ) from error


def _head_data(head: Head) -> dict[str, Any]:
    modes = head.expression_basis[:MODES].view(-1, len(head.template), 3)
    correctives = torch.zeros(2 * 9, head.template.numel())
    if head.pose_basis is not None:
        rows = [9 * (joint - 1) + k for joint in (NECK, JAW) for k in range(9)]
        correctives = head.pose_basis[rows]
    middle = (head.template[:, 1].amin() + head.template[:, 1].amax()) / 2
    names = head.expression_names[:MODES] or tuple(f"mode {n + 1}" for n in range(len(modes)))
    return {
        "names": list(names),
        "modes": [_small(mode) for mode in modes],
        "modeJoints": [_floats(head.joint_regressor @ mode) for mode in modes],
        "correctives": [_small(each) for each in correctives],
        "weights": _floats(head.weights),
        "faces": _indices(head.faces),
        "uv": _floats(head.uv),
        "uvFaces": _indices(head.uv_faces),
        "middle": -float(middle),
        "grey": _picture(as_uint8(grey_map(head))[0]),
        "joints": JOINTS,
    }


def _face_data(head: Head, face: SavedFace) -> dict[str, Any]:
    codes = face.codes
    try:
        base = head.neutral(codes.shape, torch.zeros(1, 1))[0]
        own = head.neutral(codes.shape, codes.expression)[0] - base
    except ValueError as error:
        raise UsageError(f"{face.place}.npz: {error}.") from error
    told = {
        "name": face.name,
        "base": _floats(base),
        "own": _floats(own),
        "joints": _floats(head.joint_regressor @ base),
        "ownJoints": _floats(head.joint_regressor @ own),
        "jaw": codes.pose[0, 3:].tolist(),
        "eyes": face.eyes[0].tolist(),
        "texture": _picture(_read(face, "_texture.png")),
        "normalMap": None,
        "relief": None,
    }
    if face.place.with_name(f"{face.place.name}_displacement.png").is_file():
        steps = _read(face, "_displacement.png", np.uint16).astype(np.float32)
        metres = torch.from_numpy((steps - 32768) * DISPLACEMENT_STEP)[None, None]
        told["relief"] = _small(at_vertices(head, metres)[0, :, 0])
        told["normalMap"] = _picture(_read(face, "_normals.png"))
    return told


def _read(face: SavedFace, ending: str, kind: type[np.generic] = np.uint8) -> np.ndarray:
    """One of the face's pictures: (H, W, 3) uint8 RGB, or (H, W) uint16."""
    path = face.place.with_name(face.place.name + ending)
    _check_inside(path, face.root)
    try:
        data = read_file(path)
        sides = struct.unpack(">II", data[16:24])
        if not data.startswith(SIGNATURE) or max(sides) > _SIDE or is_animated(data) or is_too_long(data):
            raise ValueError("no PNG of this size")
        how = cv2.IMREAD_COLOR if kind == np.uint8 else cv2.IMREAD_UNCHANGED
        image = decode_quietly(lambda: cv2.imdecode(np.frombuffer(data, np.uint8), how))
    except (OSError, ValueError, struct.error, cv2.error) as error:
        stop_at_machine_fault(error)
        image = None
    if image is None or image.dtype != kind or image.ndim != (3 if kind == np.uint8 else 2):
        raise UsageError(f"{path}: this picture cannot be read; make it again with `deca reconstruct`.")
    return image[..., ::-1] if image.ndim == 3 else image


def _check_inside(path: Path, root: Path) -> None:
    if not path.resolve().is_relative_to(root):
        raise UsageError(f"{path}: this link leads out of the folder; put the file itself there.")


def _picture(image: np.ndarray) -> str:  # (H, W, 3) uint8 RGB
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def _floats(values: torch.Tensor) -> dict[str, Any]:
    return _entry("f4", values.detach().cpu().numpy().astype("<f4"))


def _indices(values: torch.Tensor) -> dict[str, Any]:
    return _entry("u2", values.cpu().numpy().astype("<u2"))


def _small(values: torch.Tensor) -> dict[str, Any]:
    """Offsets as 16-bit numbers: exact to 1 / 65,534 of the largest."""
    array = values.detach().cpu().numpy()
    scale = float(np.abs(array).max()) / 32767 or 1.0
    return _entry("i2", np.round(array / scale).astype("<i2")) | {"scale": scale}


def _entry(kind: str, array: np.ndarray) -> dict[str, Any]:
    return {"kind": kind, "data": base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()}


def _assemble(data: dict[str, Any]) -> str:
    style = _packaged("style.css")
    script = "\n".join([three_js(), *map(_packaged, _SCRIPTS)])
    policy = (
        f"default-src 'none'; img-src data: blob:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    safe = text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    return Template(_packaged("page.html")).substitute(POLICY=policy, STYLE=style, SCRIPT=script, DATA=safe)


def _packaged(name: str) -> str:
    return (resources.files("deca_model.use") / "web" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
