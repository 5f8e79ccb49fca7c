"""Reads NumPy's files of arrays, .npy and .npz; a damaged or hostile file is an error of one kind.

No pickle is loaded. NumPy, zipfile and zlib raise almost any exception for damaged bytes, and NumPy asks for
as much memory as a header names.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Collection
from pathlib import Path

import numpy as np

from manifests.files import LARGEST, read_file


class NotArrays(ValueError):
    """The file holds something else than the arrays; the message is the part of a sentence that says why."""


def read_array(path: Path) -> np.ndarray:
    """Reads the array of a .npy file.

    Raises:
        NotArrays: damaged, another kind of file, or one of objects.
        OSError: missing, no regular file, too large, or it may not be read.
    """
    return _array(read_file(path), "the file")


def read_arrays(path: Path, names: Collection[str]) -> dict[str, np.ndarray]:
    """Reads those arrays of a .npz file that are among ``names``; the others are not unpacked.

    Raises:
        NotArrays: damaged, another kind of file, an array of objects, or one of more than `LARGEST` bytes.
        OSError: missing, no regular file, too large, or it may not be read.
    """
    data, members = read_file(path), {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            there = {each.filename.removesuffix(".npy"): each for each in archive.infolist()}
            for name in there.keys() & set(names):
                if there[name].file_size > LARGEST:
                    raise NotArrays(f"'{name}' in it has more than {LARGEST >> 20} MB")
                members[name] = archive.read(there[name])
    except NotArrays:
        raise
    except Exception as error:  # zipfile and zlib raise almost any for damaged bytes
        raise NotArrays(f"it is no intact archive ({error})") from error
    return {name: _array(member, f"'{name}'") for name, member in members.items()}


def _array(data: bytes, name: str) -> np.ndarray:
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except Exception as error:  # as above; MemoryError is that of a header which names a huge shape
        raise NotArrays(f"{name} is no intact array ({_line(error)})") from error
    if not isinstance(array, np.ndarray):
        raise NotArrays(f"{name} is an archive, not an array")
    return array


def _line(error: Exception) -> str:
    said = " ".join(str(error).split()) or type(error).__name__
    return said[:120]
