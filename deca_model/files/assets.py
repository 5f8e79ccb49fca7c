"""Finding the model files of other publishers: head models, albedo spaces, networks of the losses."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

FOLDER = Path("assets")
_DEPTH = 3


class _Known(NamedTuple):
    kind: str
    name: str
    files: tuple[str, ...]  # patterns of file names; empty if built in
    beside: tuple[str, ...]  # other files that must be in the same folder
    settings: tuple[str, ...]  # names, or name=value
    enables: str
    licence: str


KNOWN = (
    _Known("head", "open", (), (), ("model.head=open",), "everything (the default)", "CC0"),
    _Known(
        "head",
        "flame",
        ("generic_model.pkl", "flame20*.pkl"),
        ("landmark_embedding.npy", "head_template.obj"),
        ("model.head=flame", "model.head_path"),
        "DECA's own head; its published weights",
        "FLAME's: 2020 non-commercial, 2023 Open CC-BY",
    ),
    _Known(
        "head",
        "ict",
        ("generic_neutral_mesh.obj",),
        ("vertex_indices.json", "identity000.obj"),
        ("model.head=ict", "model.head_path"),
        "ICT-FaceKit's head",
        "MIT",
    ),
    _Known("albedo", "built-in", (), (), (), "skin colours on any head (the default)", "this project's"),
    _Known(
        "albedo",
        "flame texture",
        ("FLAME_texture.npz",),
        (),
        ("model.albedo_path",),
        "FLAME's albedo space; needs the flame head",
        "non-commercial",
    ),
    _Known(
        "albedo",
        "bfm",
        ("FLAME_albedo_from_BFM.npz",),
        (),
        ("model.albedo_path",),
        "DECA's albedo space; needs the flame head",
        "non-commercial",
    ),
    _Known(
        "network",
        "vggface2 resnet50",
        ("resnet50_ft_weight.pkl",),
        (),
        ("loss.identity_weights",),
        "the identity loss of the coarse stage",
        "research",
    ),
    _Known(
        "network",
        "vgg19",
        ("vgg19-*.pth",),
        (),
        ("loss.vgg_weights",),
        "the ID-MRF loss of the detail stage",
        "BSD",
    ),
    _Known(
        "network",
        "emotion resnet50",
        ("emotion*.pth", "emotion*.pt", "emotion*.ckpt"),
        (),
        ("loss.emotion_weights",),
        "EMOCA's emotion loss of the expression stage",
        "EMOCA's: non-commercial",
    ),
    _Known(
        "network",
        "imagenet resnet",
        ("resnet50-*.pth", "resnet34-*.pth", "resnet18-*.pth"),
        (),
        ("model.encoder.weights", "model.detail_encoder.weights"),
        "encoders that start from trained weights",
        "BSD",
    ),
    _Known(
        "model",
        "official DECA",
        ("deca_model.tar", "model.tar"),
        (),
        ("--model",),
        "the published DECA; needs the flame head",
        "non-commercial",
    ),
)


@dataclass(frozen=True)
class Asset:
    """A model file, or a built-in model, that a run can use.

    Attributes:
        kind: head, albedo, network or model.
        name: its name in the list.
        state: built in, found, incomplete or missing.
        path: the file that was found, or None.
        looked_for: possible names of the file.
        beside: other files that must be in the same folder.
        lacks: which files of ``beside`` are missing.
        settings: the command-line options that use it.
        enables: what a run can do with it.
        licence: its licence, in short.
    """

    kind: str
    name: str
    state: str
    path: str | None
    looked_for: list[str]
    beside: list[str]
    lacks: list[str]
    settings: list[str]
    enables: str
    licence: str


def places(folders: Iterable[Path] = ()) -> list[Path]:
    """The folders that are searched: the given ones, or ./assets, and the cache of torch.hub."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    hub = Path(os.environ.get("TORCH_HOME") or Path(cache) / "torch") / "hub" / "checkpoints"
    return [*(list(folders) or [FOLDER]), hub]


def find_assets(folders: Iterable[Path]) -> list[Asset]:
    """Search the folders, three levels deep, for the files of ``KNOWN``; no file is opened or downloaded."""
    files = [path for folder in folders for path in _files(folder, _DEPTH)]
    return [_find(known, files) for known in KNOWN]


def _find(known: _Known, files: list[Path]) -> Asset:
    matches = [path for pattern in known.files for path in files if path.match(pattern)]
    lacks = {path: [name for name in known.beside if not (path.parent / name).is_file()] for path in matches}
    path = min(matches, key=lambda each: len(lacks[each]), default=None)
    missing = lacks[path] if path is not None else []
    state = "found" if path is not None else "missing"
    if not known.files:
        state = "built in"
    elif missing:
        state = "incomplete"
    target = str(path.parent if path is not None and known.name == "ict" else path) if path else "FILE"
    settings = [_option(text, target) for text in known.settings]
    return Asset(
        kind=known.kind,
        name=known.name,
        state=state,
        path=str(path) if path is not None else None,
        looked_for=list(known.files),
        beside=list(known.beside),
        lacks=missing,
        settings=settings,
        enables=known.enables,
        licence=known.licence,
    )


def _option(text: str, path: str) -> str:
    """The command-line option for a setting."""
    if text.startswith("--"):
        return f"{text} {path}"
    return f"--set {text if '=' in text else f'{text}={path}'}"


def _files(folder: Path, depth: int) -> Iterator[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return
    for path in entries:
        if path.is_file():
            yield path
        elif depth and path.is_dir() and not path.is_symlink():
            yield from _files(path, depth - 1)
