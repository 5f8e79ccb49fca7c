"""The commands of `deca-data`.

Each function here parses, calls and prints; what it calls is imported inside it, so that `--help`
answers at once.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from commands.printing import print_built, print_ended, print_status, print_summary, print_table

app = typer.Typer(
    name="deca-data",
    help="Turns raw folders of faces into manifests that `deca train` reads.\n\n"
    "Begin with: deca-data landmarks ./vggface2",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)

Roots = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[FOLDER]...", help="Raw folders; none: every dataset of the workspace."),
]
WorkspaceOption = Annotated[
    Path, typer.Option("--workspace", "-w", envvar="DECA_WORKSPACE", help="Folder of all results.")
]
SourceOption = Annotated[
    str | None, typer.Option("--dataset", help="The folder's layout, if the guess is wrong.")
]
NameOption = Annotated[str | None, typer.Option("--name", help="The dataset's name in the manifest.")]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", "-j", min=1, help="Processes (default: one a core, or a GPU); 1: this one."),
]
SchedulerOption = Annotated[str | None, typer.Option(help="A running Dask cluster, such as tcp://host:8786.")]
BackendOption = Annotated[str | None, typer.Option("--backend", help="The model library to use.")]
DeviceOption = Annotated[
    str, typer.Option("--device", help="cpu or cuda, for torch backends; a process a GPU.")
]
WeightsOption = Annotated[
    Path | None, typer.Option("--weights", help="Weight file of the backend, or its folder.")
]
DownloadOption = Annotated[bool, typer.Option("--download", help="Fetch missing weights.")]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="YAML file with settings by stage.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="STAGE.NAME=VALUE", help="One setting; repeatable.")
]
RetryOption = Annotated[bool, typer.Option("--retry-failed", help="Do photos that failed again.")]
MaxFailuresOption = Annotated[
    float, typer.Option("--max-failures", min=0, max=1, help="Stop when more than this share failed.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors only.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

FramesOption = Annotated[
    int | None, typer.Option("--frames-per-clip", min=1, help="Frames of a video, evenly spread (10).")
]
StepOption = Annotated[
    int | None, typer.Option("--frame-step", min=1, help="Consider every so many-th frame only.")
]
WORKSPACE = Path("deca-workspace")


def _stage_command(name: str, backend_stage: str | None, text: str, example: str) -> None:
    """Adds a command that runs one stage (and what it needs) to `deca-data`."""

    def command(
        roots: Roots = None,
        workspace: WorkspaceOption = WORKSPACE,
        dataset: SourceOption = None,
        dataset_name: NameOption = None,
        workers: WorkersOption = None,
        scheduler: SchedulerOption = None,
        backend: BackendOption = None,
        device: DeviceOption = "cpu",
        weights: WeightsOption = None,
        download: DownloadOption = False,
        config: ConfigOption = None,
        settings: SetOption = None,
        frames_per_clip: FramesOption = None,
        frame_step: StepOption = None,
        retry_failed: RetryOption = False,
        max_failures: MaxFailuresOption = 0.5,
        beside_images: bool = typer.Option(
            False,
            "--beside-images",
            hidden=name not in ("landmarks", "run"),
            help="Also write each .npy beside its photo, in the raw folder.",
        ),
        quiet: QuietOption = False,
        as_json: JsonOption = False,
    ) -> None:
        from pipelines.run.bring_up import Call, run_stages
        from pipelines.run.stage_options import ask
        from pipelines.workspace.workspace import Workspace

        remembered = Workspace.open(workspace).stages if workspace.is_dir() else {}
        wanted = [*(settings or []), *(["landmarks.beside_images=true"] if beside_images else [])]
        specs = ask(remembered, backend_stage, backend, device, weights, download, config, wanted)
        call = Call(
            workspace,
            roots or (),
            dataset,
            dataset_name,
            _clip_options(frames_per_clip, frame_step),
            specs,
            _options(workers, scheduler, retry_failed, max_failures),
            quiet,
            _say(quiet or as_json),
        )
        print_summary(run_stages(call, RUN if name == "run" else [name]), as_json)

    command.__doc__ = f"{text}\n\nExample: {example}"
    app.command("identities" if name == "identity" else name)(command)


RUN = ["detect", "landmarks", "consistency", "quality", "masks"]
for _entry in (
    ("detect", "detect", "Find the face in each photo.", "deca-data detect ./vggface2"),
    (
        "landmarks",
        "landmarks",
        "Find 68 landmarks in each photo (.npy each).",
        "deca-data landmarks ./vggface2",
    ),
    ("quality", None, "Measure size, sharpness, light and pose of each face.", "deca-data quality"),
    ("masks", "masks", "Draw the mask of the visible face (PNG each).", "deca-data masks --workers 8"),
    (
        "identity",
        "identity",
        "Embed each face, so that build-manifest can check who it is.",
        "deca-data identities --backend dlib",
    ),
    ("run", None, "All the stages in one pass, each photo decoded once.", "deca-data run ./vggface2 ./bupt"),
):
    _stage_command(*_entry)


@app.command("scan")
def scan_command(
    roots: Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Raw folders.")],
    workspace: WorkspaceOption = WORKSPACE,
    dataset: SourceOption = None,
    dataset_name: NameOption = None,
    frames_per_clip: FramesOption = None,
    frame_step: StepOption = None,
    quiet: QuietOption = False,
) -> None:
    """List the photos of raw folders, without opening any; take the frames out of videos.

    Example: deca-data scan ./vggface2
    """
    from pipelines.run.bring_up import Call, open_workspace

    clip_options = _clip_options(frames_per_clip, frame_step)
    open_workspace(Call(workspace, roots, dataset, dataset_name, clip_options, quiet=quiet, say=_say(False)))


@app.command("build-manifest")
def build_manifest_command(
    roots: Roots = None,
    workspace: WorkspaceOption = WORKSPACE,
    out: Annotated[Path, typer.Option(help="Folder for train.parquet and val.parquet.")] = Path("."),
    recipe: Annotated[str, typer.Option(help="deca-paper, strict, keep-all or a YAML file.")] = "deca-paper",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="One threshold; repeatable.")
    ] = None,
    max_per_identity: Annotated[
        int | None, typer.Option(min=1, help="Most photos kept of a person (the recipe says, mostly 100).")
    ] = None,
    min_per_identity: Annotated[
        int | None, typer.Option(min=1, help="Persons with fewer photos are left out (the recipe says).")
    ] = None,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    retry_failed: RetryOption = False,
    max_failures: MaxFailuresOption = 0.5,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Decide which rows are kept and write train.parquet and val.parquet.

    Example: deca-data build-manifest --recipe strict --max-per-identity 50 --set min_face_size=128
    """
    from pipelines.curate.build import build_manifest
    from pipelines.run.bring_up import Call
    from pipelines.run.stage_options import parse_settings

    options = _options(workers, scheduler, retry_failed, max_failures)
    call = Call(workspace, roots or (), options=options, quiet=quiet, say=_say(quiet or as_json))
    limits = {"max_per_identity": max_per_identity, "min_per_identity": min_per_identity}
    given = [f"{name}={number}" for name, number in limits.items() if number is not None]
    _, built = build_manifest(call, recipe, parse_settings([*(settings or []), *given]), out)
    print_built(built, as_json)


