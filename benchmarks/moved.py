"""Photos moved to other persons, in many draws: recall and precision of the identity check alone.

    python -m benchmarks.moved --photos FOLDER [--draws 40] [--workspace FOLDER]

FOLDER holds one folder per person. Its photos go through the stages once; then each draw moves 5 % of them to
other persons, and the recipe `deca-paper` decides again. Photos that the recipe ends for other reasons (their
landmarks, duplicates) do not count. Turned heads are those of the recipe. False alarms go to standard error,
each with the number of draws.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.planted import command
from benchmarks.tables import markdown
from pipelines.curate.build import quality_order, read_embeddings
from pipelines.curate.decisions import Decisions
from pipelines.curate.duplicates import drop_exact
from pipelines.curate.identities import STAGE, check, drop_outliers, margins
from pipelines.curate.near_duplicates import drop_near
from pipelines.curate.recipe import Recipe, load_recipe
from pipelines.curate.scores import load_scores
from pipelines.curate.thresholds import apply_thresholds
from pipelines.run.stage_plan import fingerprints, with_defaults
from pipelines.terminal.progress_bar import progress
from pipelines.workspace.shard_tables import shard_files
from pipelines.workspace.workspace import Workspace

SHARE = 0.05


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True, help="a folder with one folder per person")
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument(
        "--workspace", type=Path, help="a new folder for the stages' results, or an old one of its own"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.workspace or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        command(
            folder, "run", str(given.photos.resolve()), "--dataset", "folder", "--name", given.photos.name
        )
        command(folder, "identities")
        frame, vectors = read_workspace(folder)
    recipe = load_recipe("deca-paper")
    counts, alarms = np.zeros((2, 3), int), Counter()
    for moved, dropped in draws(frame, vectors, recipe, given.draws):
        turned = np.abs(frame["yaw"].to_numpy(np.float32, na_value=0.0)) > recipe.turned_head
        for place, chosen in enumerate((~turned, turned)):
            counts[place] += [
                (moved & chosen).sum(),
                (moved & dropped & chosen).sum(),
                (dropped & chosen).sum(),
            ]
        alarms.update(frame["sample_id"][dropped & ~moved].tolist())
    print(
        "\n".join(f"{number} of {given.draws}: {name}" for name, number in alarms.most_common()),
        file=sys.stderr,
    )
    rows = []
    for name, (planted, found, ended) in zip(
        ("all", "seen from the front", "turned heads"), (counts.sum(0), *counts), strict=True
    ):
        rows.append([name, planted, f"{found / max(planted, 1):.3f}", f"{found / max(ended, 1):.3f}"])
    print(markdown(["photos", "moved", "recall", "precision"], rows))


def read_workspace(folder: Path) -> tuple[pd.DataFrame, list[np.ndarray]]:
    """The scores of the photos, and their embeddings in blocks."""
    workspace = Workspace.open(folder / "deca-workspace", create=False)
    files = shard_files(workspace, fingerprints(with_defaults(workspace.stages, workspace.stages)))
    with progress("scores", None, "rows", quiet=True) as shown:
        frame, _ = load_scores(files, shown)
    return frame, list(read_embeddings(files))


def draws(
    frame: pd.DataFrame, vectors: list[np.ndarray], recipe: Recipe, number: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields (N,) bool which photos are moved, and which the identity check drops; only photos that count."""
    persons = frame["person"].to_numpy()
    before = Decisions.begin(frame)
    apply_thresholds(before, recipe)
    drop_exact(before, quality_order(frame))
    if recipe.near_duplicates is not None:
        drop_near(before, quality_order(frame), recipe.near_duplicates)
    for seed in range(number):
        rng = np.random.default_rng(seed)
        moved = np.zeros(len(persons), dtype=bool)
        moved[rng.choice(len(persons), round(SHARE * len(persons)), replace=False)] = True
        people = persons.max() + 1
        theirs = np.where(moved, (persons + rng.integers(1, people, len(persons))) % people, persons)
        checked = check(theirs, vectors)
        scored = frame.assign(
            identity_score=checked.scores, identity_margin=margins(theirs, vectors, checked)
        )
        decisions = Decisions.begin(scored)
        decisions.status[:] = before.status
        drop_outliers(
            decisions,
            "identity_score",
            recipe.identity_outliers,
            recipe.identity_outliers_turned,
            recipe.turned_head,
        )
        drop_outliers(
            decisions,
            "identity_margin",
            recipe.identity_margin,
            recipe.identity_margin_turned,
            recipe.turned_head,
        )
        yield moved & before.ok, before.ok & (decisions.stage == STAGE) & ~decisions.ok


if __name__ == "__main__":
    main()
