"""Turns `--backend`, `--config` and `--set` into the specs of stages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from deca_data.stages import facts_of
from manifests.errors import UsageError
from manifests.yaml_files import parse_yaml, read_yaml
from pipelines.run.stage_plan import MODEL, default_spec
from pipelines.workspace.workspace import StageSpec

LARGEST_BATCH = 1024


def ask(
    remembered: dict[str, StageSpec],
    stage: str | None,
    backend: str | None,
    device: str,
    weights: Path | None,
    download: bool,
    config: Path | None,
    settings: list[str],
) -> dict[str, StageSpec]:
    """The specs that the user's options change, by stage name; each starts from the ``remembered`` spec.

    Raises:
        UsageError: an option that belongs to no stage, or a setting that is not of the form STAGE.NAME=VALUE.
    """
    changes: dict[str, dict[str, Any]] = {}
    if config is not None:
        for name, values in read_yaml(config).items():
            _known(name, f"{config}")
            if not isinstance(values, dict):
                raise UsageError(f"{config}: under {name!r} write settings, one `name: value` per line.")
            changes.setdefault(name, {}).update(values)
    for name, value in parse_settings(settings).items():
        stage_name, _, setting = name.partition(".")
        _known(stage_name, f"--set {name}")
        if not setting:
            raise UsageError(f"--set {name}: write it as STAGE.NAME=VALUE.")
        changes.setdefault(stage_name, {})[setting] = value
    given = {"backend": backend, "weights": weights, "download": download or None}
    given = {name: value for name, value in given.items() if value is not None}
    if device != "cpu":
        given["device"] = device
    if given and stage is None:
        option = next(iter(given))
        raise UsageError(
            f"--{option}: this command runs several stages, so say for which: "
            f"--set masks.{option}={str(given[option]).lower() if option == 'download' else given[option]}."
        )
    if stage is not None and given:
        changes[stage] = {**changes.get(stage, {}), "device": device, **given}
    return {name: _changed(remembered.get(name) or default_spec(name), changes[name]) for name in changes}


def _changed(spec: StageSpec, changes: dict[str, Any]) -> StageSpec:
    """The spec with other settings, and with another backend, device or weights.

    Raises:
        UsageError: the stage has no model, or a value is none of its kind.
    """
    model = {name: changes[name] for name in MODEL if name in changes}
    settings = {name: value for name, value in changes.items() if name not in MODEL}
    facts = facts_of(spec.name)
    if model and not facts.default_backend:
        name = next(iter(model))
        other = f"; it uses that of {facts.same_backend_as}" if facts.same_backend_as else ""
        raise UsageError(f"{spec.name}.{name}: {spec.name} has no model of its own{other}.")
    update: dict[str, Any] = {"settings": {**spec.settings, **settings}}
    for name, value in model.items():
        _check_kind(spec.name, name, value)
        update[name] = value
    if model:
        same = model.get("backend") in (None, spec.backend)
        update["backend"] = model.get("backend") or (spec.backend if "backend" not in model else None)
        update["backend"] = update["backend"] or facts.default_backend
        weights = Path(model["weights"]) if model.get("weights") else (spec.weights if same else None)
        update["weights"] = weights.resolve() if weights else None
        update["download"] = bool(model.get("download"))
    return spec.model_copy(update=update)


def _check_kind(stage: str, name: str, value: Any) -> None:
    if name == "download":
        if not isinstance(value, bool):
            raise UsageError(f"{stage}.download = {value!r}: it is true or false.")
    elif name == "device":
        if not isinstance(value, str) or re.fullmatch(r"cpu|cuda(:\d+)?", value) is None:
            raise UsageError(f"{stage}: the device {value!r} is not supported; choose cpu, cuda or cuda:N.")
    elif name == "batch":
        if value is not None and (type(value) is not int or not 1 <= value <= LARGEST_BATCH):
            raise UsageError(f"{stage}.batch = {value!r}: it is a whole number from 1 to {LARGEST_BATCH}.")
    elif value is not None and not isinstance(value, (str, Path)):
        raise UsageError(f"{stage}.{name} = {value!r}: it is a text.")
    elif name == "weights" and value and not Path(value).exists():
        raise UsageError(f"{stage}: there are no weights at {value}; name a file or a folder that exists.")


def parse_settings(settings: list[str]) -> dict[str, Any]:
    """`name=value` pairs; values are read as YAML, so numbers, true, null and lists get their types.

    Raises:
        UsageError: no equals sign, or a name that is given twice.
    """
    found: dict[str, Any] = {}
    for text in settings:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"--set {text}: write it as NAME=VALUE.")
        if name in found:
            raise UsageError(f"{name}: it is given twice; give it once.")
        found[name] = parse_yaml(value, f"--set {name}")
    return found


def _known(name: str, where: str) -> None:
    try:
        facts_of(name)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error
