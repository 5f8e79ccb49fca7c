"""Recipe, stages and versions behind the report, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from deca_data.stages import stages
from manifests.streaming import ManifestStream
from pipelines.curate.recipe import Recipe

_PACKAGES = (
    "deca-data",
    "numpy",
    "opencv-python",
    "imagehash",
    "pyarrow",
    "mediapipe",
    "face-alignment",
    "facexlib",
    "dlib-bin",
)


def settings_tables(streams: Sequence[ManifestStream]) -> dict[str, Any]:
    """Returns recipe, stages and versions, as lists of names and values."""
    info = streams[0].head.info
    recipe = info.get("recipe", {})
    meanings = {name: entry.description or "" for name, entry in Recipe.model_fields.items()}
    ordered = [*(name for name in meanings if name in recipe), *sorted(set(recipe) - set(meanings))]
    specs, prints = info.get("stages", {}), info.get("fingerprints", {})
    known = [*stages_in_order(), *specs]  # a stage that this machine lacks comes last
    ran = []
    for name, spec in sorted(specs.items(), key=lambda item: known.index(item[0])):
        own = ", ".join(f"{key} = {value}" for key, value in spec.get("settings", {}).items())
        ran.append([name, spec.get("backend") or "", own or "defaults", prints.get(name, "")])
    return {
        "recipe": [[name, recipe[name], meanings.get(name, "")] for name in ordered if name != "name"],
        "recipe_name": recipe.get("name", ""),
        "stages": ran,
        "sources": sorted(info.get("sources", {}).items()),
        "identities": info.get("identities", ""),
        "versions": [[name, found] for name in _PACKAGES if (found := _version(name))],
    }


def stages_in_order() -> list[str]:
    """Returns what may end a row: the stages, then the steps of `build.decide`.

    The stage `identity` ends no row; the check of its vectors does.
    """
    of_images = [name for name in stages() if name != "identity"]
    return ["scan", "decode", *of_images, "duplicates", "exclude", "identity", "selection"]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
