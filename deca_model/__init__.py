"""The model half: from a manifest to a trained DECA model.

For use from Python there are `open_model`, `reconstruct`, which returns a `Reconstruction`, and
`save_reconstruction`. They are imported on first use, because torch takes seconds to import.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deca_model.use.inference import Reconstruction, reconstruct
    from deca_model.use.open_model import open_model
    from deca_model.use.reconstruction_files import save_reconstruction

__all__ = ["Reconstruction", "open_model", "reconstruct", "save_reconstruction"]

_PLACES = {
    "Reconstruction": "inference",
    "open_model": "open_model",
    "reconstruct": "inference",
    "save_reconstruction": "reconstruction_files",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.use.{_PLACES[name]}"), name)
