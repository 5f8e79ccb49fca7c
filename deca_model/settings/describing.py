"""Settings as text: a YAML file with the meaning of each, and the differences between the presets."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import BaseModel

from deca_model.settings.groups import TrainingConfig
from deca_model.settings.reading import PRESETS, load_config

WIDTH = 78

MEANINGS = {
    "open": "all losses that need no licensed file; the default where there is a GPU",
    "cpu": "few steps, on MediaPipe's face mesh and a small network; the default where there is none",
    "paper": "DECA's own schedule and all its losses; their files must be given",
    "emoca": "EMOCA's stage, for a GPU; it starts from a coarse model",
}
"""What each preset is for."""


class Setting(NamedTuple):
    """One setting: its full name, its value (JSON-able) and its meaning; a group's value is None."""

    name: str
    value: Any
    meaning: str
    group: bool = False


def settings_of(config: BaseModel, prefix: str = "") -> Iterator[Setting]:
    """Yields every group and every setting of it, in order."""
    plain = config.model_dump(mode="json")
    for name, field in type(config).model_fields.items():
        value, meaning = getattr(config, name), " ".join((field.description or "").split())
        if isinstance(value, BaseModel):
            yield Setting(prefix + name, None, meaning, group=True)
            yield from settings_of(value, f"{prefix}{name}.")
        else:
            yield Setting(prefix + name, plain[name], meaning)


def described(config: TrainingConfig) -> str:
    """Returns the settings as YAML for ``load_config``, with the meaning before each as a comment."""
    lines = []
    for setting in settings_of(config):
        *groups, name = setting.name.split(".")
        indent = "  " * len(groups)
        if not groups:
            lines.append("")
        lines += textwrap.wrap(
            setting.meaning, WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# "
        )
        value = "" if setting.group else f" {_yaml(setting.value)}"
        lines.append(f"{indent}{name}:{value}")
    return "\n".join(lines[1:]) + "\n"


def differing_settings() -> tuple[tuple[str, ...], list[list[Any]]]:
    """Returns the presets' names, and name, values and meaning of each setting in which they differ."""
    presets = [[each for each in settings_of(load_config(name)) if not each.group] for name in PRESETS]
    values: dict[str, dict[int, Any]] = {}
    meanings: dict[str, str] = {}
    for number, settings in enumerate(presets):
        for each in settings:
            values.setdefault(each.name, {})[number] = each.value
            meanings[each.name] = each.meaning
    rows = [
        [name, *(found.get(number) for number in range(len(presets))), meanings[name]]
        for name, found in values.items()
        if any(found.get(number) != found.get(0) for number in range(len(presets)))
    ]
    return PRESETS, rows


def _yaml(value: Any) -> str:
    """Returns a value on one line; JSON is YAML, but for text that needs no quotes."""
    text = json.dumps(value)
    return value if isinstance(value, str) and value.isidentifier() else text
