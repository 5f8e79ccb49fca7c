"""`make demo`: the whole pipeline on two public-domain portraits, with the commands that a user types."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from manifests.images.decode import Unreadable, decode_file
from manifests.images.kept import read_mask
from manifests.reading import Manifest, open_manifest
from pipelines.demo.overlays import overlay, sheet
from pipelines.demo.portraits import FACES, FAULTS_FILE, make_photos, save_portraits
from pipelines.terminal.tables import print_table

COMMANDS = (
    "deca-data landmarks ./vggface2",
    "deca-data masks",
    "deca-data build-manifest",
    "deca train --manifest train.parquet --preset cpu --stage pretrain --set pretrain.steps=40",
    "deca fit ./portraits --out heads",
    "deca view heads",
)


def main(folder: Path) -> int:
    """Makes the raw photos, runs the commands in ``folder``, and prints the results."""
    start = time.monotonic()
    raw = folder / "vggface2"
    faults = make_photos(raw)
    save_portraits(folder / "portraits")
    photos = sum(1 for _ in raw.rglob("*.jpg"))
    print(f"{raw}: {photos} photos made from two public-domain portraits, {len(faults)} of them with a fault")
    for line in COMMANDS:
        print(f"\n$ {line}", flush=True)
        code = subprocess.run(line.split(), cwd=folder, env=_environment()).returncode
        if code != 0:
            print(f"error: `{line}` ended with exit code {code}", file=sys.stderr)
            return 1
    rows = _rows(folder)
    print("\nThe result of every file:\n")
    _print_rows(rows, json.loads((raw / FAULTS_FILE).read_text()))
    pictures = _draw(folder, rows)
    print("\nThese few photos cannot train a useful model; the demo shows that every part works.")
    print("The two heads need none: `deca fit` found them from the portraits alone.")
    print("\nHeads:")
    for mesh in sorted((folder / "heads").glob("*.glb")):
        print(f"  {os.path.relpath(mesh)}")
    print(f"  {os.path.relpath(folder / 'heads/view.html')}  both in 3-D, with sliders; open it in a browser")
    print("\nPictures:")
    for path, text in pictures:
        print(f"  {os.path.relpath(path)}  {text}")
    print(f"\ndone in {time.monotonic() - start:.0f} s")
    return 0


def _environment() -> dict[str, str]:
    """Returns the environment without DECA_ settings; this installation is first on the path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DECA_")}
    return {**kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"}


def _rows(folder: Path) -> list[tuple[Manifest, dict[str, Any]]]:
    found = []
    for side in ("train", "val"):
        manifest = open_manifest(folder / f"{side}.parquet")
        found += [(manifest, row) for row in manifest.table.to_pylist()]
    return sorted(found, key=lambda pair: pair[1]["sample_id"])


def _print_rows(rows: list[tuple[Manifest, dict[str, Any]]], faults: dict[str, str]) -> None:
    table = []
    for _, row in rows:
        why = "" if row["status"] == "ok" else f" ({row['stage']}: {row['reason']})"
        table.append([row["image"], faults.get(row["image"], ""), row["split"], row["status"] + why])
    print_table(["file", "planted fault", "split", "result"], table)


def _draw(folder: Path, rows: list[tuple[Manifest, dict[str, Any]]]) -> list[tuple[Path, str]]:
    """Writes an overlay per photo and a sheet; returns the paths of sheet and trainer's images."""
    place = folder / "pictures"
    place.mkdir(exist_ok=True)
    drawn, captions = [], []
    for manifest, row in rows:
        try:
            image = decode_file(manifest.image_path(row["dataset"], row["image"])).image
        except Unreadable:
            continue
        points = None if row["landmarks"] is None else np.array(row["landmarks"], np.float32).reshape(68, 2)
        mask_path = row["mask_path"]
        mask = None if mask_path is None else read_mask(manifest.workspace_path(mask_path))
        picture = overlay(image, points, mask)
        name = row["image"].replace("/", "_")
        cv2.imwrite(str(place / name), picture[..., ::-1])
        drawn.append(picture)
        captions.append(f"{row['image'].split('/', 1)[1]} {row['reason'] or row['status']}")
    cv2.imwrite(str(place / "sheet.png"), sheet(drawn, captions)[..., ::-1])
    found = [(place / "sheet.png", "all photos with landmarks and mask; single photos are beside it")]
    run = max((folder / "runs").iterdir())  # every run of the demo adds one: runs/001, runs/002
    found += [(path, "from the trainer") for path in sorted(run.rglob("*.png"))]
    heads = [folder / "heads" / f"{name}.png" for name in FACES]
    return found + [(path, "the head fitted to the portrait") for path in heads]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo")))
