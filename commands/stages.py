"""The commands of `deca-data` that look at photos: scan, a command for each stage, and run."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from commands.options import (
    IMAGE_TIMEOUT,
    WORKSPACE,
    FoldersArgument,
    FramesOption,
    IdentitiesOption,
    JsonOption,
    LayoutOption,
    LinksOption,
    MaxFailuresOption,
    NameOption,
    QuietOption,
    RetryOption,
    SchedulerOption,
    StepOption,
    TimeoutOption,
    WorkersOption,
    WorkspaceOption,
    clip_options,
    run_options,
)
from commands.printing import print_summary, say
from deca_data.stages import in_run, stages

SET = "One setting, or a stage's model, as masks.backend=bisenet; repeatable."
ConfigOption = Annotated[Path | None, typer.Option("--config", help="YAML file with settings by stage.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", metavar="STAGE.NAME=VALUE", help=SET)]

SCAN_WAITS = 60.0
"""Seconds for which a scan waits for another command; a run refuses at once."""


def stage_commands() -> dict[str, Callable[..., None]]:
    """`run`, and a command for each stage whose file states one."""
    found = {}
    for stage, facts in stages().items():
        if facts.command is not None:
            name, text, example = facts.command
            found[name] = _command(name, [stage], stage if facts.default_backend else None, text, example)
    text, example = "All the stages in one pass, each photo decoded once.", "deca-data run ./vggface2 ./bupt"
    return {**found, "run": _command("run", in_run(), None, text, example)}


def _command(
    name: str, names: Sequence[str], backend_stage: str | None, text: str, example: str
) -> Callable[..., None]:
    """The function of a command that runs the stages ``names``; `--backend` is for ``backend_stage``.

    A command without such a stage does not show the options of a model, and says what to write in place of
    them.
    """
    hidden = backend_stage is None

    def command(
        roots: FoldersArgument = None,
        workspace: WorkspaceOption = WORKSPACE,
        dataset: LayoutOption = None,
        dataset_name: NameOption = None,
        identities: IdentitiesOption = None,
        workers: WorkersOption = None,
        scheduler: SchedulerOption = None,
        backend: str | None = typer.Option(None, hidden=hidden, help="The model library to use."),
        device: str = typer.Option(
            "cpu", hidden=hidden, help="cpu or cuda, for torch and MediaPipe; a process a GPU."
        ),
        weights: Path | None = typer.Option(
            None, hidden=hidden, help="Weight file of the backend, or its folder."
        ),
        download: bool = typer.Option(False, "--download", hidden=hidden, help="Fetch missing weights."),
        config: ConfigOption = None,
        settings: SetOption = None,
        frames_per_clip: FramesOption = None,
        frame_step: StepOption = None,
        follow_links: LinksOption = None,
        retry_failed: RetryOption = False,
        max_failures: MaxFailuresOption = 0.5,
        image_timeout: TimeoutOption = IMAGE_TIMEOUT,
        beside_images: bool = typer.Option(
            False,
            "--beside-images",
            hidden=name not in ("landmarks", "run"),
            help="Also write each .npy beside its photo, in the raw folder.",
        ),
        dense: bool = typer.Option(
            False,
            "--dense",
            hidden=name not in ("landmarks", "run"),
            help="Also write the 478 points of the mesh, with depth (.npy each).",
        ),
        quiet: QuietOption = False,
        as_json: JsonOption = False,
    ) -> None:
        from pipelines.run.bring_up import Call, run_stages
        from pipelines.run.stage_options import ask
        from pipelines.workspace.workspace import Workspace

        remembered = Workspace.open(workspace).stages if workspace.is_dir() else {}
        flags = {"landmarks.beside_images": beside_images, "landmarks.dense": dense}
        wanted = [*(settings or []), *(f"{flag}=true" for flag, given in flags.items() if given)]
        specs = ask(remembered, backend_stage, backend, device, weights, download, config, wanted)
        call = Call(
            workspace,
            roots or (),
            dataset,
            dataset_name,
            clip_options(frames_per_clip, frame_step, follow_links),
            specs,
            run_options(workers, scheduler, retry_failed, max_failures, image_timeout),
            quiet,
            say(quiet or as_json),
            identities=identities,
        )
        print_summary(run_stages(call, names), as_json, call.scanned)

    command.__doc__ = f"{text}\n\nExample: {example}"
    return command


def scan_command(
    roots: Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Raw folders.")],
    workspace: WorkspaceOption = WORKSPACE,
    dataset: LayoutOption = None,
    dataset_name: NameOption = None,
    identities: IdentitiesOption = None,
    frames_per_clip: FramesOption = None,
    frame_step: StepOption = None,
    follow_links: LinksOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """List the photos of raw folders, without opening any; take the frames out of videos.

    Example: deca-data scan ./vggface2
    """
    from pipelines.run.bring_up import Call, open_workspace

    clips = clip_options(frames_per_clip, frame_step, follow_links)
    call = Call(
        workspace,
        roots,
        dataset,
        dataset_name,
        clips,
        quiet=quiet,
        say=say(as_json),
        identities=identities,
        wait=SCAN_WAITS,
    )
    open_workspace(call)
    if as_json:
        print(json.dumps({"datasets": call.scanned}))
