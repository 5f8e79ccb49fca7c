"""Paths in the workspace of the files that belong to one photo: its landmarks and its mask."""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath

from deca_data.sources.walk import IMAGE_ENDINGS
from manifests.files import NAME_BYTES

_ENDINGS = IMAGE_ENDINGS | {".gif", ".ppm", ".pgm", ".jfif", ".jpe"}


def sidecar_path(folder: str, dataset: str, image: str, ending: str) -> str:
    """The path of a photo's sidecar, relative to the workspace, in POSIX form.

    The new ending replaces `.jpg`, but is added to any other ending, so that `a.jpg` and `a.png` of one
    folder get different files: `masks/vggface2/n000001/0001_01.png`, `masks/mine/a.png.png`.

    A sub-folder whose name ends like a sidecar gets a `~`: masks of photos in `b.png/` are in
    `masks/mine/b.png~/`, as `masks/mine/b.png` is the mask of `b.jpg`. A name that
    would be too long is cut, and a digest of the whole name is added.

    Args:
        folder: "landmarks", "dense" or "masks".
        dataset: the row's dataset.
        image: the row's image, relative to its dataset's root, in POSIX form.
        ending: the sidecar's ending, with its dot.

    Raises:
        ValueError: the path would be outside the workspace.
    """
    path = PurePosixPath(image)
    whole = PurePosixPath(folder) / dataset / path
    if path.is_absolute() or ".." in whole.parts or len(PurePosixPath(dataset).parts) != 1:
        raise ValueError(
            f"image {image!r} of dataset {dataset!r}: its sidecar would be outside the workspace"
        )
    plain = path.suffix == ".jpg" and PurePosixPath(path.stem).suffix.lower() not in _ENDINGS
    name = _fitting(path.stem if plain else path.name, ending)
    parents = [part + "~" if part.rstrip("~").endswith(ending) else part for part in path.parts[:-1]]
    return str(PurePosixPath(folder, dataset, *parents, name + ending))


def _fitting(name: str, ending: str) -> str:
    """Returns ``name``, or its beginning and a digest if a file's name would be too long."""
    most = NAME_BYTES - len(ending)
    data = name.encode()
    if len(data) <= most:
        return name
    digest = hashlib.blake2b(data, digest_size=8).hexdigest()
    return f"{data[: most - 17].decode(errors='ignore')}~{digest}"
