"""Finds planted faults: `python -m benchmarks.planted --photos FOLDER`.

FOLDER holds one folder per person. A copy with faults of six kinds (see `benchmarks/planted_faults.py`) goes
through the real commands, in processes of their own, with the recipe `deca-paper` and `max_faces=1`. A fault
counts as found if its row was ended for the reason that fits its kind; those that were ended for no reason at
all are "kept". False alarms are untouched photos that were ended for that reason; they are listed, since some
have that very fault by themselves.

Wrong identities and displaced landmarks are counted for all heads, and again for those that face the camera
and for those that are turned: dlib's network was made for faces seen from the front, and landmarks of the
side of a face that nobody sees are a guess. Landmarks are displaced on faces from the front only (see there).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import manifests
from benchmarks.planted_faults import SHARES, plant
from deca_data.head_pose import TURNED
from pipelines.printing import print_table

ELSEWHERE = "duplicate under another identity"


def main() -> None:
    """Plants, runs the commands, prints the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True, help="a folder with a folder per person")
    parser.add_argument("--seed", type=int, default=0, help="which photos get which fault")
    parser.add_argument("--keep", type=Path, help="a new folder for tree and results, kept afterwards")
    parser.add_argument("--set", action="append", default=[], help="a threshold of the recipe, NAME=VALUE")
    options = parser.parse_args()
    if options.keep is not None:
        options.keep.mkdir(parents=True)
        measure(options.photos, options.keep, options.seed, options.set)
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(options.photos, Path(folder), options.seed, options.set)


def measure(photos: Path, folder: Path, seed: int, settings: list[str]) -> None:
    """Everything, in ``folder``."""
    tree = plant(photos, folder / "faces", seed)
    command(folder, "run", str(tree.root), "--name", "planted")
    command(folder, "identities")
    frame = built(folder, settings)
    frame["planted"] = [tree.kinds.get(image) for image in frame["image"]]
    frame["copied"] = frame["image"].isin(list(tree.copied))
    frame.to_pickle(folder / "rows.pkl")
    print_kinds(frame)
    print_alarms(frame)


def command(folder: Path, *words: str) -> None:
    """Runs a `deca-data` command in ``folder``."""
    tool = str(Path(sys.executable).parent / "deca-data")
    subprocess.run([tool, *words, "--quiet"], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def built(folder: Path, settings: list[str]) -> pd.DataFrame:
    """All rows of the manifest, in the order of their paths."""
    words = [word for each in ["max_faces=1", *settings] for word in ("--set", each)]
    command(folder, "build-manifest", "--recipe", "deca-paper", *words)
    frames = [manifests.read(folder / f"{side}.parquet") for side in ("train", "val")]
    return pd.concat(frames).sort_values("image").reset_index(drop=True)


def flagged(kind: str, rows: pd.DataFrame) -> Any:
    """Which rows were ended for the reason that fits ``kind``."""
    stage, reason = rows["stage"].fillna(""), rows["reason"].fillna("")
    ways = {
        # a twin that stayed behind gives a moved photo away as well
        "wrong identity": (stage == "identity")
        | ((rows["planted"] == kind) & reason.str.endswith(ELSEWHERE)),
        "near duplicate": reason == f"near {ELSEWHERE}",
        "faceless": reason == "no face found",
        "unreadable": stage == "decode",
        "two faces": reason.str.startswith("faces above"),
        "displaced landmarks": stage == "consistency",
    }
    return ways[kind]


def line(name: str, kind: str, rows: pd.DataFrame) -> list[str]:
    """One line of the table."""
    found = flagged(kind, rows)
    planted = rows["planted"] == kind
    hits, alarms = int((found & planted).sum()), int(false_alarms(kind, rows).sum())
    recall = f"{hits / planted.sum():.3f}" if planted.any() else ""
    precision = f"{hits / (hits + alarms):.3f}" if hits else ""
    kept = int((planted & (rows["status"] == "ok")).sum())
    return [name, str(int(planted.sum())), str(hits), recall, str(kept), str(alarms), precision]


def false_alarms(kind: str, rows: pd.DataFrame) -> Any:
    """Untouched photos that were ended as of ``kind``, but for those whose picture was planted elsewhere."""
    touched = rows["planted"].notna()
    if kind == "near duplicate":
        touched |= rows["copied"] | rows["duplicate_of"].isin(rows.loc[touched, "sample_id"])
    return flagged(kind, rows) & ~touched


def sides(rows: pd.DataFrame) -> list[tuple[str, Any]]:
    """The rows of heads that face the camera (or that show none), and of turned ones."""
    turned = np.abs(rows["yaw"].to_numpy(dtype=float, na_value=np.nan)) > TURNED  # false where there is none
    return [("from the front", rows[~turned]), ("turned heads", rows[turned])]


def print_kinds(rows: pd.DataFrame) -> None:
    """One line for each kind, and more where turned heads are counted apart."""
    header = ["kind", "planted", "found", "recall", "kept", "false alarms", "precision"]
    lines = []
    for kind in SHARES:
        lines.append(line(kind, kind, rows))
        if kind in ("wrong identity", "displaced landmarks"):
            lines += [line(f"- {name}", kind, part) for name, part in sides(rows)]
    print_table(header, lines)


def print_alarms(rows: pd.DataFrame) -> None:
    """The untouched photos that were ended, and what became of the faults that were not found."""
    for kind in SHARES:
        alarms: Any = rows[false_alarms(kind, rows)]
        if len(alarms):
            print(f"false alarms, {kind}: {', '.join(alarms['image'])}")
        missed: Any = rows[(rows["planted"] == kind) & ~flagged(kind, rows)]
        if len(missed):
            fates = Counter(missed["reason"].fillna("kept").tolist()).most_common()
            print(f"missed, {kind}: {', '.join(f'{count} {fate}' for fate, count in fates)}")


if __name__ == "__main__":
    main()
