"""Runs stages over datasets: plans tasks for the missing parts, runs them, and counts the results."""

from __future__ import annotations

import json
import time
from collections import Counter, deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from deca_data.sources import get_source
from deca_data.stages import closure
from manifests.cores import cpu_count
from manifests.errors import WorkFailed
from pipelines.run.cluster import Lost, executor
from pipelines.run.missing_photos import check_root
from pipelines.run.shard_task import Report, ShardTask
from pipelines.run.stage_plan import fingerprints
from pipelines.run.within_shard import watching
from pipelines.terminal.progress_bar import Progress, as_notes
from pipelines.workspace.parts import read_footer
from pipelines.workspace.workspace import Dataset, StageSpec, Workspace

if TYPE_CHECKING:
    from pipelines.run.frames import FrameTask

Marked = TypeVar("Marked", ShardTask, "FrameTask")
"""A task that can name the file in progress."""

TRIES = 8
"""How often a task may lose its worker while no photo of the task is marked as in progress."""

IMAGE_TIMEOUT = 120.0
"""Seconds for one photo, in one stage; the slowest model takes ten for a large photo on one core."""

WORTH_A_CLUSTER = 100
"""Below this number of photos, worker processes take longer to start than they save."""


class TooManyFailures(WorkFailed):
    """More rows failed than ``Options.max_failures`` allows."""


@dataclass(frozen=True)
class Options:
    """Options of a run.

    Attributes:
        workers: number of processes; None takes one per core, or 1 for few photos, or one per GPU if a stage
            runs on CUDA.
        scheduler: address of a running Dask scheduler.
        retry_failed: run shards with failed rows again.
        max_failures: the run stops if more than this share of at least 200 rows failed.
        image_timeout: seconds that a worker may take for one photo in one stage; None for no limit.
    """

    workers: int | None = None
    scheduler: str | None = None
    retry_failed: bool = False
    max_failures: float = 0.5
    image_timeout: float | None = IMAGE_TIMEOUT


def plan(
    workspace: Workspace,
    specs: Iterable[StageSpec],
    *,
    retry_failed: bool = False,
    lost: Collection[tuple[str, str, str]] = (),
) -> list[ShardTask]:
    """The tasks still to run, so that every stage in ``specs`` has its part of every shard.

    Args:
        workspace: the datasets and their parts.
        specs: the stages.
        retry_failed: whether shards with failed rows are run again.
        lost: dataset, stage and key of parts that exist and are damaged, or whose files are gone.
    """
    specs = tuple(specs)
    prints = fingerprints(specs)
    depends_on = {name: closure([name]) for name in prints}
    tasks = []
    for dataset in workspace.datasets.values():
        images = images_folder(workspace, dataset)
        done = {name: workspace.done(dataset.name, name, each) for name, each in prints.items()}
        for shard in workspace.shards(dataset.name) or []:
            parts = {
                name: workspace.part_path(dataset.name, name, each, shard.key)
                for name, each in prints.items()
            }
            todo = {
                name
                for name in prints
                if shard.key not in done[name] or (dataset.name, name, shard.key) in lost
            }
            if retry_failed:
                todo |= {name for name in set(prints) - todo if read_footer(parts[name]).get("failed")}
            # A stage that depends on a repeated stage is repeated too.
            ordered = tuple(name for name in prints if depends_on[name] & todo)
            if ordered:
                parts["scan"] = workspace.scan_path(dataset.name, shard.key)
                tasks.append(ShardTask(workspace.path, dataset.name, images, shard, specs, parts, ordered))
    # Long tasks first, so that none starts last while other workers are idle; the order has no other effect.
    return sorted(tasks, key=lambda task: -task.shard.rows)


