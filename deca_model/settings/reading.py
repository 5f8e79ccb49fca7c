"""Reading settings: a preset, a YAML file, and ``--set`` on the command line, in this order."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from deca_model.settings.groups import TrainingConfig
from manifests.errors import UsageError
from manifests.yaml_files import dump_yaml, parse_yaml, read_yaml

FOLDER = Path(__file__).parent / "presets"
PRESETS = ("paper", "emoca", "cpu")


def load_config(source: str | Path | None = None, overrides: Sequence[str] = ()) -> TrainingConfig:
    """Reads the settings of a run.

    Args:
        source: the name of a preset (``PRESETS``), or a YAML file; None is ``paper``. A file
            may begin with ``preset: cpu`` and then gives only what differs from that preset.
        overrides: ``group.name=value`` each, the value written as in YAML.

    Raises:
        UsageError: no such file or preset, broken YAML, a repeated, unknown or unfit setting.
    """
    # The stages have defaults of their own, so a group that gives one value must keep the others.
    values = _merge(TrainingConfig().model_dump(mode="json"), _read(source or "paper"))
    for text in overrides:
        name, sign, value = text.partition("=")
        if not sign:
            raise UsageError(f"--set {text}: write it as name=value, for instance loss.photometric=2.0.")
        _put(values, name.strip().split("."), parse_yaml(value, f"--set {name}"))
    return check_config(values, str(source or "paper"))


def check_config(values: Mapping[str, Any], source: str) -> TrainingConfig:
    """Builds the settings from plain values.

    Raises:
        UsageError: names the first unfit setting, and the near matches of an unknown one.
    """
    try:
        return TrainingConfig.model_validate(values)
    except ValidationError as error:
        raise UsageError(_explain(error, source)) from None


def dump_config(config: TrainingConfig) -> str:
    """The settings as YAML that ``load_config`` reads back."""
    return dump_yaml(config.model_dump(mode="json"))


def _read(source: str | Path) -> dict[str, Any]:
    path = FOLDER / f"{source}.yaml" if str(source) in PRESETS else Path(source)
    if not path.is_file():
        raise UsageError(
            f"{source}: there is no such settings file, and the presets are {', '.join(PRESETS)}."
        )
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


def _explain(error: ValidationError, source: str) -> str:
    first = error.errors()[0]
    keys = [str(part) for part in first["loc"]]
    name = ".".join(keys)
    if first["type"] == "extra_forbidden":
        close = difflib.get_close_matches(name, list(_names(TrainingConfig)), n=3, cutoff=0.5)
        ending = [full for full in _names(TrainingConfig) if full.split(".")[-1] == keys[-1]]
        near = list(dict.fromkeys([*ending, *close]))[:3]
        return f"{source}: there is no setting {name}" + (f"; near it: {', '.join(near)}." if near else ".")
    return f"{source}: {name} = {first['input']!r}: {first['msg']}."


def _names(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The full names of all settings."""
    for name, field in model.model_fields.items():
        inner = [kind for kind in (field.annotation, *get_args(field.annotation)) if _is_group(kind)]
        if inner:
            yield from _names(inner[0], f"{prefix}{name}.")  # type: ignore[arg-type]
        else:
            yield prefix + name


def _is_group(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
