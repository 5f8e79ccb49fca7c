"""Which stages there are, in which order they run, and what each one's result depends on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from pydantic import ValidationError

from deca_data.backends import load_backend
from deca_data.stages.protocol import Stage
from deca_data.stages.registry import ORDER, closure, stage_class, upstream
from manifests.errors import UsageError
from pipelines.workspace.parts import digest
from pipelines.workspace.workspace import StageSpec

BACKEND_KIND = {
    "detect": "detector",
    "landmarks": "landmarker",
    "consistency": "landmarker",
    "masks": "parser",
    "identity": "embedder",
}
DEFAULT_BACKEND = {
    "detect": "mediapipe",
    "landmarks": "mediapipe",
    "masks": "mesh",
    "identity": "dlib",
}


@lru_cache(maxsize=16)
def _make(text: str) -> Stage:
    spec = StageSpec.model_validate_json(text)
    made = stage_class(spec.name)
    try:
        settings = made.Settings(**spec.settings)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            f"setting {spec.name}.{where}: {first['msg'].lower()}; "
            f"its settings are {', '.join(made.Settings.model_fields) or 'none'}."
        ) from error
    kind = BACKEND_KIND.get(spec.name)
    if kind is None:
        return made(settings)
    backend = load_backend(
        kind, spec.backend or "", device=spec.device, weights=spec.weights, download=spec.download
    )
    return made(settings, backend)


def make_stage(spec: StageSpec) -> Stage:
    """The stage that ``spec`` describes, made once a process with its model.

    Raises:
        UsageError: an unknown backend or setting, a missing package or a missing weight file.
    """
    return _make(spec.model_dump_json())


def with_defaults(specs: Mapping[str, StageSpec], names: Iterable[str]) -> list[StageSpec]:
    """Specs for ``names`` and everything that they need, in order; remembered ones where there are any."""
    wanted = closure(names)
    found = []
    for name in ORDER:
        if name not in wanted:
            continue
        spec = specs.get(name) or StageSpec(name=name, backend=DEFAULT_BACKEND.get(name))
        if name == "consistency":  # it repeats the landmark stage's own model
            landmarks = next(each for each in found if each.name == "landmarks")
            spec = landmarks.model_copy(update={"name": name, "settings": spec.settings})
        found.append(spec)
    return found


def fingerprints(specs: Iterable[StageSpec]) -> dict[str, str]:
    """The fingerprint of each stage: its version, settings and weights, and those of its inputs."""
    found: dict[str, str] = {}
    for spec in specs:
        stage = make_stage(spec)
        inputs = {name: found[name] for name in upstream(spec.name)}
        columns = [*stage.writes, *getattr(stage, "extra_columns", {})]
        found[spec.name] = digest([stage.name, stage.version, columns, stage.fingerprint(), inputs])
    return found
