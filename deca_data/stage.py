"""What every per-image stage states and offers, and the columns that follow from it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pyarrow as pa
from pydantic import BaseModel

from deca_data.sample import Sample
from manifests.errors import UsageError
from manifests.schema import NAMES, Column, field_of, subset


class Stage(Protocol):
    """One step of the way of an image.

    A stage with a model is made as ``Stage(settings, backend)`` (see `ModelStage`), one without as
    ``Stage(settings)``. What `deca_data.stage_facts.StageFacts` lists is written as plain literals.

    Attributes:
        name: the stage's name, that of its file; it stands in the `stage` column and in settings.
        version: raised whenever the code changes what the stage writes; old parts are then redone.
        reads: columns that must be there before. All but the detector's stage read `box` or what is made
            from it: a large photo is decoded at the size at which the face in it is wanted.
        writes: columns that the stage sets in the manifest.
        batch: how many samples it wants in one call (1 where batching brings nothing).
        Settings: the frozen pydantic model of its settings.
        in_run: whether `deca-data run` includes it; another stage that needs it does in any case.

    Stated only where there is something to state:

        backend_kind: the kind of its model: detector, landmarker, parser or embedder.
        default_backend: the backend of that kind that is used where the user names none.
        same_backend_as: in place of it: another stage, whose backend, device and weights it uses.
        command: name, one line of help and an example of its own command of `deca-data`.
        manifest_columns: of `writes`, those that the manifest's core schema does not have.
        workspace_columns: further columns of its parts that do not go into the manifest.
    """

    name: str
    version: int
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    batch: int

    def fingerprint(self) -> dict[str, Any]:
        """Whatever changes the result: settings, library versions, hashes of weights. JSON-able."""
        ...

    def run(self, samples: Sequence[Sample], workspace: Path) -> None:
        """Sets the columns of ``samples`` (all still ok) and writes sidecars below ``workspace``."""
        ...


class NoSettings(BaseModel, frozen=True, extra="forbid"):
    """The settings of a stage that has none; thresholds belong to the recipe."""


class ModelStage:
    """What stages with a model share."""

    def __init__(self, settings: Any, backend: Any) -> None:
        self.settings = settings
        self.backend = backend

    def fingerprint(self) -> dict[str, Any]:
        """The settings, and the model's name, version and weights."""
        return {
            "settings": self.settings.model_dump(mode="json"),
            "backend": {"name": self.backend.name, **self.backend.fingerprint()},
        }


class StageSetting(NamedTuple):
    """A setting of a stage: its name, its default, and its meaning."""

    name: str
    default: Any
    meaning: str


def settings_of(stage: Any) -> list[StageSetting]:
    """The settings of a stage's class; their meanings stand in its docstring under `Attributes:`."""
    model = stage.Settings
    meanings: dict[str, str] = {}
    name = ""
    for line in (inspect.getdoc(model) or "").partition("Attributes:\n")[2].splitlines():
        found = re.match(r" {4}(\w+): (.*)", line)
        if found:
            name, meanings[found[1]] = found[1], found[2]
        elif name and line.strip():
            meanings[name] += " " + line.strip()
    return [
        StageSetting(name, field.default, field.description or meanings.get(name, ""))
        for name, field in model.model_fields.items()
    ]


def manifest_columns(stage: Any) -> tuple[Column, ...]:
    """The columns that a stage (or its class) adds to the manifest beyond the core schema."""
    return getattr(stage, "manifest_columns", ())


def workspace_columns(stage: Any) -> tuple[Column, ...]:
    """The columns of a stage's parts that stay in the workspace."""
    return getattr(stage, "workspace_columns", ())


def part_schema(stage: Any) -> pa.Schema:
    """The columns of a stage's parts, beside the rows' outcome, as Arrow has them."""
    added = [*manifest_columns(stage), *workspace_columns(stage)]
    core = subset(set(stage.writes) & set(NAMES))
    return pa.schema([*core, *map(field_of, added)])


def part_columns(stage: Any) -> list[str]:
    """The names of these columns, as the stage states them."""
    return [*stage.writes, *(column.name for column in workspace_columns(stage))]


def check_class(made: Any, path: Path) -> None:
    """Makes sure that a class is a stage, so that no worker finds out later.

    Raises:
        UsageError: it lacks something, or writes a column that nobody describes.
    """
    needed = ("version", "batch", "Settings", "fingerprint", "run")
    lacking = [name for name in needed if not hasattr(made, name)]
    if lacking:
        raise UsageError(f"{path}: its class has no {', '.join(lacking)}; add it.")
    added = [column.name for column in manifest_columns(made)]
    for name in made.writes:
        if (name in NAMES) == (name in added):
            raise UsageError(
                f"{path}: its column {name!r} must be described once: in its manifest_columns, or, for those "
                "of the core schema, in manifests/schema.py."
            )
