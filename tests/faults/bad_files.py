"""Opens damaged files, each in the way in which the project opens its kind, and says what became of them.

    python -m tests.faults.bad_files KIND GOOD FOLDER COUNT

Makes COUNT damaged copies of the file GOOD in FOLDER, opens each, and prints a JSON object: how many were
read, how many were refused in one sentence that names the file, and what else happened, which is a fault. It
runs as a process of its own, so that a crash is seen.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from manifests.errors import UsageError, WorkFailed


def damaged(data: bytes, chance: random.Random) -> bytes:
    """The bytes of a file with one kind of damage."""
    start, end = sorted(chance.randrange(len(data) + 1) for _ in range(2))
    end = min(end, start + 4096)
    return chance.choice(
        [
            lambda: data[:start],
            lambda: data[start:],
            lambda: data[:start] + bytes(end - start) + data[end:],
            lambda: data[:start] + data[end:],
            lambda: data[:end] + data[start:],
            lambda: data[:start] + chance.randbytes(end - start) + data[end:],
            lambda: _changed(data, chance, 1),
            lambda: _changed(data, chance, 20),
            lambda: _changed(data[:400], chance, 8) + data[400:],
        ]
    )()


def _changed(data: bytes, chance: random.Random, count: int) -> bytes:
    new = bytearray(data)
    for _ in range(min(count, len(data))):
        new[chance.randrange(len(new))] = chance.randrange(256)
    return bytes(new)


def picture(path: Path) -> None:
    """As the stages and the trainer read a photo."""
    from manifests.images.decode import Unreadable, decode_file

    try:
        decode_file(path)
    except Unreadable as error:
        raise UsageError(f"{path}: {error}") from error


def video(path: Path) -> None:
    """As the stages take frames out of a video."""
    from deca_data.video import extract_frames
    from manifests.images.decode import Unreadable

    try:
        extract_frames(path, path.parent / f"{path.stem}-frames", 3)
    except Unreadable as error:
        raise UsageError(f"{path}: {error}") from error


def affectnet(path: Path) -> None:
    """As the scan reads AffectNet's table: every line of it."""
    from deca_data.sources.affectnet_tables import is_table, parsed, read_table

    if not is_table(path):
        raise UsageError(f"{path}: this is no table of AffectNet.")
    for cells in read_table(path).values():
        parsed(cells)


def persons(path: Path) -> None:
    """As `--identities FILE.csv`."""
    from deca_data.sources.identities import read_identities

    read_identities(str(path), path.parent)


def label(path: Path) -> None:
    """As the scan reads AffectNet's `annotations/0_val.npy`; a damaged one counts as no label."""
    from deca_data.sources.affectnet_tables import read_label_files

    beside = path.with_name(f"{path.stem}_val.npy")
    path.rename(beside)
    found = read_label_files(str(path.parent), path.stem, str(path.parent))
    if found["valence"] is None:
        raise UsageError(f"{path}: no label")


def landmark_file(path: Path) -> None:
    """As FLAME's landmark embedding (`--set model.landmarks_path`)."""
    from deca_model.files.restricted_pickle import load_restricted

    load_restricted(path)


def settings(path: Path) -> None:
    """As `deca train --config`."""
    from deca_model.settings.reading import load_config

    load_config(path)


def recipe(path: Path) -> None:
    """As `build-manifest --recipe`."""
    from pipelines.curate.recipe import load_recipe

    load_recipe(str(path))


def manifest(path: Path) -> None:
    """As `deca train --manifest`, and every row of it."""
    from deca_model.data.faces import open_table
    from manifests.reading import open_manifest

    open_manifest(path).table.to_pylist()
    table: Any = open_table([path])
    for row in range(len(table.landmarks)):
        table.image_path(row)
        table.mask_path(row)


def model_file(path: Path) -> None:
    """As `--set model.head_path`."""
    from deca_model.files.restricted_pickle import as_array, load_restricted

    values = load_restricted(path)
    if not isinstance(values, dict):
        raise UsageError(f"{path}: it holds no model.")
    for key, value in values.items():
        as_array(value, str(key), path)


def checkpoint(path: Path) -> None:
    """As `deca reconstruct --model`."""
    from deca_model.training.checkpoints import load_checkpoint

    load_checkpoint(path)


def pack(path: Path) -> None:
    """As `deca train --manifest packed/train.json`: each face of it is loaded; GOOD is the shard."""
    import shutil

    from deca_model.data.faces import open_table
    from deca_model.data.loading import FaceDataset
    from deca_model.data.sampler import SubjectSampler

    index = next((Path(sys.argv[2]).parent / "good-pack").glob("*.json"))
    folder = path.parent / f"{path.stem}-pack"
    folder.mkdir()
    shutil.copy(index, folder)
    path.rename(folder / next(index.parent.glob("*.arrow")).name)
    table = open_table([folder / index.name])
    sampler = SubjectSampler(table.subjects, table.datasets, subjects=2, images=2, seed=0)
    for number in range(3):
        FaceDataset(table, 64).load(sampler.batch(number, 0))


DOORS: dict[str, Callable[[Path], None]] = {
    "picture": picture,
    "video": video,
    "annotations": affectnet,
    "persons": persons,
    "label": label,
    "landmark_file": landmark_file,
    "settings": settings,
    "recipe": recipe,
    "manifest": manifest,
    "model_file": model_file,
    "checkpoint": checkpoint,
    "pack": pack,
}


def main() -> None:
    """Prints the counts."""
    kind, good, folder, count = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    chance, found, faults = random.Random(kind + good.suffix), Counter(), []
    for number in range(count):
        path = folder / f"{number:03d}{good.suffix}"
        path.write_bytes(damaged(good.read_bytes(), chance))
        try:
            DOORS[kind](path)
            found["read"] += 1
        except (UsageError, WorkFailed) as error:
            if path.stem not in str(error):
                faults.append(f"{path.name}: the message does not name the file: {error}")
            found["refused"] += 1
        except BaseException as error:
            faults.append(f"{path.name}: {type(error).__name__}: {error}")
    print(json.dumps({**found, "faults": faults}))


if __name__ == "__main__":
    main()
