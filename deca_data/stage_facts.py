"""What must be known of a stage before it is imported, read from the text of its file.

The commands list the stages in `--help`, and to import them all takes a second. So the class of a stage
states these facts in plain literals.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, NamedTuple

from manifests.errors import UsageError


class StageFacts(NamedTuple):
    """Facts of a stage; `deca_data.stage.Stage` says what each means."""

    name: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    in_run: bool
    backend_kind: str | None = None
    default_backend: str | None = None
    same_backend_as: str | None = None
    command: tuple[str, str, str] | None = None


_KINDS = {"in_run": bool, "reads": tuple, "writes": tuple, "command": tuple}
"""The Python type of each fact that is no string."""


def read_facts(path: Path) -> StageFacts:
    """The facts of the stage in a file; its class is the one whose `name` is the file's.

    Raises:
        UsageError: the file is no Python, has no such class, or a fact is missing or no literal.
    """
    try:
        tree = ast.parse(path.read_bytes(), path.name)
    except SyntaxError as error:
        raise UsageError(f"{path}, line {error.lineno}: {error.msg}; correct the file.") from error
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            lines = _stated(node)
            if "name" in lines and _literal(lines["name"], "name", path) == path.stem:
                return _checked({name: _literal(line, name, path) for name, line in lines.items()}, path)
    raise UsageError(f"{path}: it has no class that states `name = {path.stem!r}`; add it to the stage.")


def _stated(node: ast.ClassDef) -> dict[str, ast.expr]:
    """The values that a class's body gives to the names of facts."""
    found = {}
    for line in node.body:
        target = line.targets[0] if isinstance(line, ast.Assign) else getattr(line, "target", None)
        if isinstance(target, ast.Name) and target.id in StageFacts._fields:
            found[target.id] = line.value  # type: ignore[attr-defined]
    return found


def _literal(value: ast.expr, name: str, path: Path) -> Any:
    kind = _KINDS.get(name, str)
    try:
        found = ast.literal_eval(value)
    except ValueError:
        found = None
    if not isinstance(found, kind):
        raise UsageError(
            f"{path}, line {value.lineno}: {name} must be a literal {kind.__name__}, as it is read without "
            "running the file."
        )
    return found


def _checked(facts: dict[str, Any], path: Path) -> StageFacts:
    missing = set(StageFacts._fields) - set(StageFacts._field_defaults) - set(facts)
    if missing:
        raise UsageError(f"{path}: its class does not state {', '.join(sorted(missing))}; add it.")
    found = StageFacts(**facts)
    if (found.backend_kind is not None) != bool(found.default_backend or found.same_backend_as):
        raise UsageError(
            f"{path}: backend_kind goes with default_backend or same_backend_as; state both, or neither."
        )
    if found.command is not None and len(found.command) != 3:
        raise UsageError(f"{path}: command must be a name, a line of help and an example.")
    return found
