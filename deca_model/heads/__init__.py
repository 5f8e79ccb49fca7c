"""The head models: ``open`` (embedded), ``flame`` and ``ict`` (files that the user brings)."""

from __future__ import annotations

from pathlib import Path

from deca_model.heads.head import Head, HeadData, HeadOutput
from manifests.errors import UsageError

__all__ = ["HEADS", "Head", "HeadData", "HeadOutput", "load_head"]

HEADS = ("open", "flame", "ict")


def load_head(name: str, path: Path | None = None, cache: Path | None = None) -> Head:
    """Load a head model by name.

    Args:
        name: ``open`` (needs no file), ``flame`` or ``ict``.
        path: FLAME's ``.pkl`` or the folder that holds it; ICT-FaceKit's folder. Not used for ``open``.
        cache: A folder where what was read from ICT-FaceKit's many files is kept; not used for the others.

    Raises:
        UsageError: an unknown name, a missing path, or a file that is not what it should be.
    """
    if name == "open":
        from deca_model.heads.open_head import load_open_head

        return Head(load_open_head())
    if name not in HEADS:
        raise UsageError(f"there is no head named {name!r}: choose one of {', '.join(HEADS)}")
    if path is None:
        raise UsageError(f"the {name} head needs its file: give its path, or use the embedded head 'open'")
    if name == "flame":
        from deca_model.heads.flame import load_flame_head

        return Head(load_flame_head(path))
    from deca_model.heads.ict import load_ict_head

    return Head(load_ict_head(path, cache))