def run(workspace: Workspace, tasks: list[ShardTask], options: Options, progress: Progress) -> Report:
    """Runs one task or more; a finished task has written its parts, even if others fail.

    Raises:
        UsageError: a stage cannot be made, or the scheduler does not answer.
        TooManyFailures: more than ``options.max_failures`` of the rows failed.
        MachineFault: the machine is at fault, not a photo; what is finished is kept.
    """
    total = Report()
    start = time.perf_counter()
    queue = deque(replace(task, image_timeout=options.image_timeout) for task in tasks)
    counters = []
    if progress.wanted:
        queue = deque(
            replace(task, counter=workspace.counter_path(task.dataset, task.shard.key)) for task in queue
        )
        counters = [task.counter for task in queue if task.counter is not None]
    deaths, died = Counter(), False
    for name, images in {task.dataset: task.images for task in tasks}.items():
        if not get_source(workspace.datasets[name].source).video:  # lost frames were made again before
            check_root(name, images)
    gpus = gpus_for(tasks, options)
    with (
        watching(counters, progress) as watch,
        executor(worker_count(tasks, options, gpus), options.scheduler, gpus) as execute,
    ):
        for task, outcome in execute(queue):
            watch.finished(task.counter)
            if isinstance(outcome, Lost):
                died = True
                queue.append(after_death(workspace, task, deaths))
            else:
                total.rows += outcome.rows
                total.statuses += outcome.statuses
                total.reasons += outcome.reasons
                progress.advance(outcome.rows, as_notes(total.statuses))
                _stop_if_too_many_failed(total, options)
    total.seconds = time.perf_counter() - start
    _log(workspace, tasks, total)
    if died:
        workspace.remove_left()
    return total


def images_folder(workspace: Workspace, dataset: Dataset) -> Path:
    """The folder that the rows' `image` is relative to: the raw folder, or the folder of the frames."""
    if get_source(dataset.source).video:
        return workspace.path / "frames" / dataset.name
    return dataset.root


def gpus_for(tasks: list[ShardTask], options: Options) -> list[str]:
    """The GPUs of this machine, if a stage still to run uses CUDA."""
    todo = {name for task in tasks for name in task.todo}
    if options.scheduler or not any(spec.device == "cuda" for spec in tasks[0].specs if spec.name in todo):
        return []
    from pipelines.run.gpus import visible_gpus

    return visible_gpus()


def worker_count(tasks: list[ShardTask], options: Options, gpus: list[str]) -> int:
    """How many processes work, at most one for each task."""
    rows = sum(task.shard.rows for task in tasks)
    wanted = options.workers or len(gpus) or (cpu_count() if rows >= WORTH_A_CLUSTER else 1)
    return min(wanted, len(tasks))


def after_death(workspace: Workspace, task: Marked, deaths: Counter[str]) -> Marked:
    """The task to run again after its worker died.

    The cause may be the machine, so the task runs again, one file at a time, with a marker file that names
    the file in progress. A file that was in progress at two deaths fails, and the other files go on. If that
    file was in progress for all the time that it may take, one death is enough.
    """
    marker = workspace.marker_path(task.dataset, task.shard.key)
    suspects, skip, late = task.suspects, task.skip, task.late
    if task.marker is not None and marker.exists():
        at_work = int(marker.read_text())
        if task.image_timeout is not None and time.time() - marker.stat().st_mtime >= task.image_timeout:
            late = (*late, at_work)
        elif at_work in suspects:
            skip = (*skip, at_work)
        suspects = (*suspects, at_work)
    else:
        deaths[task.shard.key] += 1
    marker.unlink(missing_ok=True)
    if deaths[task.shard.key] > TRIES:
        raise WorkFailed(
            f"{task.dataset}: workers died repeatedly before they opened a file (shard {task.shard.key}); "
            "look for a message of the system above, or give each worker more memory."
        )
    return replace(task, marker=marker, suspects=suspects, skip=skip, late=late)


def _stop_if_too_many_failed(total: Report, options: Options) -> None:
    failed = total.statuses["failed"]
    if total.rows >= 200 and failed > options.max_failures * total.rows:
        reason, count = total.reasons.most_common(1)[0]
        raise TooManyFailures(
            f"stopped: {failed} of {total.rows} rows failed (most often, {count} times: {reason}); "
            "fix the cause and run again with --retry-failed, or raise --max-failures."
        )


def _log(workspace: Workspace, tasks: list[ShardTask], total: Report) -> None:
    """Stores the rate of this run for `deca-data status`."""
    entry = {"stages": tasks[0].todo, "rows": total.rows, "seconds": round(total.seconds, 3)}
    with open(workspace.path / "runs.jsonl", "a") as file:
        file.write(json.dumps(entry) + "\n")
