"""Which stages a call needs, how each is made, and what its result depends on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from pydantic import ValidationError

from deca_data.backends import load_backend
from deca_data.stage import Stage, part_columns
from deca_data.stages import closure, facts_of, stage_class, stages, upstream
from manifests.errors import UsageError
from manifests.setting_errors import explain
from pipelines.workspace.parts import digest
from pipelines.workspace.workspace import StageSpec

MODEL = ("backend", "device", "weights", "download", "batch")
"""What can be set, beside its settings, of a stage with a model."""


GPU_BATCH = 32
"""Photos in one call of a model on a GPU, where the user sets no number."""


@lru_cache(maxsize=16)
def _make(text: str) -> Stage:
    spec = StageSpec.model_validate_json(text)
    made = stage_class(spec.name)
    try:
        settings = made.Settings(**spec.settings)
    except ValidationError as error:
        known = [*made.Settings.model_fields, *(MODEL if facts_of(spec.name).default_backend else ())]
        raise UsageError(explain(error, f"{spec.name}.", known)) from error
    kind = facts_of(spec.name).backend_kind
    if kind is None:
        return made(settings)
    backend = load_backend(
        kind, spec.backend or "", device=spec.device, weights=spec.weights, download=spec.download
    )
    stage = made(settings, backend)
    stage.batch = spec.batch or (max(made.batch, GPU_BATCH) if spec.device.startswith("cuda") else made.batch)
    return stage


def make_stage(spec: StageSpec) -> Stage:
    """The stage that ``spec`` describes, made once a process with its model.

    Raises:
        UsageError: an unknown backend or setting, a missing package or a missing weight file.
    """
    return _make(spec.model_dump_json())


def default_spec(name: str) -> StageSpec:
    """How a stage is run where the user says nothing."""
    return StageSpec(name=name, backend=facts_of(name).default_backend)


def with_defaults(specs: Mapping[str, StageSpec], names: Iterable[str]) -> list[StageSpec]:
    """Specs for ``names`` and everything that they need, in order; remembered ones where there are any."""
    wanted = closure(names)
    found: dict[str, StageSpec] = {}
    for name, facts in stages().items():
        if name not in wanted:
            continue
        spec = specs.get(name) or default_spec(name)
        if facts.same_backend_as is not None:
            other = found[facts.same_backend_as]
            spec = other.model_copy(update={"name": name, "settings": spec.settings})
        found[name] = spec
    return list(found.values())


def fingerprints(specs: Iterable[StageSpec]) -> dict[str, str]:
    """The fingerprint of each stage: its version, settings and weights, and those of its inputs."""
    found: dict[str, str] = {}
    for spec in specs:
        stage = make_stage(spec)
        inputs = {name: found[name] for name in upstream(spec.name)}
        found[spec.name] = digest(
            [stage.name, stage.version, part_columns(stage), stage.fingerprint(), inputs]
        )
    return found
