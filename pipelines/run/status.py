"""The progress of each dataset by stage, and the rows that ended, with their reasons."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from deca_data.stages import stages
from manifests.reading import open_parquet
from pipelines.run.runner import images_folder
from pipelines.workspace.parts import is_whole
from pipelines.workspace.shard_tables import shard_files, tables
from pipelines.workspace.workspace import Dataset, Workspace


@dataclass(frozen=True)
class StageStatus:
    """One cell of the status table.

    Attributes:
        dataset: name.
        stage: name; "scan" for the list of files.
        done: rows that the stage has processed under its present settings.
        total: rows of the dataset.
        rate: photos per second in the last run of the stage, over all workers; None before the first run.
    """

    dataset: str
    stage: str
    done: int
    total: int
    rate: float | None


@dataclass
class Ended:
    """Rows that ended for one reason."""

    status: str
    stage: str
    reason: str
    count: int = 0
    paths: list[str] = field(default_factory=list)


def status(workspace: Workspace) -> list[StageStatus]:
    """The status of each stage of each dataset; reads file names only, so it is fast for millions of rows."""
    prints = workspace.fingerprints
    rates = _rates(workspace)
    found = []
    for dataset in workspace.datasets:
        shards = workspace.shards(dataset) or []
        total = sum(shard.rows for shard in shards)
        found.append(StageStatus(dataset, "scan", total, total, None))
        for stage in (name for name in stages() if name in prints):
            done = workspace.done(dataset, stage, prints[stage])
            rows = sum(shard.rows for shard in shards if shard.key in done)
            found.append(StageStatus(dataset, stage, rows, total, rates.get(stage)))
    return found


def ended_rows(workspace: Workspace, examples: int) -> list[Ended]:
    """Rows that a stage or the last `build-manifest` dropped or failed, by reason, the most frequent first.

    Args:
        workspace: where the parts are; shards that are not done yet are left out.
        examples: how many paths to keep per reason; 0 keeps all.
    """
    groups: dict[tuple[str, str, str], Ended] = {}
    known: set[tuple[str, str]] = set()
    for dataset, row in chain(_of_stages(workspace), _of_manifests(workspace)):
        if (dataset.name, row["image"]) in known:
            continue
        known.add((dataset.name, row["image"]))
        key = (row["status"], row["stage"] or "", row["reason"] or "")
        group = groups.setdefault(key, Ended(*key))
        group.count += 1
        if not examples or len(group.paths) < examples:
            # A video that gave no frames is named itself, and lies in the raw folder.
            framed = row["frame"] is not None
            folder = images_folder(workspace, dataset) if framed else dataset.root
            group.paths.append(str(folder / row["image"]))
    return sorted(groups.values(), key=lambda group: (-group.count, group.stage, group.reason))


def _of_stages(workspace: Workspace) -> Iterator[tuple[Dataset, dict[str, Any]]]:
    files = []
    for each in shard_files(workspace, workspace.fingerprints):
        if is_whole(each.scan):
            there = {name: path for name, path in each.stages.items() if is_whole(path)}
            files.append(each._replace(stages=there))
    for each, table in zip(files, tables(files, ("image", "frame")), strict=True):
        dataset = workspace.datasets[each.dataset]
        yield from ((dataset, row) for row in table.to_pylist() if row["status"] != "ok")


def _of_manifests(workspace: Workspace) -> Iterator[tuple[Dataset, dict[str, Any]]]:
    """Rows that ended in the manifests that were made last, as far as these are still there."""
    wanted = ["dataset", "image", "frame", "status", "stage", "reason"]
    for path in workspace.built():
        if not path.is_file():
            continue
        with open_parquet(path) as file:
            for batch in file.iter_batches(columns=wanted):
                for row in batch.to_pylist():
                    if row["status"] != "ok" and row["dataset"] in workspace.datasets:
                        yield workspace.datasets[row["dataset"]], row


def _rates(workspace: Workspace) -> dict[str, float]:
    path = workspace.path / "runs.jsonl"
    rates: dict[str, float] = {}
    if path.exists():
        for line in path.read_text(errors="replace").splitlines():
            try:
                entry = json.loads(line)
                if entry["seconds"] > 0 and entry["rows"]:
                    rates.update(dict.fromkeys(entry["stages"], entry["rows"] / entry["seconds"]))
            except (ValueError, KeyError, TypeError):
                continue  # a kill cut the line off
    return rates
