"""Settings as YAML 1.2.

The library takes a tenth of a second to import, so it is imported at the first call.
"""

from __future__ import annotations

import io
import textwrap
from pathlib import Path
from typing import Any

from manifests.errors import UsageError
from manifests.files import read_file

LARGEST = 2**24
"""Bytes of the largest file of settings."""


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds settings by name.

    Raises:
        UsageError: unreadable, not a mapping, or what `parse_yaml` refuses.
    """
    try:
        text = read_file(path, LARGEST).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: it cannot be read as YAML ({error}).") from error
    values = parse_yaml(text, str(path))
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UsageError(f"{path}: it must hold settings, one `name: value` a line.")
    return values


def parse_yaml(text: str, where: str) -> Any:
    """The value of a YAML text: null, a bool, a number, text, or lists and mappings of these.

    Args:
        text: one YAML document.
        where: the source of the text, named in errors.

    Raises:
        UsageError: not YAML, a repeated key, a key that is not text, an alias, or another kind of value.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.events import AliasEvent

    try:
        events = YAML(typ="safe", pure=True).parse(text)
        if any(isinstance(event, AliasEvent) for event in events):  # a few aliases can expand to gigabytes
            raise ValueError("it has an alias (*name); write out its value")
        value = YAML(typ="safe", pure=True).load(text)
        _check(value)
    except Exception as error:  # the constructors of types raise errors of many kinds
        raise UsageError(f"{where}: it cannot be read as YAML ({_problem(error)}).") from None
    return value


def dump_yaml(values: dict[str, Any]) -> str:
    """The text that `read_yaml` reads back; names keep their order."""
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # pyright: ignore[reportAttributeAccessIssue]
    text = io.StringIO()
    yaml.dump(values, text)
    return text.getvalue()


def _problem(error: Exception) -> str:
    """The library's message without its copies of the text."""
    said = [getattr(error, name, None) for name in ("context", "problem")]
    mark = getattr(error, "problem_mark", None)
    line = f"line {mark.line + 1}: " if mark else ""
    return line + textwrap.shorten(", ".join(filter(None, said)) or str(error), 200)


def _check(value: Any) -> None:
    """Raises ValueError for values that settings never have, such as dates, and keys that are not text."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if not isinstance(name, str):
                raise ValueError(f"the name {name!r} is not text; put it in quotes")
            _check(inner)
    elif isinstance(value, list):
        for inner in value:
            _check(inner)
    elif isinstance(value, int) and value.bit_length() > 63:
        raise ValueError("a whole number is beyond 64 bits")
    elif not isinstance(value, (str, int, float, type(None))):
        raise ValueError(f"{value} is a {type(value).__name__}, which no setting is; put it in quotes")
