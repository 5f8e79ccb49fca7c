"""The NoW benchmark: neutral heads from photos, compared with scans of the same persons.

Sanyal et al. 2019 ("Learning to regress 3D face shape and expression from an image without 3D supervision").
The folder has the published layout. ``imagepathsvalidation.txt`` has lines ``SUBJECT/CHALLENGE/PHOTO.jpg``.
In ``final_release_version``, ``iphone_pictures`` has the photos and ``detected_face`` their face boxes. For
each subject, ``scans`` has an OBJ and ``scans_lmks_onlypp`` a MeshLab file of seven points.

A photo is read and cropped as by DECA's released NoW loader: the pixels as they are stored, without the EXIF
orientation, and a square around the benchmark's face box, 1.6 times the mean of its sides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
import torch

from deca_model.evaluation.scan_errors import scan_errors
from deca_model.files.obj import read_obj_vertices
from deca_model.files.restricted_pickle import load_restricted
from deca_model.networks.codes import Codes
from deca_model.networks.model import Deca
from deca_model.use.photo_batches import reconstruct_faces
from manifests.errors import UsageError
from manifests.files import atomic_path
from manifests.images.decode import Unreadable, decode_as_stored, read_bytes

LIST_FILE = "imagepathsvalidation.txt"
NOW_LANDMARKS = (36, 39, 42, 45, 33, 48, 54)
"""iBUG numbers of NoW's seven points: the eyes' corners, the nose's base, the mouth's corners."""
PUBLISHED = {"median_mm": 1.09, "mean_mm": 1.38, "std_mm": 1.18}
"""DECA's figures in millimetres on the test set (Feng et al. 2021, table 1), not on the validation set."""
CROP_SCALE = 1.6  # side of a crop over the mean of the box's sides, in official DECA too
_REACH = 1.4  # radius of the measured ball, over the mean of the eyes' distance and the nose's length
_RISE = 0.3  # where the ball's centre is: 0 is the nose's base, 1 is between the eyes


class NowPhoto(NamedTuple):
    """One photo of the benchmark and the scan of its subject."""

    name: str  # SUBJECT/CHALLENGE/PHOTO, without the file's ending
    path: Path
    box: tuple[float, float, float, float]  # xyxy, pixels
    scan: Path
    points: Path


class NowFace(NamedTuple):
    """A decoded photo of the benchmark."""

    photo: NowPhoto
    image: np.ndarray  # (H, W, 3) uint8 RGB
    box: np.ndarray  # (4,) xyxy, pixels
    landmarks: None = None  # the crop is of the box


def list_now_photos(folder: Path) -> list[NowPhoto]:
    """The photos of the validation set.

    Raises:
        UsageError: the folder does not have NoW's layout, or a file of its list is missing.
    """
    listing = folder / LIST_FILE
    if not listing.is_file():
        raise UsageError(f"{folder}: there is no {LIST_FILE} in it; give NoW's folder.")
    release = folder / "final_release_version"
    photos = []
    for line in filter(None, map(str.strip, listing.read_text(encoding="utf-8").splitlines())):
        path = release / "iphone_pictures" / line
        subject = line.split("/")[0]
        if not path.is_file():
            raise UsageError(f"{listing} names {line}, but {path} is missing; unpack NoW again.")
        scan = _only(folder / "scans" / subject, "*.obj")
        points = _only(folder / "scans_lmks_onlypp" / subject, "*.pp")
        box = _box((release / "detected_face" / line).with_suffix(".npy"))
        photos.append(NowPhoto(line.rsplit(".", 1)[0], path, box, scan, points))
    if not photos:
        raise UsageError(f"{listing}: it names no photo; unpack NoW again.")
    return photos


def read_now_faces(photos: Iterable[NowPhoto]) -> Iterator[NowFace]:
    """The photos with their pixels.

    Raises:
        UsageError: a photo cannot be read.
    """
    for photo in photos:
        try:
            image = decode_as_stored(read_bytes(photo.path))
        except Unreadable as error:
            raise UsageError(
                f"{photo.path}: this photo cannot be read ({error}); unpack NoW again."
            ) from error
        yield NowFace(photo, image, np.array(photo.box))


