"""Small datasets in the layouts that the official loaders know, as manifests over real files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from manifests.schema import SCHEMA
from manifests.writing import write_manifest
from tests.pipelines.share.share_samples import face_mask, face_points


def write_tree(
    folder: Path,
    source: str,
    names: Mapping[str, str | None],
    masked: bool = True,
    *,
    dataset: str | None = None,
    split: str = "train",
    box: list[float] | None = None,
    labels: Sequence[Mapping[str, Any]] = ({},),
) -> Path:
    """A manifest of photos by path and person, each with its own grey, under the layout ``source``."""
    points, rows, dataset = face_points((60.0, 60.0), 80.0), [], dataset or source
    for number, (name, person) in enumerate(names.items()):
        path = folder / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        _, data = cv2.imencode(path.suffix.lower(), np.full((120, 130, 3), 5 * number, np.uint8))
        path.write_bytes(data.tobytes())
        mask_path = f"masks/{dataset}/{name}.png" if masked else None
        if mask_path:
            (folder / "space" / mask_path).parent.mkdir(parents=True, exist_ok=True)
            _, data = cv2.imencode(".png", face_mask((120, 130), points))
            (folder / "space" / mask_path).write_bytes(data.tobytes())
        rows.append(
            {
                **{"sample_id": f"{dataset}/{name}", "dataset": dataset, "identity": person, "image": name},
                **{"landmarks": (points + number).reshape(-1).tolist(), "mask_path": mask_path, "box": box},
                **{"width": 130, "height": 120, "status": "ok", "split": split},
                **labels[number % len(labels)],
            }
        )
    roots = {dataset: folder / "raw", "workspace": folder / "space"}
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    path = folder / f"{split}.parquet"
    write_manifest(table, path, roots=roots, info={"sources": {dataset: source}})
    return path


def vgg_names(photos: int, people: tuple[str, ...] = ("n000001", "n000002")) -> dict[str, str]:
    """Photos of VGGFace2, by path, with their person."""
    return {f"train/{person}/{photo:04d}_01.jpg": person for person in people for photo in range(photos)}


def every_layout(folder: Path) -> list[Path]:
    """A manifest of each: VGGFace2 (train with large faces, and val), BUPT, VoxCeleb2, a plain folder."""
    bupt = {
        f"race_per_7000/{race}/m.0{person}/{photo}.jpg": f"{race}/m.0{person}"
        for race in ("African", "Asian", "Indian")
        for person in "ab"
        for photo in range(5)
    }
    clips = {
        f"id0000{person}/video/0000{clip}/{frame:06d}.png": f"id0000{person}"
        for person in (1, 2)
        for clip in (0, 1)
        for frame in range(6)
    }
    mine = {f"{person} x/{photo}.png": person for person in ("ann", "bob") for photo in range(5)}
    return [
        write_tree(folder / "vgg", "vggface2", vgg_names(7), box=[0, 0, 401, 401]),
        write_tree(
            folder / "val", "vggface2", vgg_names(5, ("n000003", "n000004")), split="val", box=[0, 0, 9, 9]
        ),
        write_tree(folder / "bupt", "bupt", bupt),
        write_tree(folder / "vox", "voxceleb2", clips),
        write_tree(folder / "mine", "folder", mine, dataset="mine"),
    ]


def affectnet(folder: Path) -> list[Path]:
    """Manifests of AffectNet, train and val, with labels, without some, and without any."""
    labels = [
        {"expression": number % 8, "valence": number / 10, "arousal": -number / 10} for number in range(7)
    ]
    labels += [{"expression": 3}, {}]
    names = {f"Manually_Annotated_Images/{number % 3}/{number}.jpg": None for number in range(17)}
    names["Manually_Annotated_Images/0/0.png"] = None
    return [
        write_tree(folder / "labelled", "affectnet", names, labels=labels),
        write_tree(
            folder / "held out", "affectnet", {"v/1.jpg": None, "v/2.jpg": None}, split="val", labels=labels
        ),
    ]
