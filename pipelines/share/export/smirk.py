"""The folders and lists that SMIRK's loader of CelebA reads.

`CelebA/images/<file>`, with `CelebA/fan_landmarks/<stem>.npy` of (1, 68, 2) float32 and
`CelebA/mediapipe_landmarks/<stem>.npy` of (478, 3): MediaPipe's mesh, x and y in pixels, z in widths of the
image. `checkout/` is copied over a checkout of SMIRK: `datasets/identity_CelebA.txt` has a line of file and
person for each photo, and the lists of SMIRK's video datasets are empty, so that nobody needs those.

The manifest does not hold the mesh, so MediaPipe runs once more on each photo.
"""

from __future__ import annotations

import pickle
import re
import shlex
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from deca_data.backends import load_backend
from manifests.errors import UsageError
from manifests.files import inside, write_atomic
from manifests.images.kept import read_photo
from manifests.reading import Manifest
from manifests.streaming import open_stream
from pipelines.share.export.lists import ending_of, save
from pipelines.share.export.official import mark_as_ours, write_image
from pipelines.share.export.rows import THREADS, Call, Exported
from pipelines.terminal.progress_bar import progress
from pipelines.threads import in_order

COLUMNS = ("dataset", "identity", "image", "split", "box")
AHEAD = 16
"""Decoded photos in memory."""

VIDEO_LISTS = ("LRS3_lists.pkl", "MEAD_lists.pkl")
IDENTITIES = "datasets/identity_CelebA.txt"
SETTINGS = {
    **{"CelebA_path": "images", "CelebA_fan_landmarks_path": "fan_landmarks"},
    **{"CelebA_mediapipe_landmarks_path": "mediapipe_landmarks"},
    **{"FFHQ_path": "nothing", "MEAD_fan_landmarks_path": "nothing"},  # folders that it lists
}
"""Settings of SMIRK's `dataset` group, with their folders in `CelebA/`."""

_README = """Written by `deca-data export --format smirk`.

1. Copy the contents of checkout/ over your checkout of SMIRK.
2. Start its training, in that checkout, with

python train.py configs/config_pretrain.yaml {settings}

and the same settings with configs/config_train.yaml.

Validation in SMIRK is on videos of LRS3 and MEAD only. With your photos alone there is none, and photos of
the val manifest are not exported.
"""


class _Seen(NamedTuple):
    row: dict[str, Any]
    name: str
    image: np.ndarray  # (H, W, 3) uint8 RGB


def export_smirk(call: Call) -> Exported:
    """Writes folders and lists.

    Raises:
        UsageError: a manifest cannot be used or names a path outside ``out``, ``out`` holds other files,
            MediaPipe is not installed, or no photo is left.
        WorkFailed: a kept photo cannot be read any more.
    """
    landmarker = load_backend("landmarker", "mediapipe")
    for path in call.manifests:
        open_stream(path, call.roots)  # before anything is written
    mark_as_ours(call.out, _README.format(settings=shlex.join(settings(call.out))))
    folder, done, lines, counts = call.out / "CelebA", Exported(), [], {"val": 0, "lost": 0}
    for name in SETTINGS.values():
        (folder / name).mkdir(parents=True, exist_ok=True)
    for seen in _photos(call, counts):
        mesh = landmarker.mesh(seen.image, _box(seen.row))
        if mesh is None:
            counts["lost"] += 1
            continue
        stem = seen.name[: -len(".jpg")]
        save(folder / f"fan_landmarks/{stem}.npy", seen.row["landmarks"][None])
        save(folder / f"mediapipe_landmarks/{stem}.npy", _in_widths(mesh, seen.image.shape[1]))
        lines.append(f"{seen.name} {_person(seen)}\n")
    _write_checkout(call.out / "checkout", lines, done)
    for key, sentence in (("val", "of val are not exported"), ("lost", "have no mesh and are left out")):
        if counts[key]:
            done.notes.append(f"{counts[key]} photos {sentence}")
    done.notes.append(f"README.txt in {call.out} has the command that starts SMIRK's training with them")
    return done


def settings(out: Path) -> list[str]:
    """Returns SMIRK's settings, as its command line takes them, for an export in ``out``."""
    folders = [f"dataset.{name}={(out / 'CelebA' / folder).resolve()}" for name, folder in SETTINGS.items()]
    shares = {"LRS3": 0, "MEAD": 0, "FFHQ": 0, "MEAD_sides": 0, "CelebA": 1}
    return [*folders, *(f"dataset.{name}_percentage={share}" for name, share in shares.items())]


def file_name(dataset: str, image: str) -> str:
    """Returns the photo's file below `CelebA/images`.

    The loader splits lines at white space and replaces each `.jpg` in a name, so both are written as %XX.
    """
    stem = image[: -len(".jpg")] if image.endswith(ending_of("folder")) else image
    return f"{_plain(dataset)}/{_plain(stem)}.jpg"


def _plain(name: str) -> str:
    return re.sub(r"[\s.%]", lambda found: f"%{ord(found[0]):02X}", name)


def _photos(call: Call, counts: dict[str, int]) -> Iterator[_Seen]:
    streams = [open_stream(path, call.roots) for path in call.manifests]
    rows = sum(stream.count_ok() for stream in streams)
    with progress("export", rows, "photos", quiet=call.quiet) as shown:
        for stream in streams:
            work = partial(_write_image, call, stream.head)
            for seen in in_order(work, stream.usable_rows(COLUMNS), THREADS, AHEAD, shown):
                if seen is None:
                    counts["val"] += 1
                else:
                    yield seen


def _write_image(call: Call, manifest: Manifest, row: dict[str, Any]) -> _Seen | None:
    if row["split"] == "val":
        return None
    path = manifest.image_path(row["dataset"], row["image"])
    name = file_name(row["dataset"], row["image"])
    target = inside(call.out / "CelebA/images", name, manifest.path)
    write_image(path, target, call.copy_images)
    return _Seen(row, name, read_photo(path))


def _person(seen: _Seen) -> str:
    """Returns the second field of a line; a photo of nobody known is a person of its own."""
    identity = seen.row["identity"]
    return seen.name if identity is None else f"{_plain(seen.row['dataset'])}/{_plain(identity)}"


def _box(row: dict[str, Any]) -> np.ndarray:
    if row["box"] is not None:
        return np.asarray(row["box"], np.float64)
    points = row["landmarks"]
    return np.concatenate([points.min(axis=0), points.max(axis=0)]).astype(np.float64)


def _in_widths(mesh: np.ndarray, width: int) -> np.ndarray:
    return mesh / np.array([1, 1, width], np.float32)


def _write_checkout(folder: Path, lines: list[str], done: Exported) -> None:
    if not lines:
        raise UsageError(
            "--format smirk: no photo of the train split is left; see `deca-data status`, and keep more with "
            "another recipe."
        )
    write_atomic(folder / IDENTITIES, "".join(lines).encode())
    done.files[str(folder / IDENTITIES)] = len(lines)
    for name in VIDEO_LISTS:
        write_atomic(folder / "assets" / name, pickle.dumps([[], [], []]))
        done.files[str(folder / "assets" / name)] = 0
