"""Model libraries behind the protocols of `protocols.py`; each is imported on first use."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, NamedTuple

from manifests.errors import UsageError


class _Entry(NamedTuple):
    """Where a backend is, the extra that installs it, and whether it runs on torch's devices."""

    module: str
    attribute: str
    extra: str
    torch: bool = False


BACKENDS: dict[str, dict[str, _Entry]] = {
    "detector": {"mediapipe": _Entry("mediapipe_detector", "MediapipeDetector", "data", torch=True)},
    "landmarker": {
        "mediapipe": _Entry("mediapipe_landmarker", "MediapipeLandmarker", "data", torch=True),
        "face-alignment": _Entry("face_alignment_landmarker", "FaceAlignmentLandmarker", "fan", torch=True),
    },
    "parser": {
        "mesh": _Entry("mesh_parser", "MeshParser", "data"),
        "bisenet": _Entry("facexlib_parser", "BiSeNetParser", "parsing", torch=True),
        "parsenet": _Entry("facexlib_parser", "ParseNetParser", "parsing", torch=True),
    },
    "embedder": {
        "dlib": _Entry("dlib_embedder", "DlibEmbedder", "dlib"),
        "arcface": _Entry("facexlib_embedder", "ArcFaceEmbedder", "parsing", torch=True),
    },
}


def load_backend(
    kind: str, name: str, *, device: str = "cpu", weights: Path | None = None, download: bool = False
) -> Any:
    """Makes the backend ``name`` of one of the four kinds (detector, landmarker, parser, embedder).

    Args:
        kind: a key of ``BACKENDS``.
        name: the backend's name.
        device: torch device; on the CPU MediaPipe runs its own networks. dlib and `mesh` know only that.
        weights: a weight file or its folder; None looks in the library's own cache.
        download: whether the library may fetch missing weights.

    Raises:
        UsageError: the kind or the name is unknown, a package is missing or broken (the message names its
            extra), a weight file is missing, or the backend or torch cannot use the device.
    """
    if kind not in BACKENDS:
        raise UsageError(f"there is no kind of backend {kind!r}: choose one of {', '.join(BACKENDS)}.")
    known = BACKENDS[kind]
    if name not in known:
        raise UsageError(f"there is no {kind} backend {name!r}: choose one of {', '.join(sorted(known))}.")
    entry = known[name]
    if device != "cpu" and not entry.torch:
        able = sorted(other for other, each in known.items() if each.torch)
        other = f", or choose another backend ({', '.join(able)})" if able else ""
        raise UsageError(
            f"device {device}: the {kind} {name!r} only runs on the CPU; set its device to cpu{other}."
        )
    try:
        module = importlib.import_module(f"{__name__}.{entry.module}")
        return getattr(module, entry.attribute)(device=device, weights=weights, download=download)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"the {kind} backend {name!r} needs the package {error.name!r}: "
            f"install it with `pip install 'deca-data[{entry.extra}]'`."
        ) from error
    except ImportError as error:  # a missing system library, or versions that do not fit together
        raise UsageError(
            f"the {kind} backend {name!r} cannot be loaded ({error}): fix that, or reinstall it with "
            f"`pip install --force-reinstall 'deca-data[{entry.extra}]'`."
        ) from error
    except (RuntimeError, AssertionError) as error:  # what torch raises for a missing device
        if device == "cpu":
            raise
        raise UsageError(
            f"--device {device}: torch cannot use it ({str(error).splitlines()[0]}); leave the option out."
        ) from error
