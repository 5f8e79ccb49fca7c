"""What the `deca-data` commands do, from arguments to a result that can be printed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deca_data.sources import get_source
from deca_data.sources.identities import AS_LAYOUT, NOBODY, OPTION, read_identities
from manifests.errors import UsageError
from pipelines.run.cluster import check_scheduler
from pipelines.run.damage import damaged_scan, lost_results
from pipelines.run.frames import extract
from pipelines.run.left_out import LeftOut
from pipelines.run.missing_photos import check_root
from pipelines.run.runner import Options, plan, run
from pipelines.run.scanning import check_identities, resolve_dataset, scan
from pipelines.run.shard_task import Report
from pipelines.run.stage_plan import fingerprints, make_stage, with_defaults
from pipelines.terminal.progress_bar import progress
from pipelines.workspace.workspace import Dataset, StageSpec, Workspace


@dataclass(frozen=True)
class Call:
    """The options that the stage commands share.

    Attributes:
        workspace: the workspace's folder.
        roots: raw folders named on the command line; empty means every dataset of the workspace.
        source: layout, where the user names it.
        name: dataset's name, where the user names it.
        clip_options: `frames_per_clip`, `frame_step` and `follow_links`, where the user gave them.
        specs: settings that the user gave, by stage; they are remembered in the workspace.
        options: workers and the like.
        quiet: no progress.
        say: prints one line of what is going on.
        identities: how identities are found (`--identities`), where the user says so.
        scanned: filled in: what the scan of each dataset found, JSON-able.
        wait: seconds to wait for another command that works in the workspace.
    """

    workspace: Path
    roots: Sequence[Path] = ()
    source: str | None = None
    name: str | None = None
    clip_options: dict[str, int] = field(default_factory=dict)
    specs: dict[str, StageSpec] = field(default_factory=dict)
    options: Options = field(default_factory=Options)
    quiet: bool = False
    say: Callable[[str], None] = print
    identities: str | None = None
    scanned: dict[str, dict[str, Any]] = field(default_factory=dict)
    wait: float = 0.0


def open_workspace(call: Call) -> Workspace:
    """Opens the workspace and scans the folders named in ``call``; raises as `working_in`."""
    with working_in(call) as workspace:
        return workspace


@contextmanager
def working_in(call: Call) -> Iterator[Workspace]:
    """Opens and locks the workspace, and scans the folders named in ``call``.

    Where no folder is named, datasets whose list of files is damaged are scanned again.

    Raises:
        UsageError: a folder or the workspace cannot be used, there is no dataset at all, or another command
            is working in the workspace.
    """
    if call.options.scheduler is not None:
        check_scheduler(call.options.scheduler)
    links = bool(call.clip_options.get("follow_links"))
    found = [
        resolve_dataset(root, source=call.source, name=call.name, follow_links=links) for root in call.roots
    ]
    if call.identities is not None and not found:
        found = [_only_dataset(call)]
    found = [(_with_identities(dataset, call), why) for dataset, why in found]
    if call.name is not None and len(found) > 1:
        raise UsageError(f"--name {call.name}: it names one dataset, but {len(found)} folders are given.")
    place = call.workspace.resolve()
    for dataset, _ in found:  # a workspace inside a raw folder would be scanned
        if dataset.root in (place, *place.parents):
            raise UsageError(
                f"--workspace {call.workspace}: it lies inside the raw folder {dataset.root}, which is never "
                "written to; run the command from another folder, or name another workspace."
            )
    workspace = Workspace.open(call.workspace, create=bool(found))
    with workspace.locked(call.wait):
        workspace.check_names(dataset for dataset, _ in found)
        for dataset, why in found:
            call.say(f"{dataset.root}: layout {dataset.source!r} ({why}), dataset {dataset.name!r}")
            _scan(workspace, dataset, call)
        if not workspace.datasets:
            raise UsageError(
                f"--workspace {call.workspace}: it holds no dataset yet; begin with "
                "`deca-data landmarks FOLDER`."
            )
        for dataset in workspace.datasets.values():
            damaged = damaged_scan(workspace, dataset.name)
            if damaged is not None:
                check_root(dataset.name, dataset.root)
                call.say(f"{damaged}: missing or damaged, so {dataset.root} is scanned again")
                _scan(workspace, dataset, call)
        yield workspace


def _scan(workspace: Workspace, dataset: Dataset, call: Call) -> None:
    _check_change(workspace, dataset, call.say)
    dataset = dataset.model_copy(update={"options": {**dataset.options, **call.clip_options}})
    left_out = LeftOut()
    with progress(f"scan {dataset.name}", None, "files", quiet=call.quiet) as shown:
        found = scan(workspace, dataset, shown.advance, left_out.add)
    for line in (*found.lines(), *left_out.lines()):
        call.say(f"{dataset.name}: {line}")
    call.scanned[dataset.name] = {
        "layout": dataset.source,
        **found.as_dict(),
        "left_out": left_out.as_dict(),
    }
    dataset = workspace.datasets[dataset.name]
    if get_source(dataset.source).video:
        with progress(f"frames {dataset.name}", found.files, "videos", quiet=call.quiet) as shown:
            rows = extract(workspace, dataset, call.options, shown)
        call.say(f"{dataset.name}: {rows} frames")


def _only_dataset(call: Call) -> tuple[Dataset, str]:
    """The dataset that an option without a folder is about.

    Raises:
        UsageError: the workspace has none, or several.
    """
    datasets = list(Workspace.open(call.workspace, create=False).datasets.values())
    if len(datasets) != 1:
        names = ", ".join(str(dataset.root) for dataset in datasets) or "none"
        raise UsageError(f"{OPTION} {call.identities}: name the folder that it is about ({names}).")
    return datasets[0], "as before"


def _with_identities(dataset: Dataset, call: Call) -> Dataset:
    """The dataset with the user's choice of `--identities`, if there is one.

    Raises:
        UsageError: it cannot be used.
    """
    if call.identities is None:
        return dataset
    text = read_identities(call.identities, dataset.root).text
    return dataset.model_copy(update={"options": {**dataset.options, "identities": text}})


def _check_change(workspace: Workspace, dataset: Dataset, say: Callable[[str], None]) -> None:
    """Checks a new choice of `--identities` before anything is changed, and says a changed one.

    Raises:
        UsageError: it gives no file an identity.
    """
    known = workspace.datasets.get(dataset.name)
    before = None if known is None else known.options.get("identities", AS_LAYOUT)
    now = dataset.options.get("identities", before or AS_LAYOUT)
    if now == before:
        return
    if now not in (AS_LAYOUT, NOBODY):
        check_identities(read_identities(now, dataset.root), dataset)
    if before is not None:
        say(f"{dataset.name}: {OPTION} {now} from now on; it was {before}")


def run_stages(call: Call, names: Sequence[str]) -> Report:
    """Brings every dataset up to date for the stages ``names`` and those that they need.

    Raises:
        UsageError: see `working_in` and `make_stage`.
        pipelines.run.runner.TooManyFailures: most photos cannot be processed.
    """
    remembered = Workspace.open(call.workspace).stages if call.workspace.is_dir() else {}
    for spec in with_defaults({**remembered, **call.specs}, {*names, *call.specs}):
        make_stage(spec)  # raises before anything is touched
    with working_in(call) as workspace:
        for spec in call.specs.values():
            workspace.set_stage(spec)
        return bring_up(workspace, call, names)


def bring_up(workspace: Workspace, call: Call, names: Sequence[str]) -> Report:
    """Runs what is missing for the stages ``names``, in an open and locked workspace."""
    specs = with_defaults(workspace.stages, names)
    workspace.set_fingerprints(fingerprints(specs))
    lost = lost_results(workspace, specs, call.say)
    tasks = plan(workspace, specs, retry_failed=call.options.retry_failed, lost=lost)
    for spec in specs:
        if spec.name not in workspace.stages:
            workspace.set_stage(spec)
    if not tasks:
        call.say(f"nothing to do: {', '.join(spec.name for spec in specs)} are up to date")
        return Report()
    todo = [spec.name for spec in specs if any(spec.name in task.todo for task in tasks)]
    missing = [name for name in todo if name not in names]
    if missing:
        call.say(f"{', '.join(missing)}: missing, so run first")
    rows = sum(task.shard.rows for task in tasks)
    title = todo[0] if len(todo) == 1 else f"{todo[0]} to {todo[-1]}"
    if len(todo) > 1:
        call.say(f"in one pass: {', '.join(todo)}")
    with progress(title, rows, "photos", quiet=call.quiet) as shown:
        return run(workspace, tasks, call.options, shown)
