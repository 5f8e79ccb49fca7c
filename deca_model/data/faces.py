"""What can be trained on: faces of manifests, of packs, or of both together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from deca_model.data.manifest_faces import FaceTable, open_faces
from deca_model.data.mixed_faces import MixedTable, mix
from deca_model.data.pack_faces import NoFaces, PackedTable, packed_table
from manifests.errors import UsageError
from manifests.packs.reading import Pack
from manifests.reading import Manifest
from manifests.streaming import open_stream

Faces = FaceTable | PackedTable | MixedTable
"""A table of faces; all are read alike."""

__all__ = ["PACK", "Faces", "NoFaces", "open_table"]

PACK = ".json"
"""The ending of a pack's index; anything else is a manifest."""


def open_table(paths: Sequence[Path], roots: Mapping[str, Path] | None = None) -> Faces:
    """Opens manifests (their rows with status ok and landmarks), packs (their ``.json``), or both.

    Raises:
        UsageError: as ``manifests.streaming.open_stream``, ``packs.reading.Pack`` and ``mixed.mix`` do, or no
            row is usable.
    """
    if not any(path.suffix == PACK for path in paths):
        return _open_manifests(paths, roots)
    parts = [
        packed_table(Pack(path)) if path.suffix == PACK else _open_manifests([path], roots) for path in paths
    ]
    return parts[0] if len(parts) == 1 else mix(parts)


def _open_manifests(paths: Sequence[Path], roots: Mapping[str, Path] | None) -> FaceTable:
    table = open_faces([open_stream(path, roots) for path in paths])
    for number, manifest in enumerate(table.manifests):
        _check_first_image(table, number, manifest)
    return table


def _check_first_image(table: FaceTable, number: int, manifest: Manifest) -> None:
    """A manifest whose images are gone is said before anything is begun; each file is checked when read."""
    row = int(np.searchsorted(table.source, number))
    if row == len(table) or table.source[row] != number:
        return
    path = table.image_path(row)
    if not path.is_file():
        name = table.dataset_names[table.datasets[row]]
        raise UsageError(
            f"{manifest.path}: its images are gone, the first being {path}; put them back, or say where "
            f"they are with --root {name}=FOLDER."
        )
