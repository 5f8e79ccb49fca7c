"""Finds results that were there and are not whole any more, so that the same call makes them again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from deca_data.sources import get_source
from deca_data.stages import facts_of
from pipelines.run.stage_plan import fingerprints
from pipelines.workspace.parts import is_whole, read_part
from pipelines.workspace.workspace import StageSpec, Workspace

Lost = set[tuple[str, str, str]]
"""Dataset, stage and key of parts that must be made again."""


def damaged_scan(workspace: Workspace, dataset: str) -> Path | None:
    """The first part of a dataset's scan, or frame of a video, that is missing or damaged, or None."""
    shards = workspace.shards(dataset)
    if shards is None:
        return workspace.shards_path(dataset)
    for key, _ in shards:
        path = workspace.scan_path(dataset, key)
        if not is_whole(path):
            return path
        lost = lost_frame(workspace, dataset, path)
        if lost is not None:
            return lost
    return None


def lost_frame(workspace: Workspace, dataset: str, part: Path) -> Path | None:
    """The first frame that a part of the scan lists and that does not exist; None for photos."""
    if not get_source(workspace.datasets[dataset].source).video:
        return None
    table = read_part(part, ["image", "frame"])
    images = table.filter(table.column("frame").is_valid()).column("image").to_pylist()
    listed = lru_cache(maxsize=64)(_names)
    paths = (workspace.path / "frames" / dataset / image for image in images)
    return next((path for path in paths if path.name not in listed(path.parent)), None)


def lost_results(workspace: Workspace, specs: Iterable[StageSpec], say: Callable[[str], None]) -> Lost:
    """The parts that are empty or cut off, or whose landmark or mask files are gone.

    Their number is said, with the first of them, for each stage. It takes about a second for a million rows.

    Args:
        workspace: where to look.
        specs: the stages.
        say: prints one line.
    """
    listed = lru_cache(maxsize=64)(_names)
    lost: Lost = set()
    for stage, fingerprint in fingerprints(specs).items():
        columns = [name for name in facts_of(stage).writes if name.endswith("_path")]
        for dataset in workspace.datasets:
            done = workspace.done(dataset, stage, fingerprint)
            found: list[Path] = []
            for key in [shard.key for shard in workspace.shards(dataset) or [] if shard.key in done]:
                part = workspace.part_path(dataset, stage, fingerprint, key)
                gone = [part] if not is_whole(part) else list(_gone(workspace.path, part, columns, listed))
                if gone:
                    found += gone
                    lost.add((dataset, stage, key))
            if found:
                say(
                    f"{dataset}: {len(found)} files of {stage!r} are missing or damaged and made again; the "
                    f"first: {found[0]}"
                )
    return lost


def _gone(
    workspace: Path, part: Path, columns: list[str], listed: Callable[[Path], frozenset[str]]
) -> Iterator[Path]:
    """The files that a part's ``columns`` name and that do not exist."""
    if not columns:
        return
    table = read_part(part, columns)
    for column in table.columns:
        for relative in column.drop_null().to_pylist():
            path = workspace / relative
            if path.name not in listed(path.parent):
                yield path


def _names(folder: Path) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
