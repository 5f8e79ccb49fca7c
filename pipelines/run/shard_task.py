"""One task: runs the stages over the photos of one shard, and decodes each photo once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import pyarrow as pa

from deca_data.sample import FAILED, OK, Sample
from deca_data.stage import Stage, part_schema
from deca_data.stages import closure
from manifests.errors import UsageError, WorkFailed
from manifests.files import sync_files, write_atomic
from manifests.images.decode import NotOpened, Unreadable, decode_file
from manifests.images.reduction import reduction_for_stages
from manifests.machine_faults import MachineFault, is_memory, machine_fault, plain_reason
from manifests.schema import SCHEMA
from pipelines.run.missing_photos import check_opened, check_root
from pipelines.run.overlap import Behind, ahead, behind, threads_for
from pipelines.run.stage_plan import make_stage
from pipelines.run.time_limit import time_limit
from pipelines.run.within_shard import ShardCounter
from pipelines.workspace.parts import OUTCOME, SIZES, read_part, write_part
from pipelines.workspace.whole_files import file_sizes
from pipelines.workspace.workspace import Shard, StageSpec

GROUP_PIXELS = 48_000_000
"""Photos are decoded in groups of at most this many pixels, which bounds a worker's memory."""


@dataclass(frozen=True)
class ShardTask:
    """The stages that are left to do on one shard.

    Attributes:
        workspace: the workspace's folder.
        dataset: name of the dataset.
        images: the folder that the rows' `image` is relative to.
        shard: which rows.
        specs: all stages that the task needs, in order.
        parts: path of the part of the scan and of each of these stages, for this shard.
        todo: the stages to run; the parts of the others exist.
        marker: file with the number of the row in progress; used after a worker has died on this shard.
        suspects: numbers of the rows that were in progress when a worker died.
        skip: numbers of the rows on which workers died twice; they fail without another try.
        late: numbers of the rows that took too long; they fail without another try.
        threads: threads for decoding and writing; None: by the stages' devices (see `overlap`).
        image_timeout: seconds that a worker may take for one photo in one stage; None for no limit.
        counter: file with the number of photos that are done; None if nobody looks at it.
    """

    workspace: Path
    dataset: str
    images: Path
    shard: Shard
    specs: tuple[StageSpec, ...]
    parts: dict[str, Path]
    todo: tuple[str, ...]
    marker: Path | None = None
    suspects: tuple[int, ...] = ()
    skip: tuple[int, ...] = ()
    late: tuple[int, ...] = ()
    image_timeout: float | None = None
    threads: int | None = None
    counter: Path | None = None

    def run(self) -> Report:
        """Runs the stages in ``todo`` over the shard and writes a part for each.

        Raises:
            UsageError: a stage cannot be made (missing package or weights).
            MachineFault: the machine is at fault, so nothing is written of this shard's rows.
        """
        cv2.setNumThreads(1)  # the worker processes already use all cores
        stages = [make_stage(spec) for spec in self.specs if spec.name in self.todo]
        items = _read_items(self)
        threads, counter = self._threads(), ShardCounter(self.counter)
        with behind(threads) as writing:
            before: list[_Item] = []
            for group in _groups(self, items, stages, threads):
                _run_group(self, stages, group, writing, counter)
                writing.turn()
                _release(before if threads else group)
                before = group
            writing.settle()
            _release(before)
        tried = [item.opened for item in items if item.opened is not None]
        check_opened(self.dataset, self.images, len(tried), tried.count(False))
        sync_files([path for item in items for path in item.unsynced])  # before the parts that name them
        for stage in stages:
            _write(self, stage, items)
        return _report(items, stages)

    def _threads(self) -> int:
        """The threads; none after a death, so that the marker names the photo in progress."""
        if self.marker is not None:
            return 0
        todo = [spec for spec in self.specs if spec.name in self.todo]
        return threads_for(todo) if self.threads is None else self.threads


@dataclass
class Report:
    """The results of tasks: their rows, by status and by reason, and the time of a whole run in seconds."""

    rows: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


@dataclass
class _Item:
    """A row in progress: its columns, and the outcome of each stage that ran on it.

    ``opened`` says whether its file could be opened, None if that was not tried; for ``unsynced`` see
    `Sample`.
    """

    index: int
    row: dict[str, Any]
    outcomes: dict[str, dict[str, Any]] = field(default_factory=dict)
    sample: Sample | None = None
    opened: bool | None = None
    unsynced: list[Path] = field(default_factory=list)

    def eligible(self, needed: set[str]) -> bool:
        """True if no stage in ``needed`` has ended this row."""
        ended = {stage for stage, outcome in self.outcomes.items() if outcome["status"] != OK}
        return not ended & (needed | {"scan"})


