"""The settings of `deca train`: which were chosen, what each means, and how the presets differ."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.options import JsonOption
from manifests.errors import UsageError
from pipelines.terminal.lines import print_line
from pipelines.terminal.tables import print_table

if TYPE_CHECKING:
    from deca_model.settings.groups import TrainingConfig

PresetOption = Annotated[
    str | None, typer.Option(help="open, cpu, paper or emoca; default: open with a GPU, else cpu.")
]
ConfigOption = Annotated[Path | None, typer.Option(help="YAML file with settings.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="One setting, as loss.eye=0.5.")
]


def chosen_settings(
    preset: str | None, config: Path | None, overrides: list[str], quiet: bool
) -> TrainingConfig:
    """Returns the settings of a run; without a preset or a file, those of the preset for this machine.

    Raises:
        UsageError: both a preset and a file are given, or a setting is unknown or invalid.
    """
    from deca_model.settings.reading import load_config

    if preset is not None and config is not None:
        raise UsageError("--preset and --config: give one of them; a config file names its preset itself.")
    return load_config(config or preset or _preset_of_machine(overrides, quiet), overrides)


def presets_command(as_json: JsonOption = False) -> None:
    """Print the presets, and side by side the settings in which they differ.

    `deca config --preset NAME` prints all settings of one, with their meaning.

    Example: deca presets
    """
    from deca_model.settings.describing import MEANINGS, differing_settings

    names, rows = differing_settings()
    if as_json:
        print(json.dumps([dict(zip(("setting", *names, "meaning"), row, strict=True)) for row in rows]))
        return
    for name in names:
        print_line(f"{name}: {MEANINGS[name]}", indent="  ")
    print()
    print_table(["setting", *names], [[row[0], *map(_shown, row[1:-1])] for row in rows])


def config_command(
    preset: PresetOption = None,
    config: ConfigOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the settings that `deca train` would use, each with its meaning.

    The output is a settings file: change it, and give it to --config.

    Example: deca config --preset cpu > mine.yaml
    """
    from deca_model.settings.describing import described

    chosen = chosen_settings(preset, config, settings or [], as_json)
    print(json.dumps(chosen.model_dump(mode="json"), indent=1) if as_json else described(chosen), end="")


def _shown(value: Any) -> str:
    """A setting's value; text without quotes, which keeps the table in 80 columns."""
    return value if isinstance(value, str) else json.dumps(value)


def _preset_of_machine(overrides: list[str], quiet: bool) -> str:
    """``open`` where the run is on a GPU, else ``cpu``; says which, and why."""
    import torch

    from deca_model.training.processes import is_first

    device = next((each[11:] for each in reversed(overrides) if each.startswith("run.device=")), "auto")
    found = torch.cuda.is_available() if device == "auto" else device.startswith("cuda")
    preset = "open" if found else "cpu"
    if not quiet and is_first():
        automatic = "as there is a GPU" if found else "as no GPU is found"
        why = automatic if device == "auto" else f"for device {device}"
        print_line(f"preset {preset}, {why}; another with --preset, single settings with --set", sys.stderr)
    return preset
