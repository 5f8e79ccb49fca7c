"""The report as one file: counts and pictures as JSON, with the page's own style and scripts.

Nothing from a dataset is ever read as HTML or script: it is in a JSON block in which "<" is escaped, the
scripts put it into the page as text, and the page's policy allows only the script with the given hash, and no
file but pictures of this machine: nothing is ever asked of a network.
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
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from manifests.files import write_atomic
from manifests.landmarks import LINES
from manifests.reading import WORKSPACE
from manifests.streaming import ManifestStream, open_streams
from pipelines.share.report.cards import SIDE, make_cards
from pipelines.share.report.charts import PEOPLE, POSE, people_bins
from pipelines.share.report.comparison import SURE, compared_faces
from pipelines.share.report.counts import Counts, Survey, count, survey
from pipelines.share.report.listing import Listing, Wanted, list_rows
from pipelines.share.report.pictures import remove_older, write_pictures
from pipelines.share.report.rules import call_of, page_rules, turned_head
from pipelines.share.report.sampling import Pick, Sheet, choose
from pipelines.share.report.settings import settings_tables, stages_in_order
from pipelines.terminal.progress_bar import progress

SCRIPTS = (
    *("state.js", "draw.js", "rows.js", "flow.js", "rules.js", "scores.js", "marks.js", "photos.js"),
    *("compare.js", "browse.js", "main.js"),
)

STYLES = ("style.css", "photos.css")

LISTED = 100_000
"""Maximum number of photos that the page lists one by one (about): the page grows by 170 bytes for each."""


@dataclass(frozen=True)
class Written:
    """The result: the page, its size in bytes, rows by status, unreadable photos, and listed rows."""

    path: Path
    bytes: int
    statuses: dict[str, int]
    unreadable: int
    listed: int


def write_report(
    manifests: Sequence[Path],
    out: Path,
    roots: Mapping[str, Path] | None = None,
    *,
    photos: int = 8,
    listed: int = LISTED,
    all_photos: bool = False,
    seed: int = 0,
    quiet: bool = False,
) -> Written:
    """Reads the manifests and writes the page ``out``.

    Args:
        manifests: Parquet files of `build-manifest`.
        out: the page.
        roots: folders that moved, by name.
        photos: number of photos on each side of a sheet; with 0 the page shows and names no photo.
        listed: maximum number of photos that can be paged through (about); of more, a part is drawn evenly.
        all_photos: whether a folder beside the page gets a small picture of each listed photo.
        seed: draws which photos are shown.
        quiet: whether to show no progress.

    Raises:
        UsageError: a manifest is missing or is none.
        OSError: the page cannot be written.
    """
    streams = open_streams(manifests, roots)
    parts = _read(streams, photos, listed, seed, quiet)
    folder, missing = None, 0
    if all_photos and photos:
        with progress("pictures", len(parts.listing.ids), "photos", quiet=quiet) as shown:
            datasets = [group.dataset for group in parts.found.groups]
            folder, missing = write_pictures(streams, parts.listing, datasets, out, shown)
    page = _assemble({**_data(streams, parts), "folder": folder}).encode()
    write_atomic(out, page)
    if folder is not None:
        remove_older(out, folder)
    statuses: Counter[str] = Counter()
    for group, rows in parts.found.groups.items():
        statuses[group.status] += rows
    cards = parts.cards.values()
    missing += sum(card["note"] is not None and card.get("status") == "ok" for card in cards)
    return Written(out, len(page), statuses, missing, len(parts.listing.ids))


@dataclass(frozen=True)
class _Parts:
    """What the page is made from; ``best`` has the places of each person's faces."""

    found: Survey
    counts: Counts
    sheets: list[Sheet]
    cards: dict[Pick, dict[str, Any]]
    listing: Listing
    best: dict[int, list[int]]


def _read(streams: list[ManifestStream], photos: int, listed: int, seed: int, quiet: bool) -> _Parts:
    rows = sum(stream.rows for stream in streams)
    listing, best, sheets, compared = Listing(rows), {}, [], []
    with progress("report", rows, "photos", quiet=quiet, passes=5 if photos else 2) as shown:
        found = survey(streams, shown)
        counts = count(streams, found, shown)
        if photos:
            pairs = _alike(streams)
            sheets = choose(streams, found, photos, seed, shown)
            picks = frozenset(pick for sheet in sheets for pick in (*sheet.photos, *sheet.compared))
            alike = frozenset(name for pair in pairs[:SURE] for name in pair[:2])
            listing = list_rows(streams, found, Wanted(picks, alike), listed, seed, shown)
            compared, best = compared_faces(listing, found, pairs)
        cards = make_cards(streams, sheets, compared, list(found.scores))
    return _Parts(found, counts, sheets, cards, listing, best)


def _data(streams: list[ManifestStream], parts: _Parts) -> dict[str, Any]:
    found, listing = parts.found, parts.listing
    return {
        "manifests": [{"name": stream.head.path.name, "rows": stream.rows} for stream in streams],
        "groups": [[*group, rows] for group, rows in found.groups.items()],
        "stages": stages_in_order(),
        "people": _people(found),
        "sheets": _sheets(parts.sheets, parts.cards),
        "cards": _placed(parts.cards, listing),
        "side": SIDE,
        "chains": LINES,
        "settings": settings_tables(streams),
        "lookalikes": _alike(streams),
        "listing": listing.packed(parts.best),
        "roots": _folders(streams) if listing.ids else {},
        **_rules(streams, found, listing),
        **_charts(parts.counts, found),
    }


def _alike(streams: Sequence[ManifestStream]) -> list[Any]:
    """Returns the pairs of persons who look alike, and their cosine."""
    return streams[0].head.info.get("lookalikes", [])


def _placed(cards: Mapping[Pick, dict[str, Any]], listing: Listing) -> list[dict[str, Any]]:
    """Returns the cards, each with its place in the list."""
    places = {pick: place for place, pick in enumerate(listing.picks) if pick in cards}
    return [{**card, "row": places[pick]} for pick, card in cards.items()]


def _folders(streams: Sequence[ManifestStream]) -> dict[str, str]:
    """Returns the datasets' folders on this machine."""
    roots = {name: folder for stream in streams for name, folder in stream.head.roots.items()}
    return {name: str(folder.absolute()) for name, folder in roots.items() if name != WORKSPACE}


def _rules(streams: Sequence[ManifestStream], found: Survey, listing: Listing) -> dict[str, Any]:
    recipe = streams[0].head.info.get("recipe", {})
    by_bound = [number for number, group in enumerate(found.groups) if group[2:] in found.bounds]
    return {
        "rules": page_rules(recipe, listing.scores),
        "turned_head": turned_head(recipe),
        "by_bound": by_bound,
        "call": call_of(recipe),
    }


def _assemble(data: Mapping[str, Any]) -> str:
    """Puts style, scripts and data into the template."""
    style = "\n".join(map(_packaged, STYLES))
    # Pictures beside the page, or the photos' own files; nothing else is ever opened.
    source = "'self' file:" if data["folder"] else "file:"
    script = "\n".join(_packaged(name) for name in SCRIPTS)
    policy = (
        f"default-src 'none'; img-src data: {source}; style-src '{_hash(style)}'; "
        f"script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
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
