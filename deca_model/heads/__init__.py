"""The head models: ``open`` (embedded), ``flame`` and ``ict`` (read from the user's own files)."""

from __future__ import annotations

from pathlib import Path

from deca_model.heads.dense import DenseLandmarks, load_flame_dense, load_open_dense
from deca_model.heads.head import Head, HeadData, HeadOutput
from manifests.errors import UsageError

__all__ = ["HEADS", "DenseLandmarks", "Head", "HeadData", "HeadOutput", "load_head"]

HEADS = ("open", "flame", "ict")


def load_head(
    name: str,
    path: Path | None = None,
    cache: Path | None = None,
    dense: Path | None = None,
    *,
    teeth: bool = False,
) -> Head:
    """Load a head model by name.

    Args:
        name: ``open`` (needs no file), ``flame`` or ``ict``.
        path: FLAME's ``.pkl`` or the folder that holds it; ICT-FaceKit's folder. Not used for ``open``.
        cache: A folder to cache ICT-FaceKit's arrays in, so that its 150 files are read only once. The other
            heads do not use it.
        dense: MediaPipe's embedding for FLAME; None: the file of its usual name beside the model, if it is
            there. The other heads do not use it.
        teeth: whether the open head gets teeth, as in outputs. The other heads never get any.

    Raises:
        UsageError: the name is unknown, the path is not given, or a file is missing or has the wrong content.
    """
    if name == "open":
        from deca_model.heads.open_head import load_open_head
        from deca_model.heads.teeth import with_teeth

        open_head = load_open_head()
        found = load_open_dense(len(open_head.faces))
        return Head(with_teeth(open_head) if teeth else open_head, found)
    if name not in HEADS:
        raise UsageError(f"there is no head named {name!r}: choose one of {', '.join(HEADS)}")
    if path is None:
        raise UsageError(f"the {name} head needs its file: give its path, or use the embedded head 'open'")
    if name == "flame":
        from deca_model.heads.flame import load_flame_head

        flame = load_flame_head(path)
        beside = path if path.is_dir() else path.parent
        return Head(flame, load_flame_dense(dense or beside, len(flame.faces)))
    from deca_model.heads.ict import load_ict_head

    return Head(load_ict_head(path, cache))
