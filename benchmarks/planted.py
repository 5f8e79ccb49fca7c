"""Finds planted faults: `python -m benchmarks.planted --photos FOLDER [--seed N ...]`.

FOLDER holds one folder per person. A copy with faults of six kinds (see `benchmarks/planted_faults.py`) goes
through the real commands, in processes of their own, with the recipe `deca-paper` and `max_faces=1`. A fault
counts as found if its row was ended for the reason that fits its kind; those that were ended for no reason at
all are "kept". False alarms are untouched photos that were ended for that reason; they are listed, since some
have that very fault by themselves.

Wrong identities and displaced landmarks are counted for all heads, and again for those that face the camera
and for those that are turned: dlib's network was made for faces seen from the front, and landmarks of the
side of a face that nobody sees are a guess. Landmarks are displaced on faces from the front only (see there).
Several seeds make several trees; the last table counts them together.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import manifests
from benchmarks.planted_faults import SHARES, plant
from commands.printing import print_table
from deca_data.head_pose import TURNED

ELSEWHERE = "duplicate under another identity"


def main() -> None:
    """Plants, runs the commands, prints the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True, help="a folder with a folder per person")
    parser.add_argument("--seed", type=int, nargs="+", default=[0], help="which photos get which fault")
    parser.add_argument("--keep", type=Path, help="a new folder for trees and results, kept afterwards")
    parser.add_argument("--set", action="append", default=[], help="a threshold of the recipe, NAME=VALUE")
    options = parser.parse_args()
    if options.keep is not None:
        options.keep.mkdir(parents=True)
    found = []
    for seed in options.seed:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) if options.keep is None else options.keep / f"seed{seed}"
            folder.mkdir(exist_ok=True)
            found.append(measure(options.photos, folder, seed, options.set))
    if len(found) > 1:
        print(f"seeds {', '.join(map(str, options.seed))} together:")
        print_kinds(found)


def measure(photos: Path, folder: Path, seed: int, settings: list[str]) -> pd.DataFrame:
    """Everything for one seed, in ``folder``; returns the rows."""
    print(f"seed {seed}:", flush=True)
    tree = plant(photos, folder / "faces", seed)
    command(folder, "run", str(tree.root), "--name", "planted")
    command(folder, "identities")
    frame = built(folder, settings)
    frame["planted"] = [tree.kinds.get(image) for image in frame["image"]]
    frame["copied"] = frame["image"].isin(list(tree.copied))
    frame.to_pickle(folder / "rows.pkl")
    print_kinds([frame])
    print_alarms(frame)
    return frame


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
        "two faces": rows["reason_column"].fillna("") == "faces",
        "displaced landmarks": stage == "consistency",
    }
    return ways[kind]


def line(name: str, kind: str, trees: Sequence[pd.DataFrame]) -> list[str]:
    """One line of the table, over all trees."""
    planted = hits = kept = alarms = 0
    for rows in trees:
        theirs = rows["planted"] == kind
        planted += int(theirs.sum())
        hits += int((flagged(kind, rows) & theirs).sum())
        kept += int((theirs & (rows["status"] == "ok")).sum())
        alarms += int(false_alarms(kind, rows).sum())
    recall = f"{hits / planted:.3f}" if planted else ""
    precision = f"{hits / (hits + alarms):.3f}" if hits else ""
    return [name, str(planted), str(hits), recall, str(kept), str(alarms), precision]


def false_alarms(kind: str, rows: pd.DataFrame) -> Any:
    """Untouched photos that were ended as of ``kind``, but for those whose picture was planted elsewhere."""
    touched = rows["planted"].notna()
    if kind == "near duplicate":
        touched |= rows["copied"] | rows["duplicate_of"].isin(rows.loc[touched, "sample_id"])
    return flagged(kind, rows) & ~touched


def turned_heads(rows: pd.DataFrame, wanted: bool) -> Any:
    """The rows of turned heads; or of those that face the camera, or that show no face."""
    turned = np.abs(rows["yaw"].to_numpy(dtype=float, na_value=np.nan)) > TURNED  # false where there is none
    return rows[turned == wanted]


def print_kinds(trees: Sequence[pd.DataFrame]) -> None:
    """One line for each kind, and more where turned heads are counted apart."""
    header = ["kind", "planted", "found", "recall", "kept", "false alarms", "precision"]
    lines = []
    for kind in SHARES:
        lines.append(line(kind, kind, trees))
        if kind in ("wrong identity", "displaced landmarks"):
            for name, wanted in (("from the front", False), ("turned heads", True)):
                lines.append(line(f"- {name}", kind, [turned_heads(rows, wanted) for rows in trees]))
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
