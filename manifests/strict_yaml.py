"""YAML settings in which nothing is silently lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from manifests.errors import UsageError


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds settings by name; a repeated key is an error, not the last one's win.

    Raises:
        UsageError: unreadable, not YAML, not a mapping, or a key stands there twice.
    """
    try:
        values = yaml.load(path.read_text(), Loader=_StrictLoader)
    except (OSError, yaml.YAMLError) as error:
        raise UsageError(f"{path}: it cannot be read as YAML ({error}).") from error
    if not isinstance(values or {}, dict):
        raise UsageError(f"{path}: it must hold settings, one `name: value` a line.")
    return values or {}


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML in which a key may stand only once."""


def _mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value]
    for key in keys:
        if keys.count(key) > 1:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key!r} stands there twice", node.start_mark
            )
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
