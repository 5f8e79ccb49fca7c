"""What can be trained on: faces of manifests, of packs, or of both together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow.compute as pc

from deca_model.data.manifest_faces import FaceTable, face_table
from deca_model.data.mixed_faces import MixedTable, mix
from deca_model.data.pack_faces import NoFaces, PackedTable, packed_table
from manifests.errors import UsageError
from manifests.packs.reading import Pack
from manifests.reading import Manifest, open_manifest

Faces = FaceTable | PackedTable | MixedTable
"""A table of faces; all are read alike."""

__all__ = ["PACK", "Faces", "NoFaces", "open_table"]

PACK = ".json"
"""The ending of a pack's index; anything else is a manifest."""


def open_table(paths: Sequence[Path], roots: Mapping[str, Path] | None = None) -> Faces:
    """Opens manifests (their rows with status ok and landmarks), packs (their ``.json``), or both.

    Raises:
        UsageError: as ``manifests.reading.open_manifest``, ``packs.reading.Pack`` and ``mixed.mix`` do, or no
            row is usable.
    """
    if not any(path.suffix == PACK for path in paths):
        return _open_manifests(paths, roots)
    parts = [
        packed_table(Pack(path)) if path.suffix == PACK else _open_manifests([path], roots) for path in paths
    ]
    return parts[0] if len(parts) == 1 else mix(parts)


def _open_manifests(paths: Sequence[Path], roots: Mapping[str, Path] | None) -> FaceTable:
    manifests = tuple(open_manifest(path, roots=roots) for path in paths)
    for manifest in manifests:
        _check_first_image(manifest)
    return face_table(manifests)


def _check_first_image(manifest: Manifest) -> None:
    """A manifest whose images are gone is said before anything is begun; each file is checked when read."""
    usable = manifest.table.filter(pc.equal(manifest.table["status"], "ok"))  # type: ignore[attr-defined]
    for row in usable.slice(0, 1).select(["dataset", "image"]).to_pylist():
        path = manifest.image_path(row["dataset"], row["image"])
        if not path.is_file():
            raise UsageError(
                f"{manifest.path}: its images are gone, the first being {path}; put them back, or say where "
                f"they are with --root {row['dataset']}=FOLDER."
            )
