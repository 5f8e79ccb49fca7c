"""The progress of each dataset by stage, and the rows that ended, with their reasons."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from deca_data.stages import stages
from pipelines.workspace.parts import is_whole
from pipelines.workspace.shard_tables import shard_files, tables
from pipelines.workspace.workspace import Workspace


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
    """Rows that a stage has dropped or failed so far, grouped by reason, the most frequent first.

    Args:
        workspace: where the parts are; shards that are not done yet are left out.
        examples: how many paths to keep per reason; 0 keeps all.
    """
    files = []
    for each in shard_files(workspace, workspace.fingerprints):
        there = {name: path for name, path in each.stages.items() if is_whole(path)}
        files.append(each._replace(stages=there))
    groups: dict[tuple[str, str, str], Ended] = {}
    for each, table in zip(files, tables(files, ("image",)), strict=True):
        root = workspace.datasets[each.dataset].root
        for row in table.to_pylist():
            if row["status"] == "ok":
                continue
            key = (row["status"], row["stage"] or "", row["reason"] or "")
            group = groups.setdefault(key, Ended(*key))
            group.count += 1
            if not examples or len(group.paths) < examples:
                group.paths.append(str(root / row["image"]))
    return sorted(groups.values(), key=lambda group: (-group.count, group.stage, group.reason))


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
