"""The commands of `deca-data` about manifests: to build one, its columns, and the recipes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from commands.options import (
    IMAGE_TIMEOUT,
    WORKSPACE,
    FoldersArgument,
    IdentitiesOption,
    JsonOption,
    MaxFailuresOption,
    QuietOption,
    RetryOption,
    SchedulerOption,
    TimeoutOption,
    WorkersOption,
    WorkspaceOption,
    run_options,
)
from commands.printing import print_built, say
from pipelines.terminal.tables import print_table


def build_manifest_command(
    roots: FoldersArgument = None,
    workspace: WorkspaceOption = WORKSPACE,
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder for train.parquet and val.parquet.")
    ] = Path("."),
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
    exclude: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE.csv", help="Photos to leave out, as the report saves them; repeatable."),
    ] = None,
    identities: IdentitiesOption = None,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    retry_failed: RetryOption = False,
    max_failures: MaxFailuresOption = 0.5,
    image_timeout: TimeoutOption = IMAGE_TIMEOUT,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Decide which rows are kept and write train.parquet and val.parquet.

    Example: deca-data build-manifest --recipe strict --max-per-identity 50 --set min_face_size=128
    """
    from pipelines.curate.build import build_manifest
    from pipelines.run.bring_up import Call
    from pipelines.run.stage_options import parse_settings

    options = run_options(workers, scheduler, retry_failed, max_failures, image_timeout)
    call = Call(
        workspace,
        roots or (),
        options=options,
        quiet=quiet,
        say=say(quiet or as_json),
        identities=identities,
    )
    limits = {"max_per_identity": max_per_identity, "min_per_identity": min_per_identity}
    given = [f"{name}={number}" for name, number in limits.items() if number is not None]
    built = build_manifest(call, recipe, parse_settings([*(settings or []), *given]), out, exclude or ())
    print_built(built, as_json, call.scanned)


def schema_command(as_json: JsonOption = False) -> None:
    """Print every column of the manifest, with its unit and meaning.

    Example: deca-data schema
    """
    from deca_data.stages import added_columns, stages
    from manifests.schema import COLUMNS

    columns = [*COLUMNS, *added_columns(stages())]
    if as_json:
        print(json.dumps([{**column._asdict(), "type": str(column.type)} for column in columns], indent=1))
        return
    print_table(
        ["column", "type", "unit", "meaning"],
        [[column.name, str(column.type), column.unit, column.meaning] for column in columns],
    )


def recipes_command(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE]...", help="Recipes of your own, to show beside.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print every threshold of the recipes side by side.

    Each can be changed by `deca-data build-manifest --set NAME=VALUE`, without computing anything again.

    Example: deca-data recipes my-recipe.yaml
    """
    from pipelines.curate.recipe import Recipe, load_recipe, recipe_names

    recipes = [load_recipe(name) for name in [*recipe_names(), *map(str, files or [])]]
    if as_json:
        print(json.dumps([recipe.model_dump() for recipe in recipes], indent=1))
        return
    rows = [
        [name, *(json.dumps(getattr(recipe, name)) for recipe in recipes), field.description or ""]
        for name, field in Recipe.model_fields.items()
        if name != "name"
    ]
    print_table(["setting", *(recipe.name for recipe in recipes), "meaning"], rows)
