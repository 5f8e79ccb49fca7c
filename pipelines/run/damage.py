"""Finds results that were there and are not whole any more, so that the same call makes them again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from deca_data.sources import get_source
from deca_data.stages import facts_of
from pipelines.run.stage_plan import fingerprints
from pipelines.workspace.parts import SIZES, footer_of, is_whole, read_part
from pipelines.workspace.whole_files import folder_sizes, is_whole_file
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
    """The first frame that a part of the scan lists and that is missing or damaged; None for photos."""
    if not get_source(workspace.datasets[dataset].source).video:
        return None
    frames = workspace.path / "frames" / dataset
    return next(_gone(frames, part, ["image"], lru_cache(maxsize=64)(folder_sizes), only="frame"), None)


def lost_results(workspace: Workspace, specs: Iterable[StageSpec], say: Callable[[str], None]) -> Lost:
    """The parts that are empty or cut off, or whose landmark or mask files are gone, empty or cut off.

    Their number is said, with the first of them, for each stage. A million files take about 4 s.

    Args:
        workspace: where to look.
        specs: the stages.
        say: prints one line.
    """
    listed = lru_cache(maxsize=64)(folder_sizes)
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
    root: Path, part: Path, columns: list[str], listed: Callable[[str], dict[str, int]], only: str = ""
) -> Iterator[Path]:
    """The files below ``root`` that a part's ``columns`` name and that are missing, empty or cut off.

    ``only`` is a column without which a row names no such file.
    """
    if not columns:
        return
    table = read_part(part, [*columns, only] if only else columns)
    sizes = footer_of(table).get(SIZES, {})
    for name in columns:
        paths = table.column(name).to_pylist()
        known = sizes.get(name, [None] * len(paths))
        there = table.column(only or name).is_valid().to_pylist()
        for relative, written, named in zip(paths, known, there, strict=True):
            if not named:
                continue
            folder, _, file = f"{root}/{relative}".rpartition("/")
            size = listed(folder).get(file)
            if size is None or (size != written and not is_whole_file(Path(folder, file), size, written)):
                yield root / relative