def _read_items(task: ShardTask) -> list[_Item]:
    rows = read_part(task.parts["scan"]).to_pylist()
    items = [_Item(index, row) for index, row in enumerate(rows)]
    for item in items:
        item.outcomes["scan"] = {name: item.row.pop(name) for name in OUTCOME}
    for spec in task.specs:
        if spec.name in task.todo:
            continue
        for item, found in zip(items, read_part(task.parts[spec.name]).to_pylist(), strict=True):
            outcome = {name: found.pop(name) for name in OUTCOME}
            item.row.update(found)
            if outcome["status"] is not None:
                item.outcomes[spec.name] = outcome
    return items


def _run_group(
    task: ShardTask, stages: list[Stage], group: list[_Item], writing: Behind, counter: ShardCounter
) -> None:
    """Run all stages over decoded photos; what they leave to be written may still be in progress."""
    left: set[str] = set()  # the stages whose files may not be there yet
    for place, stage in enumerate(stages):
        needed = closure([stage.name])
        if needed & left:
            writing.settle()
            left.clear()
        ready = [item for item in group if item.eligible(needed)]
        for start in range(0, len(ready), stage.batch):
            _run_batch(task, stage, ready[start : start + stage.batch])
            share = place + min(1.0, (start + stage.batch) / len(ready))
            counter.say(len(group) * share / len(stages))
        for item in ready:
            if item.sample is not None and item.sample.writes:
                works, item.sample.writes = item.sample.writes, []
                writing.do(partial(_do_writes, task, stage, item, works))
                left.add(stage.name)
        if stage.name == "detect" and (rest := stages[place + 1 :]):
            _decode_larger(task, group, rest)
    counter.finished(len(group))


def _release(group: list[_Item]) -> None:
    """Forget the photos, but not which of their files are still to be synced."""
    for item in group:
        item.unsynced += item.sample.unsynced if item.sample is not None else []
        item.sample = None


def _groups(task: ShardTask, items: list[_Item], stages: list[Stage], threads: int) -> Iterator[list[_Item]]:
    """Decoded photos in groups of the stages' batch size, but of bounded memory."""
    want = 1 if task.marker is not None else max(stage.batch for stage in stages)
    roots = [closure([stage.name]) - set(task.todo) for stage in stages]
    group: list[_Item] = []
    pixels = 0
    wanted = (item for item in items if any(item.eligible(needed) for needed in roots))
    for item in ahead(partial(_decoded, task, stages), wanted, threads):
        if item.sample is None:
            continue
        group.append(item)
        pixels += item.row["width"] * item.row["height"]  # full size: it may be decoded again, larger
        if len(group) >= want or pixels >= GROUP_PIXELS:
            yield group
            group, pixels = [], 0
    if group:
        yield group


def _decoded(task: ShardTask, stages: list[Stage], item: _Item) -> _Item:
    with time_limit(task.image_timeout):
        _decode(task, item, stages)
    return item


def _decode(task: ShardTask, item: _Item, stages: list[Stage]) -> None:
    if task.marker is not None:
        write_atomic(task.marker, str(item.index).encode())
    if item.index in task.late:
        _end_before(item, stages, f"it takes longer than {task.image_timeout:g} s (--image-timeout)")
        return
    if item.index in task.skip:
        _end_before(item, stages, "a worker process died on this image")
        return
    path = task.images / item.row["image"]
    box = None if "detect" in task.todo else item.row.get("box")
    try:
        decoded = decode_file(path, shrink=reduction_for_stages(box), hashed=True)
    except Unreadable as error:
        item.opened = not isinstance(error, NotOpened)
        if not item.opened:
            check_root(task.dataset, task.images)
        _end_before(item, stages, plain_reason(str(error), task.images))
        return
    item.opened = True
    size = decoded.width, decoded.height
    item.row.update(width=decoded.width, height=decoded.height, content_hash=decoded.content_hash)
    item.sample = Sample(decoded.image, item.row, path, shrunk=decoded.shrunk, photo_size=size)


