"""Joins the parts of all stages, shard by shard, into rows of the manifest."""

# pyarrow.compute makes its functions at import, so a type checker does not see them.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from deca_data.stage import part_columns
from deca_data.stages import stage_class, stages
from manifests.schema import SCHEMA
from pipelines.threads import in_order
from pipelines.workspace.parts import OUTCOME, read_part
from pipelines.workspace.workspace import Workspace

READERS, AHEAD = 2, 8
"""Threads that read parts, and parts read ahead; a single thread would mostly wait for the file system."""


class ShardFiles(NamedTuple):
    """The parts of one shard: the scan's, and each stage's, in order."""

    dataset: str
    rows: int
    scan: Path
    stages: Mapping[str, Path]


def shard_files(workspace: Workspace, prints: Mapping[str, str]) -> list[ShardFiles]:
    """Lists all shards of all datasets, in the manifest's order; ``prints`` are the stages' fingerprints."""
    names = [name for name in stages() if name in prints]
    return [
        ShardFiles(
            dataset,
            rows,
            workspace.scan_path(dataset, key),
            {name: workspace.part_path(dataset, name, prints[name], key) for name in names},
        )
        for dataset in workspace.datasets
        for key, rows in workspace.shards(dataset) or []
    ]


def tables(files: list[ShardFiles], columns: tuple[str, ...], outcome: bool = True) -> Iterator[pa.Table]:
    """Yields a table per shard with ``columns`` and, if asked, the combined status, stage and reason."""
    return in_order(
        partial(shard_table, columns=columns, outcome=OUTCOME if outcome else ()), files, READERS, AHEAD
    )


def stage_tables(files: list[ShardFiles], stage: str, columns: tuple[str, ...]) -> Iterator[pa.Table]:
    """Yields a table per shard with ``columns`` of one stage, also for rows that another stage ended."""
    return in_order(lambda each: read_part(each.stages[stage], list(columns)), files, READERS, AHEAD)


def shard_table(files: ShardFiles, columns: tuple[str, ...], outcome: tuple[str, ...] = OUTCOME) -> pa.Table:
    """Reads the ``columns`` of a shard's rows, and those of status, stage and reason in ``outcome``."""
    wanted = [name for name in columns if name not in OUTCOME]
    scan = read_part(files.scan, [*wanted, *outcome])  # names that a scan does not have are ignored
    found = {name: scan.column(name) for name in scan.column_names}
    outcomes = [scan.select(outcome)]
    for stage, path in files.stages.items():
        names = [name for name in part_columns(stage_class(stage)) if name in wanted]
        if not names and not outcome:
            continue
        part = read_part(path, [*names, *outcome])
        found.update({name: part.column(name) for name in names})
        outcomes.append(part.select(outcome))
    for name in wanted:
        if name not in found:
            found[name] = pa.nulls(
                scan.num_rows, SCHEMA.field(name).type if name in SCHEMA.names else pa.null()
            )
    data = {name: found[name] for name in wanted}
    return pa.table({**data, **_first_end(outcomes)} if outcome else data)


def _first_end(outcomes: list[pa.Table]) -> dict[str, pa.ChunkedArray]:
    """Returns status, stage and reason of the first stage that ended a row; ok if none did."""
    kept = {name: outcomes[-1].column(name) for name in OUTCOME}
    for table in reversed(outcomes[:-1]):
        ends = pc.fill_null(pc.not_equal(table.column("status"), "ok"), False)
        if not pc.any(ends).as_py():
            continue
        kept = {name: pc.if_else(ends, table.column(name), kept[name]) for name in OUTCOME}
    return {**kept, "status": pc.fill_null(kept["status"], "ok")}
