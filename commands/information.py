"""The commands of `deca-data` that show the state of the work, of the installation and of the sources."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from commands.options import (
    WORKSPACE,
    JsonOption,
    SchedulerOption,
    WorkersOption,
    WorkspaceOption,
    run_options,
)
from commands.printing import print_diagnosis, print_ended, print_status, say
from manifests.errors import WorkFailed
from pipelines.terminal.tables import print_table


def status_command(workspace: WorkspaceOption = WORKSPACE, as_json: JsonOption = False) -> None:
    """Show the progress of each dataset, stage by stage.

    Example: deca-data status
    """
    from pipelines.run.status import status
    from pipelines.workspace.workspace import Workspace

    print_status(status(Workspace.open(workspace, create=False)), as_json)


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

        options = run_options(workers, scheduler, retry_failed=True, max_failures=1.0)
        run_stages(Call(workspace, (), options=options, quiet=as_json, say=say(as_json)), list(opened.stages))
    gone = [path for path in opened.built() if not path.is_file()]
    if gone:
        say(as_json)(f"{gone[0]}: the manifest is gone, so what `build-manifest` dropped is not listed")
    print_ended(ended_rows(opened, examples), as_json)


def doctor_command(
    workspace: WorkspaceOption = WORKSPACE,
    everything: Annotated[bool, typer.Option("--all", help="Also what is optional and missing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what is installed and which models work, and try them on three images.

    Example: deca-data doctor
    """
    from pipelines.doctor import examine
    from pipelines.workspace.workspace import Workspace

    found = examine(Workspace.open(workspace).stages if workspace.is_dir() else {})
    if as_json:
        print(json.dumps(found.as_dict()))
    else:
        print_diagnosis(found, everything)
    if found.problem:
        raise WorkFailed(found.problem)


def sources_command(as_json: JsonOption = False) -> None:
    """Print the dataset layouts that are known.

    Example: deca-data sources
    """
    from deca_data.sources import SOURCES

    rows = [[name, "videos" if source.video else "photos", source.layout] for name, source in SOURCES.items()]
    if as_json:
        print(json.dumps([dict(zip(("name", "holds", "layout"), row, strict=True)) for row in rows]))
        return
    print_table(["name", "holds", "layout"], rows)


def settings_command(workspace: WorkspaceOption = WORKSPACE, as_json: JsonOption = False) -> None:
    """Print the settings of each stage: the value in this workspace, the default, and the meaning.

    `--set STAGE.NAME=VALUE` of `deca-data run` and of the stages' commands changes one.

    Example: deca-data settings
    """
    from deca_data.stage import settings_of
    from deca_data.stages import stage_class, stages
    from pipelines.workspace.workspace import Workspace

    chosen = Workspace.open(workspace).stages if workspace.is_dir() else {}
    rows = []
    for stage in stages():
        values = chosen[stage].settings if stage in chosen else {}
        for each in settings_of(stage_class(stage)):
            value = values.get(each.name, each.default)
            rows.append([f"{stage}.{each.name}", value, each.default, each.meaning])
    if as_json:
        print(
            json.dumps(
                [dict(zip(("setting", "value", "default", "meaning"), row, strict=True)) for row in rows]
            )
        )
        return
    print_table(["setting", "here", "default", "meaning"], rows)
