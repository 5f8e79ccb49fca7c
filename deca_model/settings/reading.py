"""Reading settings: a preset, a YAML file, and ``--set`` on the command line, in this order."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from deca_model.settings.groups import TrainingConfig
from manifests.errors import UsageError
from manifests.yaml_files import dump_yaml, parse_yaml, read_yaml

PRESETS = ("open", "cpu", "paper", "emoca")
_FOLDER = Path(__file__).with_name("presets")


def load_config(source: str | Path | None = None, overrides: Sequence[str] = ()) -> TrainingConfig:
    """Read the settings of a run.

    Args:
        source: the name of a preset (``PRESETS``), or a YAML file; None is ``paper``. A file
            may begin with ``preset: cpu``; then it holds only what differs from that preset.
        overrides: ``group.name=value`` each; the value is YAML.

    Raises:
        UsageError: there is no such file or preset, the YAML is broken, or a setting is repeated, unknown or
            invalid.
    """
    # Each stage has its own defaults, so a group that gives one value must keep the stage's other values.
    values = _merge(TrainingConfig().model_dump(mode="json"), _read(source or "paper"))
    given = []
    for text in overrides:
        name, sign, value = text.partition("=")
        if not sign:
            raise UsageError(f"--set {text}: write it as name=value, for instance loss.photometric=2.0.")
        given.append(name.strip())
        _put(values, given[-1].split("."), parse_yaml(value, f"--set {name}"))
    return check_config(values, str(source or "paper"), given)


def check_config(values: Mapping[str, Any], source: str, given: Sequence[str] = ()) -> TrainingConfig:
    """Build the settings from plain values.

    Args:
        values: the settings.
        source: where they come from, for errors.
        given: the names of those that come from ``--set`` instead.

    Raises:
        UsageError: names the first invalid setting, and similar names of an unknown one.
    """
    try:
        return TrainingConfig.model_validate(values)
    except ValidationError as error:
        raise UsageError(_explain(error, source, given)) from None


def dump_config(config: TrainingConfig) -> str:
    """The settings as YAML for ``load_config``."""
    return dump_yaml(config.model_dump(mode="json"))


def _read(source: str | Path) -> dict[str, Any]:
    path = _FOLDER / f"{source}.yaml" if str(source) in PRESETS else Path(source)
    if not path.is_file():
        raise UsageError(f"{source}: there is no such settings file; the presets are {', '.join(PRESETS)}.")
    values = read_yaml(path)
    preset = values.pop("preset", None)
    if preset is None:
        return values
    if preset not in PRESETS:
        raise UsageError(f"{source}: there is no preset {preset!r}; the presets are {', '.join(PRESETS)}.")
    return _merge(_read(preset), values)


def _merge(base: dict[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in change.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _put(values: dict[str, Any], keys: Sequence[str], value: Any) -> None:
    for key in keys[:-1]:
        inner = values.get(key)
        values[key] = inner if isinstance(inner, dict) else {}
        values = values[key]
    values[keys[-1]] = value


def _explain(error: ValidationError, source: str, given: Sequence[str]) -> str:
    def origin(name: str) -> str | None:
        """The ``--set`` that a setting comes from."""
        return next((each for each in given if f"{name}.".startswith(f"{each}.")), None) or next(
            (each for each in given if each.startswith(f"{name}.")), None
        )

    faults = error.errors()
    names = [".".join(str(part) for part in fault["loc"]) for fault in faults]
    place = next((place for place, name in enumerate(names) if origin(name)), 0)
    first, name = faults[place], names[place]
    keys = name.split(".")
    source = f"--set {origin(name)}" if origin(name) else source
    if first["type"] == "extra_forbidden":
        close = difflib.get_close_matches(name, list(_names(TrainingConfig)), n=3, cutoff=0.5)
        ending = [full for full in _names(TrainingConfig) if full.split(".")[-1] == keys[-1]]
        near = list(dict.fromkeys([*ending, *close]))[:3]
        return f"{source}: there is no setting {name}" + (f"; similar: {', '.join(near)}." if near else ".")
    return f"{source}: {name} = {first['input']!r}: {first['msg']}."


def _names(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The full names of all settings."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _names(kind, f"{prefix}{name}.")
        else:
            yield prefix + name