def _decode_larger(task: ShardTask, group: list[_Item], stages: list[Stage]) -> None:
    """Decodes a photo again, less reduced, for the stages after detection if its face is small."""
    for item in group:
        sample, box = item.sample, item.row.get("box")
        shrink = reduction_for_stages(box)
        if sample is None or box is None or shrink(*sample.size) >= sample.shrunk:
            continue
        try:
            with time_limit(task.image_timeout):
                decoded = decode_file(task.images / item.row["image"], shrink=shrink)
            sample.image, sample.shrunk = decoded.image, decoded.shrunk
        except Unreadable as error:  # the file was changed or removed in the meantime
            _end_before(item, stages, plain_reason(str(error), task.images))


def _end_before(item: _Item, stages: list[Stage], reason: str) -> None:
    for stage in stages:
        if item.eligible(closure([stage.name])):
            item.outcomes[stage.name] = {"status": "failed", "stage": "decode", "reason": reason}


def _run_batch(task: ShardTask, stage: Stage, items: list[_Item]) -> None:
    samples = [item.sample for item in items if item.sample is not None]
    for item in items:
        item.row.update(status=OK, stage=None, reason=None)
    for sample in samples:
        sample.writes.clear()  # of a call that did not succeed
    try:
        with time_limit(task.image_timeout and task.image_timeout * len(samples)):
            stage.run(samples, task.workspace)
    except (UsageError, WorkFailed):
        raise
    except Exception as error:  # an error of a model library fails one row, not the shard
        said = machine_fault(error)
        if said is not None and not (is_memory(error) and len(items) > 1):
            raise MachineFault(said) from error
        if len(items) > 1:
            for item in items:
                _run_batch(task, stage, [item])
            return
        samples[0].fail(stage.name, _reason(task, error))
    for item in items:
        item.outcomes[stage.name] = {name: item.row.pop(name, None) for name in OUTCOME}


def _do_writes(task: ShardTask, stage: Stage, item: _Item, works: list[Callable[[], None]]) -> None:
    """What a stage left for one photo; an error costs its row in this stage."""
    try:
        with time_limit(task.image_timeout):
            for work in works:
                work()
    except Exception as error:  # as in `_run_batch`
        said = machine_fault(error)
        if said is not None:
            raise MachineFault(said) from error
        outcome = {"status": FAILED, "stage": stage.name, "reason": _reason(task, error)}
        if item.outcomes[stage.name]["status"] == OK:
            item.outcomes[stage.name] = outcome


def _reason(task: ShardTask, error: Exception) -> str:
    text = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    return f"{type(error).__name__}: {plain_reason(text, task.images, task.workspace)}"


def _write(task: ShardTask, stage: Stage, items: list[_Item]) -> None:
    path = task.parts[stage.name]
    fields = [*part_schema(stage), *(SCHEMA.field(name).with_nullable(True) for name in OUTCOME)]
    # A row on which the stage did not run stays null, also if other stages set its columns.
    seen = [(item.row, item.outcomes.get(stage.name)) for item in items]
    rows = [{**row, **outcome} if outcome else {} for row, outcome in seen]
    failed = sum(outcome is not None and outcome["status"] == "failed" for _, outcome in seen)
    values = [[_flat(row.get(each.name)) for row in rows] for each in fields]
    columns = [pa.array(column, type=each.type) for column, each in zip(values, fields, strict=True)]
    table = pa.table(columns, schema=pa.schema(fields))
    named = [name for name in stage.writes if name.endswith("_path")]
    sizes = {name: file_sizes(task.workspace, [row.get(name) for row in rows]) for name in named}
    footer = {"fingerprint": path.parent.name, "stage": stage.name, "failed": failed, SIZES: sizes}
    write_part(path, table, footer)


def _flat(value: Any) -> Any:
    """Flattens arrays, because Arrow takes only flat ones; landmarks are (68, 2) in the row."""
    return value.reshape(-1) if getattr(value, "ndim", 0) > 1 else value


def _report(items: list[_Item], stages: list[Stage]) -> Report:
    report = Report(len(items))
    for item in items:
        found = [item.outcomes[stage.name] for stage in stages if stage.name in item.outcomes]
        ended = [outcome for outcome in found if outcome["status"] != OK]
        if ended:
            report.statuses[ended[0]["status"]] += 1
            report.reasons[f"{ended[0]['stage']}: {ended[0]['reason']}"] += 1
        else:
            report.statuses[OK if found else "ended before"] += 1
    return report
