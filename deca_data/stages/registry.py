"""The stages, and the order in which a photo goes through them."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from manifests.errors import UsageError

ORDER = ("detect", "landmarks", "consistency", "quality", "masks", "identity")
"""Names of the stages in this order."""


@lru_cache(maxsize=16)
def stage_class(name: str) -> Any:
    """The class of a stage: the one in `deca_data/stages/<name>.py` whose ``name`` is the stage's name."""
    module = importlib.import_module(f"deca_data.stages.{name}")
    for value in vars(module).values():
        if isinstance(value, type) and getattr(value, "name", None) == name:
            return value
    raise ImportError(f"deca_data/stages/{name}.py has no class whose name is {name!r}")


def closure(names: Iterable[str]) -> set[str]:
    """``names`` and all stages whose columns they read, directly or indirectly."""
    todo, done = list(names), set()
    while todo:
        name = todo.pop()
        if name not in ORDER:
            raise UsageError(f"there is no stage {name!r}: the stages are {', '.join(ORDER)}.")
        if name not in done:
            done.add(name)
            todo += upstream(name)
    return done


def upstream(name: str) -> list[str]:
    """The stages whose columns ``name`` reads."""
    reads = set(stage_class(name).reads)
    return [other for other in ORDER[: ORDER.index(name)] if reads & set(stage_class(other).writes)]