@app.command("status")
def status_command(workspace: WorkspaceOption = WORKSPACE, as_json: JsonOption = False) -> None:
    """Show how far each dataset is, stage by stage.

    Example: deca-data status
    """
    from pipelines.run.status import status
    from pipelines.workspace.workspace import Workspace

    print_status(status(Workspace.open(workspace, create=False)), as_json)


@app.command("failures")
def failures_command(
    workspace: WorkspaceOption = WORKSPACE,
    examples: Annotated[int, typer.Option(min=0, help="Paths to show per reason; 0 shows all.")] = 3,
    retry: Annotated[bool, typer.Option("--retry", help="First do photos that failed again.")] = False,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show which photos were dropped or failed, grouped by reason.

    Example: deca-data failures --retry
    """
    from pipelines.run.status import ended_rows
    from pipelines.workspace.workspace import Workspace

    opened = Workspace.open(workspace, create=False)
    if retry:
        from pipelines.run.bring_up import Call, run_stages

        options = _options(workers, scheduler, retry_failed=True, max_failures=1.0)
        run_stages(
            Call(workspace, (), options=options, quiet=as_json, say=_say(as_json)), list(opened.stages)
        )
    print_ended(ended_rows(opened, examples), as_json)


@app.command("schema")
def schema_command(as_json: JsonOption = False) -> None:
    """Print every column of the manifest, with its unit and meaning.

    Example: deca-data schema
    """
    from manifests.schema import COLUMNS

    if as_json:
        print(json.dumps([{**column._asdict(), "type": str(column.type)} for column in COLUMNS], indent=1))
        return
    print_table(
        ["column", "type", "unit", "meaning"],
        [[column.name, str(column.type), column.unit, column.meaning] for column in COLUMNS],
    )


def _clip_options(frames_per_clip: int | None, frame_step: int | None) -> dict[str, int]:
    given = {"frames_per_clip": frames_per_clip, "frame_step": frame_step}
    return {name: value for name, value in given.items() if value is not None}


def _options(workers: int | None, scheduler: str | None, retry_failed: bool, max_failures: float) -> Any:
    from pipelines.run.runner import Options

    return Options(workers, scheduler, retry_failed, max_failures)


def _say(silent: bool) -> Callable[[str], None]:
    """Prints what is going on to standard error, so that standard output holds results only."""
    return (lambda line: None) if silent else (lambda line: print(line, file=sys.stderr))
