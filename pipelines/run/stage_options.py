"""Turns `--backend`, `--config` and `--set` into the specs of stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deca_data.stages import facts_of
from manifests.errors import UsageError
from manifests.yaml_files import parse_yaml, read_yaml
from pipelines.run.stage_plan import default_spec
from pipelines.workspace.workspace import StageSpec


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
    given = backend is not None or weights is not None or download or device != "cpu"
    if given and stage is None:
        raise UsageError(
            "--backend, --device and --weights belong to one stage: give them to the command of that stage."
        )
    specs = {}
    for name in {*changes, *([stage] if given and stage else [])}:
        spec = remembered.get(name) or default_spec(name)
        update: dict[str, Any] = {"settings": {**spec.settings, **changes.get(name, {})}}
        if given and name == stage:
            kept = weights or (spec.weights if backend in (None, spec.backend) else None)
            update.update(
                backend=backend or spec.backend,
                device=device,
                weights=kept.resolve() if kept else None,
                download=download,
            )
        specs[name] = spec.model_copy(update=update)
    return specs


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
