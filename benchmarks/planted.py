"""Whether the commands find faults that were planted: recall and precision of each kind.

    python -m benchmarks.planted --photos FOLDER [--seed N ...]

FOLDER holds one folder per person. A copy with faults of six kinds (see `benchmarks/planted_faults.py`) goes
through the real commands with the recipe `deca-paper` and `max_faces=1`. Each seed makes another copy.

- "Found" counts the faults whose row was ended for the reason that fits their kind.
- "Kept" counts the faults whose row was not ended for any reason.
- "False alarms" are photos without a fault that were ended for that reason. They are listed on standard
  error, since some photos have that fault from the beginning.

Wrong identities and displaced landmarks are also counted apart for heads seen from the front and for turned
heads: dlib's network was trained on faces seen from the front, and landmarks on the hidden side of a face are
a guess. Landmarks are displaced only on faces seen from the front.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

import manifests
from benchmarks.planted_faults import SHARES, plant
from benchmarks.tables import markdown
from pipelines.curate.recipe import load_recipe

ELSEWHERE = "duplicate under another identity"

HEADER = ["kind", "planted", "found", "recall", "kept", "false alarms", "precision"]


def main() -> None:
    """Prints a Markdown table over all seeds, and another that compares them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True, help="a folder with one folder per person")
    parser.add_argument(
        "--seed", type=int, nargs="+", default=[0], help="decides which photos get which fault"
    )
    parser.add_argument("--keep", type=Path, help="a new folder for the copies and results; they are kept")
    parser.add_argument("--set", action="append", default=[], help="a threshold of the recipe, NAME=VALUE")
    options = parser.parse_args()
    if options.keep is not None:
        options.keep.mkdir(parents=True)
    found = {}
    for seed in options.seed:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) if options.keep is None else options.keep / f"seed{seed}"
            folder.mkdir(exist_ok=True)
            found[seed] = measure(options.photos, folder, seed, options.set)
    print(markdown(HEADER, kinds(list(found.values()))))
    if len(found) > 1:
        by_seed = [[kind, *(scores(kind, [rows]) for rows in found.values())] for kind in SHARES]
        print("\nRecall and precision of each seed:\n")
        print(markdown(["kind", *(f"seed {seed}" for seed in found)], by_seed))


def measure(photos: Path, folder: Path, seed: int, settings: list[str]) -> pd.DataFrame:
    """Plants the faults of one seed in ``folder``, runs the commands, and returns the rows."""
    print(f"seed {seed}", file=sys.stderr, flush=True)
    tree = plant(photos, folder / "faces", seed)
    command(folder, "run", str(tree.root), "--name", "planted")
    command(folder, "identities")
    frame = built(folder, settings)
    frame["planted"] = [tree.kinds.get(image) for image in frame["image"]]
    frame["copied"] = frame["image"].isin(list(tree.copied))
    frame.to_parquet(folder / "rows.parquet")
    list_mistakes(frame)
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
        # A moved photo may also be found as the duplicate of a similar photo in its own folder.
        "wrong identity": (stage == "identity")
        | ((rows["planted"] == kind) & reason.str.endswith(ELSEWHERE)),
        "near duplicate": reason == f"near {ELSEWHERE}",
        "no face": reason == "no face found",
        "unreadable": stage == "decode",
        "two faces": rows["reason_column"].fillna("") == "faces",
        "displaced landmarks": (stage == "consistency")
        | (rows["reason_column"].fillna("") == "landmark_confidence"),
    }
    return ways[kind]


class Counts(NamedTuple):
    """What became of one kind of fault."""

    planted: int
    found: int
    kept: int
    alarms: int

    @property
    def recall(self) -> str:
        """Share of the planted faults that were found; empty if none was planted."""
        return f"{self.found / self.planted:.3f}" if self.planted else ""

    @property
    def precision(self) -> str:
        """Share of faults among the rows that were ended; empty if no fault was found."""
        return f"{self.found / (self.found + self.alarms):.3f}" if self.found else ""


def count(kind: str, trees: Sequence[pd.DataFrame]) -> Counts:
    """Counts one kind over all trees."""
    total = np.zeros(4, int)
    for rows in trees:
        theirs = rows["planted"] == kind
        each = (
            theirs,
            flagged(kind, rows) & theirs,
            theirs & (rows["status"] == "ok"),
            false_alarms(kind, rows),
        )
        total += [int(one.sum()) for one in each]
    return Counts(*total.tolist())


def scores(kind: str, trees: Sequence[pd.DataFrame]) -> str:
    """Recall and precision in one cell."""
    counts = count(kind, trees)
    return f"{counts.recall}, {counts.precision}"


def false_alarms(kind: str, rows: pd.DataFrame) -> Any:
    """Photos without a fault that were ended as ``kind``, except those that were copied as a fault."""
    touched = rows["planted"].notna()
    if kind == "near duplicate":
        touched |= rows["copied"] | rows["duplicate_of"].isin(rows.loc[touched, "sample_id"])
    return flagged(kind, rows) & ~touched


def turned_heads(rows: pd.DataFrame, wanted: bool) -> Any:
    """The rows of turned heads; or else the other rows, photos without a face included."""
    yaw = np.abs(rows["yaw"].to_numpy(dtype=float, na_value=np.nan))
    turned = yaw > load_recipe("deca-paper").turned_head  # false without a face
    return rows[turned == wanted]


def kinds(trees: Sequence[pd.DataFrame]) -> list[list[str]]:
    """A row for each kind, and two more where turned heads are counted apart."""
    lines = []
    for kind in SHARES:
        lines.append(_line(kind, count(kind, trees)))
        if kind in ("wrong identity", "displaced landmarks"):
            for name, wanted in (("seen from the front", False), ("turned heads", True)):
                chosen = [turned_heads(rows, wanted) for rows in trees]
                lines.append(_line(f"- {name}", count(kind, chosen)))
    return lines


def _line(name: str, counts: Counts) -> list[str]:
    found = [str(each) for each in counts]
    return [name, *found[:2], counts.recall, *found[2:], counts.precision]


def list_mistakes(rows: pd.DataFrame) -> None:
    """Names the false alarms, and says what became of the faults that were not found."""
    for kind in SHARES:
        alarms: Any = rows[false_alarms(kind, rows)]
        if len(alarms):
            print(f"false alarms, {kind}: {', '.join(alarms['image'])}", file=sys.stderr)
        missed: Any = rows[(rows["planted"] == kind) & ~flagged(kind, rows)]
        if len(missed):
            fates = Counter(missed["reason"].fillna("kept").tolist()).most_common()
            words = ", ".join(f"{number} {fate}" for fate, number in fates)
            print(f"missed, {kind}: {words}", file=sys.stderr)


if __name__ == "__main__":
    main()
