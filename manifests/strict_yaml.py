"""YAML settings in which nothing is silently lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from manifests.errors import UsageError


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads a YAML file of settings by name.

    Raises:
        UsageError: the file cannot be read, is not YAML or no mapping, or has a key twice.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: it cannot be read as YAML ({error}).") from error
    values = parse_yaml(text, str(path)) or {}
    if not isinstance(values, dict):
        raise UsageError(f"{path}: it must hold settings, one `name: value` a line.")
    return values


def parse_yaml(text: str, where: str) -> Any:
    """Parses ``text``; errors name its origin ``where``.

    Raises:
        UsageError: it is not YAML, or has a key twice.
    """
    loader = _UniqueKeys(text)
    try:
        return loader.get_single_data()
    except yaml.YAMLError as error:
        raise UsageError(f"{where}: it cannot be read as YAML ({' '.join(str(error).split())}).") from None
    finally:
        loader.dispose()


class _UniqueKeys(yaml.SafeLoader):
    """Makes a repeated key an error; YAML's own loader takes the last value in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[Any, int] = {}
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice, in lines {seen[key]} and {line}"
                )
            seen[key] = line
        return super().construct_mapping(node, deep)
