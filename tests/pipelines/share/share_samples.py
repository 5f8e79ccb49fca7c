"""A small manifest over real files, made by hand, for the tests of report, export and pack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from skimage import data

from manifests.landmarks import LEFT_EYE, OUTER_LIPS, RIGHT_EYE
from manifests.schema import SCHEMA
from manifests.writing import write_manifest
from pipelines.curate.recipe import load_recipe

FACE = (225.0, 115.0)
"""Centre of the astronaut's face, pixels; her face is about 100 pixels wide."""

EVIL = "<script>alert(1)<.jpg"


def face_points(center: tuple[float, float] = FACE, size: float = 100.0) -> np.ndarray:
    """(68, 2) float32: a plausible frontal face, jaw as an arc and the rest inside it."""
    points = np.zeros((68, 2))
    angles = np.linspace(np.pi, 0, 17)
    points[:17] = np.stack([np.cos(angles), np.sin(angles)], axis=1) * 0.5
    points[17:] = np.random.default_rng(1).uniform(-0.3, 0.3, (51, 2))
    for group, x, y in ((LEFT_EYE, -0.2, -0.15), (RIGHT_EYE, 0.2, -0.15), (OUTER_LIPS, 0.0, 0.25)):
        turn = np.linspace(np.pi, -np.pi, len(group), endpoint=False)
        points[list(group)] = np.stack([x + 0.08 * np.cos(turn), y - 0.04 * np.sin(turn)], axis=1)
    return (points * size + center).astype(np.float32)


def face_mask(shape: tuple[int, int], points: np.ndarray) -> np.ndarray:
    """(H, W) uint8, 255 inside the hull of the landmarks."""
    mask = np.zeros(shape, np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(points.astype(np.int32)), (255,))
    return mask


def make_manifest(folder: Path, rows: list[dict[str, Any]], **roots: Path) -> Path:
    """Writes ``folder``/train.parquet of rows given by their columns; absent ones are null."""
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    info = {
        "recipe": load_recipe("strict", {"identity_outliers": 0.35}).model_dump(),
        "stages": {"detect": {"name": "detect", "backend": "mediapipe", "settings": {}}},
        "fingerprints": {"detect": "0123"},
        "sources": {"raw": "folder"},
        "lookalikes": [["raw/a", "raw/<i>b</i>", 0.9712]],
    }
    write_manifest(table, folder / "train.parquet", roots=roots, info=info)
    return folder / "train.parquet"


def small_dataset(folder: Path) -> Path:
    """Ten photos of two persons, five of each: kept, dropped for four reasons, and one that failed."""
    raw, space = folder / "raw", folder / "space"
    photo = data.astronaut()
    points = face_points()
    rows = []
    names = [
        *(f"a/{number}.jpg" for number in range(5)),
        *(f"b b/{number}.jpg" for number in range(4)),
        f"b b/{EVIL}",
    ]
    for number, name in enumerate(names):
        path = raw / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shade = np.clip(photo * (0.6 + 0.05 * number), 0, 255).astype(np.uint8)
        _, jpeg = cv2.imencode(".jpg", shade[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
        path.write_bytes(jpeg.tobytes())
        mask_path = f"masks/raw/{name}.png"
        (space / mask_path).parent.mkdir(parents=True, exist_ok=True)
        _, png = cv2.imencode(".png", face_mask(photo.shape[:2], points))
        (space / mask_path).write_bytes(png.tobytes())
        rows.append(
            {
                **{
                    "sample_id": f"raw/{name}",
                    "dataset": "raw",
                    "image": name,
                    "identity": name.split("/")[0],
                },
                **{"width": 512, "height": 512, "box": [175, 60, 280, 170], "box_score": 0.9, "faces": 1},
                **{
                    "landmarks": points.reshape(-1).tolist(),
                    "mask_path": mask_path,
                    "face_size": 80.0 + number,
                },
                **{
                    "yaw": float(number),
                    "pitch": -3.0,
                    "sharpness": 30.0 + 10 * number,
                    "identity_score": 0.5,
                },
                **{"content_hash": f"{number:032x}", "status": "ok", "split": "train"},
            }
        )
    (raw / "a/4.jpg").write_bytes(b"not a photo")
    ends = {
        0: {
            **{"status": "dropped", "stage": "quality", "reason": "sharpness below 40"},
            **{"reason_column": "sharpness", "reason_bound": 40.0, "reason_side": "below"},
        },
        2: {
            "status": "dropped",
            "stage": "duplicates",
            "reason": "near duplicate",
            "duplicate_of": "raw/a/1.jpg",
        },
        3: {
            "status": "dropped",
            "stage": "identity",
            "reason": "identity_score below 0.35",
            **{"reason_column": "identity_score", "reason_bound": 0.35, "reason_side": "below"},
            "identity_score": 0.2,
        },
        4: {"status": "failed", "stage": "decode", "reason": "not an image", "landmarks": None, "box": None},
        9: {"status": "dropped", "stage": "quality", "reason": '<b>bold</b> & "quoted" reason'},
    }
    for number, end in ends.items():
        rows[number].update(end)
    for name in (
        "yaw",
        "pitch",
        "sharpness",
        "face_size",
        "box_score",
        "faces",
        "identity_score",
        "mask_path",
    ):
        rows[4][name] = None
    return make_manifest(folder, rows, raw=raw, workspace=space)