def measure_scan_errors(
    model: Deca, size: int, photos: Iterable[NowPhoto]
) -> Iterator[tuple[str, np.ndarray]]:
    """The name and the scan errors (millimetres) of each photo.

    Args:
        model: in evaluation mode.
        size: side of its crops in pixels.
        photos: the benchmark's photos.
    """
    triangles = model.head.faces.cpu().numpy()
    for batch, found in reconstruct_faces(model, size, read_now_faces(photos), CROP_SCALE):
        vertices, landmarks = neutral_heads(model, found.posed.codes)
        for n, face in enumerate(batch):
            points = read_points(face.photo.points)
            scan = cut_scan(read_obj_vertices(face.photo.scan).astype(np.float64), points)
            yield face.photo.name, scan_errors(vertices[n], triangles, landmarks[n], scan, points)


def save_errors(path: Path, errors: dict[str, np.ndarray]) -> None:
    """Write the distances of all scan vertices, one array per photo."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **errors)  # type: ignore[arg-type]


def summarise_by_challenge(errors: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """The benchmark's figures for each challenge, and over all photos as ``all``."""
    challenges = sorted({name.split("/")[1] for name in errors if name.count("/") >= 2})
    parts = {each: {n: e for n, e in errors.items() if n.split("/")[1] == each} for each in challenges}
    return {name: now_figures(part) for name, part in {**parts, "all": errors}.items()}


def now_figures(errors: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Median, mean and standard deviation over all scan vertices of all faces, as in NoW's table."""
    everything = np.concatenate(list(errors.values()))
    return {
        "median_mm": float(np.median(everything)),
        "mean_mm": float(everything.mean()),
        "std_mm": float(everything.std()),
        "faces": len(errors),
    }


@torch.no_grad()
def neutral_heads(model: Deca, codes: Codes) -> tuple[np.ndarray, np.ndarray]:  # (B, V, 3), (B, 7, 3)
    """Vertices and NoW's landmarks of heads, with neutral expression and closed jaw, in metres."""
    output = model.head(codes.shape, torch.zeros_like(codes.expression), torch.zeros_like(codes.pose))
    landmarks = output.landmarks_3d[:, list(NOW_LANDMARKS)]
    return output.vertices.double().cpu().numpy(), landmarks.double().cpu().numpy()


def cut_scan(scan: np.ndarray, points: np.ndarray) -> np.ndarray:  # (S, 3), (7, 3) -> (<= S, 3)
    """The scan's vertices in the ball around the face where the benchmark measures."""
    between_eyes = (points[1] + points[2]) / 2
    middle = points[4] + _RISE * (between_eyes - points[4])
    eyes, nose = np.linalg.norm(points[0] - points[3]), np.linalg.norm(between_eyes - points[4])
    return scan[np.linalg.norm(scan - middle, axis=1) <= _REACH * (eyes + nose) / 2]


def read_points(path: Path) -> np.ndarray:  # (7, 3) in NOW_LANDMARKS' order
    """The seven points of a MeshLab file.

    Raises:
        UsageError: the file is damaged or holds another number of points.
    """
    try:
        points = [
            [float(point.attrib[axis]) for axis in "xyz"]
            for point in ElementTree.parse(path).getroot().iter("point")
        ]
    except (OSError, ElementTree.ParseError, KeyError, ValueError) as error:
        raise UsageError(f"{path}: this is not a MeshLab file of points ({error}).") from error
    if len(points) != len(NOW_LANDMARKS):
        raise UsageError(f"{path}: it holds {len(points)} points, not {len(NOW_LANDMARKS)}.")
    return np.array(points)


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if not found:
        raise UsageError(f"{folder}: there is no {pattern} in it; unpack NoW again.")
    return found[0]


def _box(path: Path) -> tuple[float, float, float, float]:
    """The benchmark's face box of a photo."""
    if not path.is_file():
        raise UsageError(f"{path}: this face box is missing; unpack NoW again.")
    sides = load_restricted(path)
    try:
        x0, y0, x1, y1 = (float(sides[side]) for side in ("left", "top", "right", "bottom"))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UsageError(f"{path}: this is not one of NoW's face boxes ({error}).") from error
    return x0, y0, x1, y1
