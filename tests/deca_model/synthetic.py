"""A small real manifest: one public-domain portrait, rotated, scaled and tinted, with its 68 landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa

from manifests.writing import write_manifest

# Landmarks of skimage.data.astronaut(), iBUG order.
ASTRONAUT = np.array(
    [
        (180, 92), (179, 109), (179, 118), (181, 139), (184, 148), (189, 155), (199, 167), (212, 175),
        (221, 177), (230, 176), (243, 169), (255, 159), (260, 152), (265, 144), (269, 124), (270, 115),
        (270, 97), (185, 88), (192, 88), (198, 86), (206, 87), (215, 89), (235, 91), (245, 90),
        (253, 90), (259, 92), (265, 93), (224, 100), (224, 110), (223, 119), (223, 125), (213, 128),
        (217, 131), (223, 132), (229, 131), (234, 129), (195, 100), (199, 98), (206, 98), (213, 103),
        (206, 104), (200, 103), (237, 104), (244, 100), (251, 100), (255, 104), (250, 106), (243, 106),
        (201, 139), (211, 139), (217, 139), (223, 140), (230, 139), (236, 140), (244, 140), (234, 152),
        (229, 154), (222, 154), (216, 153), (210, 151), (203, 139), (217, 142), (223, 143), (229, 142),
        (243, 141), (228, 149), (222, 150), (217, 149),
    ],
    np.float32,
)  # fmt: skip


def make_manifest(
    folder: Path,
    images_per_identity: Sequence[int | None] = (4, 4, 3, 5),
    *,
    unmasked: Sequence[int] = (),
    name: str = "train",
    dataset: str = "astronauts",
    side: int = 256,
    seed: int = 0,
    expressions: Sequence[int | None] = (),
) -> Path:
    """Writes JPEGs, masks and a manifest; an entry None is one photo without an identity.

    The persons in ``unmasked`` have no masks; ``expressions`` are those of the photos, if given. Returns the
    manifest's path.
    """
    from skimage.data import astronaut

    random = np.random.default_rng(seed)
    portrait = astronaut()
    photos, workspace = folder / dataset, folder / "workspace"
    rows: list[dict] = []
    for person, count in enumerate(images_per_identity):
        tint = random.uniform(0.6, 1.0, 3)
        for number in range(count or 1):
            turn = random.uniform(-25, 25)
            matrix = cv2.getRotationMatrix2D((224.0, 130.0), turn, random.uniform(0.8, 1.3))
            matrix[:, 2] += side / 2 - np.array([224.0, 130.0]) + random.uniform(-20, 20, 2)
            image = (cv2.warpAffine(portrait, matrix, (side, side)) * tint).astype(np.uint8)
            points = (ASTRONAUT @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
            image_name = f"{name}{person:02d}/{number:02d}.jpg"
            mask_name = f"masks/{name}{person:02d}_{number:02d}.png" if person not in unmasked else None
            (photos / image_name).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(photos / image_name), image[..., ::-1])
            (workspace / "masks").mkdir(parents=True, exist_ok=True)
            if mask_name:
                outline = cv2.convexHull(points.astype(np.int32))
                mask = cv2.fillConvexPoly(np.zeros((side, side), np.uint8), outline, (255,))
                cv2.imwrite(str(workspace / mask_name), mask)
            rows.append(
                {
                    "sample_id": f"{dataset}/{image_name}",
                    "dataset": dataset,
                    "identity": None if count is None else f"{name}{person:02d}",
                    "image": image_name,
                    "width": side,
                    "height": side,
                    "landmarks": points.reshape(-1).tolist(),
                    "box": [*points.min(0).tolist(), *points.max(0).tolist()],
                    "mask_path": mask_name,
                    "status": "ok",
                }
            )
    path = folder / f"{name}.parquet"
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    if expressions:
        columns["expression"] = pa.array(expressions, pa.int32())
    table = pa.table(
        {
            **columns,
            "identity": pa.array(columns["identity"], pa.string()),
            "mask_path": pa.array(columns["mask_path"], pa.string()),
            "landmarks": pa.array(columns["landmarks"], pa.list_(pa.float32(), 136)),
            "box": pa.array(columns["box"], pa.list_(pa.float32(), 4)),
        }
    )
    write_manifest(table, path, roots={dataset: photos, "workspace": workspace})
    return path
