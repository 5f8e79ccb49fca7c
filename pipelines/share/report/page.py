"""The report as one file: counts and pictures as JSON, with the page's own style and scripts.

Nothing from a dataset is ever read as HTML or script: it is in a JSON block in which "<" is escaped, the
scripts put it into the page as text, and the page's policy allows only the script with the given hash, and no
file from outside.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from deca_data.stages import stages
from manifests.files import write_atomic
from manifests.landmarks import LINES
from manifests.streaming import ManifestStream, open_streams
from pipelines.curate.recipe import Recipe
from pipelines.share.report.cards import SIDE, make_cards
from pipelines.share.report.charts import PEOPLE, POSE, people_bins
from pipelines.share.report.counts import Counts, Survey, count, survey
from pipelines.share.report.sampling import Pick, Sheet, choose
from pipelines.terminal.progress_bar import progress

SCRIPTS = ("state.js", "draw.js", "flow.js", "scores.js", "photos.js", "main.js")

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


@dataclass(frozen=True)
class Written:
    """The result: the page, its size in bytes, rows by status, and photos that could not be read."""

    path: Path
    bytes: int
    statuses: dict[str, int]
    unreadable: int


def write_report(
    manifests: Sequence[Path],
    out: Path,
    roots: Mapping[str, Path] | None = None,
    *,
    photos: int = 8,
    seed: int = 0,
    quiet: bool = False,
) -> Written:
    """Reads the manifests and writes the page ``out``.

    ``photos`` is the number of photos on each side of a sheet; ``seed`` draws which ones; ``roots`` are
    folders that moved, by name.

    Raises:
        UsageError: a manifest is missing or is none.
        OSError: the page cannot be written.
    """
    streams = open_streams(manifests, roots)
    rows = sum(stream.rows for stream in streams)
    with progress("report", rows * (4 if photos else 2), "rows read", quiet=quiet) as shown:
        found = survey(streams, shown)
        counts = count(streams, found, shown)
        sheets = choose(streams, found, photos, seed, shown) if photos else []
        cards = make_cards(streams, sheets, list(found.scores))
    data = {
        "manifests": [{"name": stream.head.path.name, "rows": stream.rows} for stream in streams],
        "groups": [[*group, rows] for group, rows in found.groups.items()],
        "stages": _in_order(),
        "people": _people(found),
        "sheets": _sheets(sheets, cards),
        "cards": [cards[pick] for pick in cards],
        "side": SIDE,
        "chains": LINES,
        "settings": _settings(streams),
        "lookalikes": streams[0].head.info.get("lookalikes", []),
        **_charts(counts, found),
    }
    page = _assemble(data).encode()
    write_atomic(out, page)
    statuses: Counter[str] = Counter()
    for group, rows in found.groups.items():
        statuses[group.status] += rows
    missing = sum(card["note"] is not None and card.get("status") == "ok" for card in cards.values())
    return Written(out, len(page), statuses, missing)


def _assemble(data: Mapping[str, Any]) -> str:
    """Puts style, scripts and data into the template."""
    style = _packaged("style.css")
    script = "\n".join(_packaged(name) for name in SCRIPTS)
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    safe = text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    # File names that are not UTF-8 have lone surrogates, which a file cannot hold.
    block = safe.encode("utf-8", "replace").decode()
    return Template(_packaged("page.html")).substitute(POLICY=policy, STYLE=style, SCRIPT=script, DATA=block)


def _packaged(name: str) -> str:
    return (resources.files("pipelines.share.report") / "web" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _charts(counts: Counts, found: Survey) -> dict[str, Any]:
    scores = [
        {
            "name": name,
            "unit": found.scores[name].unit,
            "meaning": found.scores[name].meaning,
            **scale._asdict(),
            "bounds": [bound._asdict() for bound in found.bounds_on(name)],
            "counts": {group: bins.tolist() for group, bins in enumerate(counts.scores[name]) if bins.any()},
            "missing": counts.missing[name].tolist(),
        }
        for name, scale in counts.scales.items()
    ]
    pose = {
        "yaw": POSE["yaw"]._asdict(),
        "pitch": POSE["pitch"]._asdict(),
        "counts": {
            group: [[int(cell), int(cells[cell])] for cell in np.flatnonzero(cells)]
            for group, cells in enumerate(counts.pose)
            if cells.any()
        },
    }
    return {"scores": scores, "pose": pose}


def _people(found: Survey) -> dict[str, Any]:
    labels = [
        f"{low}" if high == low + 1 else f"{low}–{high - 1}" for low, high in itertools.pairwise(PEOPLE)
    ]
    photos: dict[str, list[tuple[int, int]]] = {}
    for (dataset, _), totals in sorted(found.people.items()):
        photos.setdefault(dataset, []).append(totals)
    by_dataset = {}
    for dataset, totals in photos.items():
        before, kept = zip(*totals, strict=True)
        by_dataset[dataset] = {"before": people_bins(before), "kept": people_bins(kept)}
    return {"labels": [*labels, f"{PEOPLE[-1]}+"], "datasets": by_dataset}


def _sheets(sheets: Sequence[Sheet], cards: Mapping[Pick, Any]) -> list[dict[str, Any]]:
    place = {pick: number for number, pick in enumerate(cards)}
    return [
        {
            **{name: value for name, value in vars(sheet).items() if name != "bounds"},
            "photos": [place[pick] for pick in sheet.photos],
            "compared": [place[pick] for pick in sheet.compared],
        }
        for sheet in sheets
    ]


def _settings(streams: Sequence[ManifestStream]) -> dict[str, Any]:
    """Returns recipe, stages and versions, as lists of names and values."""
    info = streams[0].head.info
    recipe = info.get("recipe", {})
    meanings = {name: entry.description or "" for name, entry in Recipe.model_fields.items()}
    ordered = [*(name for name in meanings if name in recipe), *sorted(set(recipe) - set(meanings))]
    specs, prints = info.get("stages", {}), info.get("fingerprints", {})
    known = [*_in_order(), *specs]  # a stage that this machine lacks comes last
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


def _in_order() -> list[str]:
    """Returns what may end a row: the stages, then the steps of `build.decide`.

    The stage `identity` ends no row; the check of its vectors does.
    """
    of_images = [name for name in stages() if name != "identity"]
    return ["scan", "decode", *of_images, "duplicates", "identity", "selection"]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
