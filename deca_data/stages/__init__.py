"""What is done to one image: a file per stage; and which stages there are, in which order.

To add a stage, put a file with a class such as `deca_data.stage.Stage` describes into this folder, or into
one that the environment variable DECA_STAGES names. There is no list to add it to.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deca_data.stage_facts import StageFacts, read_facts
from manifests.errors import UsageError
from manifests.setting_errors import similar

if TYPE_CHECKING:
    from manifests.schema import Column

VARIABLE = "DECA_STAGES"
"""Environment variable that names folders with more stages; processes inherit it."""

# The import system then finds those stages as it finds the ones here, in this process and in workers.
__path__ += [os.path.abspath(folder) for folder in os.environ.get(VARIABLE, "").split(os.pathsep) if folder]


@lru_cache(maxsize=1)
def stages() -> Mapping[str, StageFacts]:
    """All stages by name, in the order in which a photo goes through them.

    A stage comes after those whose columns it reads. Of several that could be next, those of
    `deca-data run` come first, then those that need no model of their own; then they go by name.

    Raises:
        UsageError: a file is no stage, or stages do not fit together.
    """
    files = _files()
    found = {name: read_facts(path) for name, path in files.items()}
    needs = {name: _needs(facts, found) for name, facts in found.items()}
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        circle = ", ".join(error.args[1])
        raise UsageError(f"stages read columns of one another in a circle: {circle}.") from error
    ordered: dict[str, StageFacts] = {}
    while len(ordered) < len(found):
        ready = [found[name] for name in found if name not in ordered and needs[name] <= ordered.keys()]
        first = min(
            ready, key=lambda facts: (not facts.in_run, facts.default_backend is not None, facts.name)
        )
        ordered[first.name] = first
    _check_together(ordered, needs, files)
    return ordered


def in_run() -> list[str]:
    """The stages that `deca-data run` is for."""
    return [name for name, facts in stages().items() if facts.in_run]


def facts_of(name: str) -> StageFacts:
    """What the stage ``name`` states.

    Raises:
        UsageError: there is none of this name.
    """
    if name not in stages():
        near = similar(name, stages()) or f": the stages are {', '.join(stages())}"
        raise UsageError(f"there is no stage {name!r}{near} (more by {VARIABLE}=FOLDER).")
    return stages()[name]


@lru_cache(maxsize=64)
def upstream(name: str) -> tuple[str, ...]:
    """The stages whose columns, or whose model, the stage ``name`` needs, in order."""
    needed = _needs(facts_of(name), stages())
    return tuple(other for other in stages() if other in needed)


def closure(names: Iterable[str]) -> set[str]:
    """``names`` and all stages that they need, directly or not."""
    todo, done = list(names), set()
    while todo:
        name = todo.pop()
        if name not in done:
            done.add(name)
            todo += upstream(name)
    return done


@lru_cache(maxsize=64)
def stage_class(name: str) -> Any:
    """The class of a stage.

    Raises:
        UsageError: there is no such stage, its file cannot be imported, or its class lacks something.
    """
    from deca_data.stage import check_class

    facts_of(name)
    path = _files()[name]
    try:
        module = importlib.import_module(f"{__name__}.{name}")
    except Exception as error:  # whatever happens in a file of the user's
        raise UsageError(
            f"{path}: the stage cannot be imported ({type(error).__name__}: {error}); correct the file."
        ) from error
    classes = (each for each in vars(module).values() if isinstance(each, type))
    made = next(each for each in classes if vars(each).get("name") == name)
    check_class(made, path)
    return made


def added_columns(names: Iterable[str]) -> list[Column]:
    """The columns that these stages add to the manifest beyond the core schema, in their order.

    Only the files of stages that write such columns are imported.
    """
    from deca_data.stage import manifest_columns
    from manifests.schema import NAMES

    own = [name for name in names if not set(facts_of(name).writes) <= set(NAMES)]
    return [column for name in own for column in manifest_columns(stage_class(name))]


def _files() -> dict[str, Path]:
    """The file of each stage; one whose name begins with an underscore is none."""
    found: dict[str, Path] = {}
    for folder in map(Path, __path__):
        if not folder.is_dir():
            raise UsageError(f"{VARIABLE}: there is no folder {folder}; correct the variable.")
        for path in sorted(folder.glob("[!_]*.py")):
            if path.stem in found:
                raise UsageError(f"{path}: there is a stage {path.stem!r} already; rename the file.")
            found[path.stem] = path
    return found


def _needs(facts: StageFacts, known: Mapping[str, StageFacts]) -> set[str]:
    writers = {each.name for each in known.values() if set(facts.reads) & set(each.writes)}
    same = known.keys() & {facts.same_backend_as}
    return (writers | same) - {facts.name}


def _check_together(
    ordered: Mapping[str, StageFacts], needs: Mapping[str, set[str]], files: Mapping[str, Path]
) -> None:
    """Makes sure that each column has one writer, each model a stage, and each stage a box."""
    writers: dict[str, str] = {}
    for name, path in files.items():
        for column in ordered[name].writes:
            if writers.setdefault(column, name) != name:
                raise UsageError(f"{path}: {writers[column]} writes {column!r} already; choose another name.")
    for name, facts in ordered.items():
        path, other = files[name], facts.same_backend_as
        if other is not None and other not in ordered:
            raise UsageError(f"{path}: same_backend_as: there is no stage {other!r}; correct it.")
        if "box" not in facts.writes and not needs[name]:
            raise UsageError(
                f"{path}: it must read 'box' or a column made from it, as a large photo is decoded at the "
                "size at which the face in its box is wanted."
            )
