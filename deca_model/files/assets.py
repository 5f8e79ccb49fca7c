"""Finding the model files of other publishers: head models, albedo spaces, networks of the losses."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

FOLDER = Path("assets")
_DEPTH = 6  # EMOCA's emotion network lies so deep in its archive


@dataclass(frozen=True)
class Asset:
    """A model file, or a built-in model, that a run can use."""

    kind: str  # head, albedo, network or model
    name: str
    state: str = "missing"  # built in, found, incomplete or missing
    path: str | None = None  # the file that was found
    looked_for: Sequence[str] = ()  # patterns of the file's name
    beside: Sequence[str] = ()  # other files that must be in the same folder
    lacks: Sequence[str] = ()  # which files of ``beside`` are missing
    settings: Sequence[str] = ()  # the command-line options that use it; FILE is its path
    enables: str = ""  # what a run can do with it
    licence: str = ""


KNOWN = (
    Asset(
        "head", "open", "built in", settings=["--set model.head=open"],
        enables="everything (the default)", licence="CC0",
    ),
    Asset(
        "head", "flame",
        looked_for=["generic_model.pkl", "flame20*.pkl", "generic_model.npz", "flame20*.npz"],
        beside=["landmark_embedding.npy", "head_template.obj"],
        settings=["--set model.head=flame", "--set model.head_path=FILE"],
        enables="DECA's own head; its published weights",
        licence="FLAME's: 2020 non-commercial, 2023 Open CC-BY",
    ),
    Asset(
        "head", "ict", looked_for=["generic_neutral_mesh.obj"],
        beside=["vertex_indices.json", "identity000.obj"],
        settings=["--set model.head=ict", "--set model.head_path=FILE"],
        enables="ICT-FaceKit's head", licence="MIT",
    ),
    Asset(
        "albedo", "built-in", "built in",
        enables="skin colours on any head (the default)", licence="this project's",
    ),
    Asset(
        "albedo", "flame texture", looked_for=["FLAME_texture.npz"],
        settings=["--set model.albedo_path=FILE"],
        enables="FLAME's albedo space; needs the flame head", licence="non-commercial",
    ),
    Asset(
        "albedo", "bfm", looked_for=["FLAME_albedo_from_BFM.npz"],
        settings=["--set model.albedo_path=FILE"],
        enables="DECA's albedo space; needs the flame head", licence="non-commercial",
    ),
    Asset(
        "network", "vggface2 resnet50", looked_for=["resnet50_ft_weight.pkl"],
        settings=["--set loss.identity_weights=FILE"],
        enables="the identity loss of the coarse stage", licence="research",
    ),
    Asset(
        "network", "vgg19", looked_for=["vgg19-*.pth"], settings=["--set loss.vgg_weights=FILE"],
        enables="the ID-MRF loss of the detail stage", licence="BSD",
    ),
    Asset(
        "network", "emotion resnet50", 
        looked_for=["dataloader_idx_0=*.ckpt", "deca-epoch=*.ckpt", "emotion*.pth", "emotion*.ckpt"],
        settings=["--set loss.emotion_weights=FILE"],
        enables="EMOCA's emotion loss of the expression stage", licence="EMOCA's: non-commercial",
    ),
    Asset(
        "network", "imagenet resnet",
        looked_for=["resnet50-*.pth", "resnet34-*.pth", "resnet18-*.pth"],
        settings=["--set model.encoder.weights=FILE", "--set model.detail_encoder.weights=FILE"],
        enables="encoders that start from trained weights", licence="BSD",
    ),
    Asset(
        "model", "official DECA", looked_for=["deca_model.tar", "model.tar"], settings=["--model FILE"],
        enables="the published DECA; needs the flame head", licence="non-commercial",
    ),
)  # fmt: skip


def places(folders: Iterable[Path] = ()) -> list[Path]:
    """The folders that are searched: the given ones, or ./assets, and the cache of torch.hub."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    hub = Path(os.environ.get("TORCH_HOME") or Path(cache) / "torch") / "hub" / "checkpoints"
    return [*(list(folders) or [FOLDER]), hub]


def find_assets(folders: Iterable[Path]) -> list[Asset]:
    """Search the folders, six levels deep, for the files of ``KNOWN``; no file is opened or downloaded."""
    files = [path for folder in folders for path in _files(folder, _DEPTH)]
    return [_find(known, files) for known in KNOWN]


def _find(known: Asset, files: list[Path]) -> Asset:
    matches = [path for pattern in known.looked_for for path in files if path.match(pattern)]
    lacks = {path: [name for name in known.beside if not (path.parent / name).is_file()] for path in matches}
    path = min(matches, key=lambda each: len(lacks[each]), default=None)
    if path is None:
        return known
    target = path.parent if known.name == "ict" else path
    return replace(
        known,
        state="incomplete" if lacks[path] else "found",
        path=str(path),
        lacks=lacks[path],
        settings=[text.replace("FILE", str(target)) for text in known.settings],
    )


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
