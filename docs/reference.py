"""Makes the pages of the reference from the code, when mkdocs builds the site (a hook of mkdocs.yml)."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

PYTHON = (
    ("manifests", "read"),
    ("manifests.reading", "open_manifest"),
    ("manifests.reading", "Manifest"),
    ("manifests.images.kept", "read_photo"),
    ("manifests.images.kept", "read_mask"),
    ("deca_model", "open_model"),
    ("deca_model", "reconstruct"),
    ("deca_model", "Reconstruction"),
    ("deca_model", "save_reconstruction"),
    ("pipelines.photo_faces", "list_photos"),
    ("pipelines.photo_faces", "FaceFinder"),
)
"""The documented Python interface: module and name."""


def on_files(files: Any, config: Any) -> Any:
    """Adds the pages; mkdocs calls this."""
    from mkdocs.structure.files import File

    for name, make in PAGES.items():
        files.append(File.generated(config, f"reference/{name}.md", content=make()))
    return files


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Returns a Markdown table; `|` and line breaks in cells are made harmless."""
    lines = [header, ["---"] * len(header), *rows]
    cells = (" | ".join(" ".join(str(cell).replace("|", "\\|").split()) for cell in row) for row in lines)
    return "".join(f"| {line} |\n" for line in cells)


def code(value: object) -> str:
    """Returns a value as code; nothing for an empty one."""
    return f"`{value}`" if str(value) else ""


def columns() -> str:
    """The columns of a manifest."""
    from manifests.schema import COLUMNS

    rows = [[code(each.name), each.type, each.unit, each.meaning] for each in COLUMNS]
    return (
        "# Columns of a manifest\n\n"
        "One row for every file that came in, also for those left out. Null means absent. A stage of your "
        "own adds its columns behind these; `deca-data schema` prints all.\n\n"
        + table(["column", "type", "unit", "meaning"], rows)
    )


def recipes() -> str:
    """The thresholds of all recipes."""
    from pipelines.curate.recipe import DEFAULT, Recipe, load_recipe, recipe_names

    found = [load_recipe(name) for name in recipe_names()]
    rows = [
        [
            code(name),
            *(json.dumps(getattr(recipe, name)) for recipe in found),
            field.description or "",
        ]
        for name, field in Recipe.model_fields.items()
        if name != "name"
    ]
    return (
        "# Recipes\n\n"
        "A recipe decides which rows are kept; it changes no score, so another one costs seconds. "
        f"`{DEFAULT}` is the default. `deca-data build-manifest --recipe strict --set min_face_size=128` "
        "changes one threshold; `--recipe mine.yaml` reads a file of such lines. `null` switches a rule "
        "off.\n\n" + table(["setting", *(code(recipe.name) for recipe in found), "meaning"], rows)
    )


def settings() -> str:
    """The settings of training, and of the stages."""
    from deca_model.settings.describing import MEANINGS, settings_of
    from deca_model.settings.groups import TrainingConfig
    from deca_model.settings.reading import PRESETS, load_config

    shown = {name: {each.name: each for each in settings_of(load_config(name))} for name in PRESETS}
    header = ["setting", *map(code, PRESETS), "meaning"]
    parts = [
        "# Settings of `deca train`\n\n"
        "`--set loss.photometric=2.0` changes one, `--config mine.yaml` a file of them. `deca config` prints "
        "those that would be used, as such a file.\n\n"
        + "".join(f"- `{name}`: {MEANINGS[name]}.\n" for name in PRESETS)
    ]
    groups: dict[str, list[list[object]]] = {}
    titles = {"": "stage"}
    for each in settings_of(TrainingConfig()):
        group, _, _ = each.name.rpartition(".")
        if each.group:
            titles[each.name] = f"{each.name}: {each.meaning}"
            continue
        values = [json.dumps(shown[name][each.name].value) for name in PRESETS]
        groups.setdefault(group, []).append([code(each.name), *values, each.meaning])
    parts += [f"## {titles[group]}\n\n{table(header, rows)}" for group, rows in groups.items()]
    parts.append("## Settings of the stages of `deca-data`\n\n" + _stage_settings())
    return "\n".join(parts)


def _stage_settings() -> str:
    from deca_data.stage import settings_of
    from deca_data.stages import stage_class, stages

    rows = [
        [code(f"{name}.{each.name}"), code(json.dumps(each.default)), each.meaning]
        for name in stages()
        for each in settings_of(stage_class(name))
    ]
    return (
        "`deca-data run --set detect.min_size=32` changes one; a changed one does again what it touches.\n\n"
        + table(["setting", "default", "meaning"], rows)
    )


def layouts() -> str:
    """The dataset layouts that are known."""
    from deca_data.sources import SOURCES

    rows = [[code(name), "videos" if each.video else "photos", each.layout] for name, each in SOURCES.items()]
    return (
        "# Layouts of datasets\n\n"
        "`deca-data` guesses a folder's layout and says it; `--dataset NAME` corrects a wrong guess.\n\n"
        + table(["layout", "holds", "looks like"], rows)
    )


def commands() -> str:
    """The help of every command."""
    import typer

    import cli

    parts = [
        "# Commands\n\n`--install-completion` completes commands and options in your shell. Exit codes: 0 "
        "all good, 1 the work failed, 2 the call was wrong, 130 stopped by Ctrl-C.\n"
    ]
    for name, app in (("deca-data", cli.deca_data()), ("deca", cli.deca())):
        for path, text in _helps(typer.main.get_command(app), name, None):
            parts.append(f"## {path}\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def _helps(command: Any, name: str, parent: Any) -> Iterator[tuple[str, str]]:
    options = command.context_settings if parent is None else {}
    context = command.context_class(command, info_name=name, parent=parent, terminal_width=80, **options)
    yield context.command_path, command.get_help(context)
    for below, each in getattr(command, "commands", {}).items():
        yield from _helps(each, below, context)


def python() -> str:
    """The documented Python interface."""
    parts = [
        "# Python\n\nThe packages are typed (`py.typed`). [The notebook](../from-manifest-to-pictures.ipynb) "
        "uses most of this. `deca_model` needs the extra `train`, `pipelines` the extra `data`.\n"
    ]
    for module, name in PYTHON:
        found = getattr(__import__(module, fromlist=[name]), name)
        parts.append(f"## {module}.{name}\n\n{_signature(name, found)}\n{_text(found)}")
        if inspect.isclass(found):
            for below, each in vars(found).items():
                if inspect.isfunction(each) and not below.startswith("_"):
                    parts.append(f"### {name}.{below}\n\n{_signature(below, each)}\n{_text(each)}")
    return "\n".join(parts)


def _signature(name: str, found: Any) -> str:
    lines = str(inspect.signature(found)).replace("'", "")
    return f"```python\n{name}{lines}\n```\n"


def _text(found: Any) -> str:
    """Returns a docstring as Markdown: its parts become bold, their entries lists."""
    lines, part = [], False
    for line in (inspect.getdoc(found) or "").splitlines():
        if line in ("Args:", "Returns:", "Raises:", "Attributes:"):
            lines += [f"**{line[:-1]}**", ""]
            part = True
        elif part and line.startswith("    ") and not line.startswith("     "):
            lines.append(f"- {line.strip()}")
        elif part and line.startswith("     "):
            lines.append(f"  {line.strip()}")
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "columns": columns,
    "recipes": recipes,
    "settings": settings,
    "layouts": layouts,
    "commands": commands,
    "python": python,
}
