"""`build-manifest`: all parts in, `train.parquet` and `val.parquet` out."""

# pyarrow.compute makes its functions at import, where a type checker cannot see them.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from deca_data.stages import added_columns
from deca_data.stages.identity import EMBEDDING
from manifests.errors import UsageError
from manifests.files import writable_file, writable_folder
from manifests.reading import WORKSPACE
from manifests.schema import BOUND_COLUMNS, NAMES, SPLITS, subset
from manifests.writing import manifest_writer
from pipelines.curate.agreement import check_agreement
from pipelines.curate.decisions import OK, Decisions
from pipelines.curate.duplicates import drop_exact
from pipelines.curate.exclusion import NOTHING, Excluded, drop_excluded, read_excluded
from pipelines.curate.identities import check, drop_outliers, lookalikes, margins
from pipelines.curate.near_duplicates import LongHashes, drop_near
from pipelines.curate.recipe import Recipe, load_recipe
from pipelines.curate.scores import load_scores, long_hashes
from pipelines.curate.selection import select, split
from pipelines.curate.thresholds import apply_thresholds
from pipelines.run.bring_up import Call, bring_up, working_in
from pipelines.run.runner import images_folder
from pipelines.run.stage_plan import fingerprints, make_stage, with_defaults
from pipelines.terminal.progress_bar import Progress, progress
from pipelines.workspace.shard_tables import ShardFiles, shard_files, stage_tables, tables
from pipelines.workspace.workspace import StageSpec, Workspace

IDENTITY_SCORES = ("identity_score", "identity_margin")
DECIDED = ("duplicate_of", *IDENTITY_SCORES, "split", "status", "stage", "reason", *BOUND_COLUMNS)
LISTED = 1000
"""Maximum number of pairs of persons who look alike in a manifest's metadata."""


@dataclass
class Built:
    """What a build made; JSON-able.

    Attributes:
        files: path of the manifest of each split.
        counts: rows by split and status.
        reasons: status, stage, reason and number of rows, the largest number first.
        notes: sentences for the user.
        lookalikes: pairs of persons who look alike, and their cosine.
    """

    files: dict[str, str]
    counts: dict[str, dict[str, int]]
    reasons: list[list[Any]]
    notes: list[str]
    lookalikes: list[tuple[str, str, float]]


def build_manifest(
    call: Call, recipe_name: str, changes: dict[str, Any], out: Path, exclude: Sequence[Path] = ()
) -> Built:
    """Runs the missing stages and writes `train.parquet` and `val.parquet` into ``out``.

    The manifest has the results of the stages that the recipe needs and of all that ran in this workspace.
    ``exclude`` are lists of photos to leave out.
    """
    recipe = load_recipe(recipe_name, changes)
    excluded = read_excluded(exclude)
    writable_folder(out, f"--out {out}")
    for side in SPLITS:
        writable_file(out / f"{side}.parquet", str(out / f"{side}.parquet"))
    with working_in(call) as workspace:
        names = recipe.stages() | set(workspace.stages)
        if "identity" in names and "identity" not in workspace.stages:
            names -= _without_embedder(call)
        bring_up(workspace, call, sorted(names))
        specs = with_defaults(workspace.stages, names)
        rows = sum(shard.rows for name in workspace.datasets for shard in workspace.shards(name) or [])
        with progress("build manifest", rows, "photos", quiet=call.quiet, passes=2) as shown:
            built = build(workspace, specs, recipe, out, shown, excluded)
        workspace.set_built(map(Path, built.files.values()))
        return built


def build(
    workspace: Workspace,
    specs: list[StageSpec],
    recipe: Recipe,
    out: Path,
    progress: Progress,
    excluded: Excluded = NOTHING,
) -> Built:
    """Decides about every row and writes the two manifests.

    The scores of all rows are held in memory; landmarks and paths are read and written shard by shard.

    Args:
        workspace: all its parts must exist (see `runner.plan`).
        specs: the stages of the manifest.
        recipe: thresholds.
        out: the folder for the two files.
        progress: advanced twice by the number of rows.
        excluded: photos to leave out.
    """
    prints = fingerprints(specs)
    files = shard_files(workspace, prints)
    frame, names = load_scores(files, progress)
    alike = _verify_identities(frame, names, files, recipe.lookalikes) if "identity" in prints else []
    decisions = Decisions.begin(frame)
    long = partial(long_hashes, files) if "quality" in prints else None
    notes = decide(decisions, names, recipe, long, alike, excluded)
    info = {
        "recipe": recipe.model_dump(),
        "bounds": decisions.bounds,
        "stages": {spec.name: spec.model_dump(mode="json", exclude={"device"}) for spec in specs},
        "fingerprints": prints,
        "sources": {name: dataset.source for name, dataset in workspace.datasets.items()},
        "identities": "verified" if "identity" in prints else "as the folders say",
        "lookalikes": alike[:LISTED],
        **({"excluded": excluded.info()} if excluded.files else {}),
    }
    paths = {side: out / f"{side}.parquet" for side in SPLITS}
    roots = {name: images_folder(workspace, each) for name, each in workspace.datasets.items()}
    roots[WORKSPACE] = workspace.path
    added = added_columns(spec.name for spec in specs)
    found_by_stages = [name for name in (*NAMES, *(each.name for each in added)) if name not in DECIDED]
    with ExitStack() as stack:
        writers = {
            side: stack.enter_context(
                manifest_writer(path, roots=roots, info={**info, "split": side}, added=added)
            )
            for side, path in paths.items()
        }
        decided, start = _decided(decisions), 0
        for table in tables(files, tuple(found_by_stages), outcome=False):
            found = decided.slice(start, table.num_rows)
            table = pa.table([*table.columns, *found.columns], [*table.column_names, *found.column_names])
            sides = set(decisions.split[start : start + table.num_rows])
            for side in sides:  # most often one; a filter would copy the rows
                rows = table.filter(pc.equal(found.column("split"), side)) if len(sides) > 1 else table
                writers[side].write(rows)
            start += table.num_rows
            progress.advance(table.num_rows)
    names = ("split", "status", "stage", "reason")
    rows: Any = pd.DataFrame({name: getattr(decisions, name) for name in names})
    ended = rows[rows["status"] != OK].groupby(["status", "stage", "reason"]).size()
    return Built(
        files={side: str(path) for side, path in paths.items()},
        counts={side: rows[rows["split"] == side].groupby("status").size().to_dict() for side in SPLITS},
        reasons=[[*key, n] for key, n in ended.sort_values(ascending=False, kind="stable").to_dict().items()],
        notes=notes,
        lookalikes=alike,
    )


