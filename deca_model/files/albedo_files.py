"""Reading FLAME's two albedo spaces.

``FLAME_texture.npz`` (keys mean, tex_dir; 0 to 255) and ``FLAME_albedo_from_BFM.npz`` (keys MU, PC; 0 to 1)
hold 512 x 512 texels in the order blue, green, red, as floats or integers, in C or Fortran order. A basis has
about 600 MB, but only 256 x 256 texels and 50 modes of it are needed. So it is read in parts, and only the
needed numbers are kept.
"""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from manifests.errors import UsageError
from manifests.files import require_file

_SIDE = 512
_TEXELS = _SIDE * _SIDE * 3
_KINDS = {("MU", "PC"): 1.0, ("mean", "tex_dir"): 255.0}


def read_albedo_file(path: Path, size: int, modes: int) -> tuple[np.ndarray, np.ndarray]:
    """Read an albedo space.

    Args:
        path: The ``.npz``.
        size: Side of the maps, a divisor of 512; texels are picked, not averaged, as in the official code.
        modes: How many modes to keep.

    Returns:
        Mean (3, size, size) and basis (modes, 3, size, size), RGB, float32.

    Raises:
        UsageError: The file is missing or is no albedo space.
    """
    if size < 1 or _SIDE % size:
        raise UsageError(
            f"the UV size {size} does not divide {_SIDE}: choose 512, 256 or 128 for {path.name}"
        )
    try:
        with zipfile.ZipFile(require_file(path)) as archive:
            names = {name.removesuffix(".npy") for name in archive.namelist()}
            for (mean_key, basis_key), unit in _KINDS.items():
                if {mean_key, basis_key} <= names:
                    mean = _read(archive, mean_key, size, 1)[..., 0]
                    basis = np.moveaxis(_read(archive, basis_key, size, modes), -1, 0)
                    return _planes(mean) / unit, _planes(basis) / unit
    except OSError as error:
        raise UsageError(f"cannot read the albedo space {path} ({error.strerror}): check the path") from error
    except (zipfile.BadZipFile, ValueError) as error:
        raise UsageError(
            f"{path} is not an intact albedo space ({error}): download the file again"
        ) from error
    raise UsageError(
        f"{path} holds neither MU and PC nor mean and tex_dir: give FLAME's or BFM's albedo file"
    )


def _read(archive: zipfile.ZipFile, key: str, size: int, modes: int) -> np.ndarray:  # (size, size, 3, modes)
    """One array of 512 * 512 * 3 * N numbers in any shape; only the needed ones are kept."""
    with archive.open(f"{key}.npy") as file:
        version = np.lib.format.read_magic(file)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, fortran, dtype = read(file)
        columns, rest = divmod(math.prod(shape), _TEXELS)
        texels_shape = shape if columns == 1 else shape[:-1]
        split = fortran and math.prod(texels_shape) != _TEXELS
        if rest or columns < modes or split or dtype.kind not in "fiu":
            raise ValueError(f"'{key}' has shape {shape} and type {dtype}")
        if fortran:
            return _read_modes(file, key, dtype, texels_shape, size, modes)
        return _read_rows(file, key, dtype, columns, size, modes)


def _read_rows(
    file: IO[bytes], key: str, dtype: np.dtype, columns: int, size: int, modes: int
) -> np.ndarray:  # (size, size, 3, modes)
    """Numbers in C order: a row of texels with all modes after the other."""
    step = _SIDE // size
    result = np.empty((size, size, 3, modes), np.float32)
    for row in range(_SIDE):
        line = _numbers(file, key, dtype, _SIDE * 3 * columns)
        if row % step == 0:
            result[row // step] = line.reshape(_SIDE, 3, columns)[::step, :, :modes]
    return result


def _read_modes(
    file: IO[bytes], key: str, dtype: np.dtype, shape: tuple[int, ...], size: int, modes: int
) -> np.ndarray:  # (size, size, 3, modes)
    """Numbers in Fortran order: a mode after the other; ``shape`` is that of a mode."""
    step = _SIDE // size
    result = np.empty((size, size, 3, modes), np.float32)
    for mode in range(modes):
        texels = _numbers(file, key, dtype, _TEXELS).reshape(shape, order="F").reshape(_SIDE, _SIDE, 3)
        result[..., mode] = texels[::step, ::step]
    return result


def _numbers(file: IO[bytes], key: str, dtype: np.dtype, count: int) -> np.ndarray:
    data = file.read(count * dtype.itemsize)
    if len(data) != count * dtype.itemsize:
        raise ValueError(f"'{key}' ends early")
    return np.frombuffer(data, dtype)


def _planes(texels: np.ndarray) -> np.ndarray:  # (..., S, S, 3) BGR -> (..., 3, S, S) RGB
    return np.ascontiguousarray(np.moveaxis(texels[..., ::-1], -1, -3))
