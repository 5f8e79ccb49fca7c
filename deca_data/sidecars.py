"""Paths in the workspace of the files that belong to one photo: its landmarks and its mask."""

from __future__ import annotations

from pathlib import PurePosixPath

_ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".jfif"}


def sidecar_path(folder: str, dataset: str, image: str, ending: str) -> str:
    """The path of a photo's sidecar, relative to the workspace, in POSIX form.

    The new ending replaces `.jpg`, but is added to any other ending, so that `a.jpg` and `a.png` of one
    folder get different files: `masks/vggface2/n000001/0001_01.png`, `masks/mine/a.png.png`.

    Args:
        folder: "landmarks" or "masks".
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
    return str(whole.with_name((path.stem if plain else path.name) + ending))