def decide(
    decisions: Decisions,
    names: list[str],
    recipe: Recipe,
    long: LongHashes | None = None,
    alike: Sequence[tuple[str, str, float]] = (),
    excluded: Excluded = NOTHING,
) -> list[str]:
    """Makes all decisions, step by step; returns sentences for the user.

    Duplicates come before the identity check, so that copies under two names are both flagged, whichever
    name is wrong; and before the photos in ``excluded``, so that no copy takes the place of one of them.
    Persons whose photos do not agree stop the build before any photo counts as an outlier.
    ``alike`` are the pairs of persons who look alike, see `split`.
    """
    apply_thresholds(decisions, recipe)
    better = quality_order(decisions.frame)
    if recipe.exact_duplicates:
        drop_exact(decisions, better)
    if recipe.near_duplicates is not None:
        drop_near(decisions, better, recipe.near_duplicates, recipe.near_duplicates_long, long)
    notes = drop_excluded(decisions, excluded)
    if "identity_score" in decisions.frame and recipe.identity_outliers is not None:
        notes += check_agreement(decisions, names, recipe)
        for name, least, turned in (
            ("identity_score", recipe.identity_outliers, recipe.identity_outliers_turned),
            ("identity_margin", recipe.identity_margin, recipe.identity_margin_turned),
        ):
            drop_outliers(decisions, name, least, turned, recipe.turned_head)
    select(decisions, recipe, better)
    return [*notes, *split(decisions, names, recipe, alike)]


def quality_order(frame: pd.DataFrame) -> np.ndarray:
    """Returns (N,) float ranks for copies and surplus photos: larger and sharper is better."""
    size, sharp = (frame[each].to_numpy(np.float64, na_value=0.0) for each in ("face_size", "sharpness"))
    return np.log1p(size) + 0.5 * np.log1p(sharp)


def _verify_identities(
    frame: pd.DataFrame, names: list[str], files: list[ShardFiles], least: float
) -> list[tuple[str, str, float]]:
    """Adds identity_score and identity_margin to ``frame``; returns the pairs of at least ``least``."""
    persons = frame["person"].to_numpy()
    checked = check(persons, read_embeddings(files))
    frame["identity_score"] = checked.scores
    frame["identity_margin"] = margins(persons, read_embeddings(files), checked)
    pairs = lookalikes(checked.centres, least)
    found = [(names[a], names[b], round(cosine, 4)) for a, b, cosine in pairs]
    return sorted(found, key=lambda pair: (-pair[2], *pair[:2]))


def read_embeddings(files: list[ShardFiles]) -> Iterator[np.ndarray]:
    """Yields the embeddings of each block of rows, (M, D) float32; NaN in rows without one."""
    for table in stage_tables(files, "identity", (EMBEDDING,)):
        column = table.column(EMBEDDING).combine_chunks()
        there = column.is_valid().to_numpy(zero_copy_only=False)
        values = column.flatten().to_numpy(zero_copy_only=False).reshape(int(there.sum()) or 1, -1)
        found = np.full((len(column), values.shape[1]), np.nan, dtype=np.float32)
        found[there] = values
        yield found


def _decided(decisions: Decisions) -> pa.Table:
    """Returns the columns of `DECIDED`, one row per row of the manifest."""
    bounds = pa.Table.from_pylist(
        [dict(zip(BOUND_COLUMNS, bound, strict=True)) for bound in decisions.bounds], subset(BOUND_COLUMNS)
    )
    broken = bounds.take(pa.array(decisions.bound, mask=decisions.bound < 0))
    ids = pa.chunked_array(pa.array(decisions.frame["sample_id"], type=pa.string()))
    copies = pa.array(decisions.duplicate_of, mask=decisions.duplicate_of < 0)
    found = {"duplicate_of": ids.take(copies)}
    for name in IDENTITY_SCORES:
        if name in decisions.frame:
            found[name] = pa.array(decisions.frame[name].to_numpy(dtype=np.float32), from_pandas=True)
    for name in ("split", "status", "stage", "reason"):
        found[name] = pa.array(pd.Categorical(getattr(decisions, name)))
    return pa.table({**found, **dict(zip(BOUND_COLUMNS, broken.columns, strict=True))})


def _without_embedder(call: Call) -> set[str]:
    """Returns the identity stage if no embedder works; identities are then the folders' names."""
    try:
        make_stage(with_defaults({}, ["identity"])[-1])
    except UsageError as error:
        call.say(f"identities are taken as the folders say: {error}")
        return {"identity"}
    return set()
