"""Lists the files of a raw folder and cuts the list into shards.

A shard ends where the hash of a path decides, not after a fixed count. So a new photo changes only its own
shard, and the results of all other shards stay valid.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from deca_data.sources import get_source, guess_source
from deca_data.sources.identities import AS_LAYOUT, OPTION, Identities, read_identities
from deca_data.sources.walk import IMAGE_ENDINGS, VIDEO_ENDINGS, OnSkip, walk
from manifests.errors import UsageError
from manifests.files import write_atomic
from manifests.schema import SCHEMA
from pipelines.run.tally import Tally
from pipelines.workspace.parts import is_whole, read_footer, write_part
from pipelines.workspace.workspace import Dataset, Shard, Workspace

SMALL_DATASET = 20_000
SMALL_SHARD, LARGE_SHARD, VIDEO_SHARD = 64, 1024, 8
"""Mean number of rows per shard. Small shards give the workers equal work on a small dataset; large shards
keep the number of files of a large dataset low."""

KEY_COLUMNS = ("image", "bytes", "mtime_ns", "given_box", "boxes_path")
"""What the results of the stages depend on. Identities and annotations do not count: another choice of
persons leaves all results valid."""

FILE_COLUMNS = {
    "bytes": pa.int64(),
    "mtime_ns": pa.int64(),
    "given_box": pa.list_(pa.float32()),
    "boxes_path": pa.string(),
}
"""Columns of the scan that the manifest does not have."""

ROW_COLUMNS = (
    *("sample_id", "dataset", "identity", "clip", "frame", "image"),
    *("valence", "arousal", "expression", "status", "stage", "reason"),
)


def resolve_dataset(
    root: Path, *, source: str | None, name: str | None, follow_links: bool = False
) -> tuple[Dataset, str]:
    """The dataset in the raw folder ``root``, and the reason for its layout.

    Args:
        root: a raw folder.
        source: the layout, if the user gives it (`--dataset`); None guesses it.
        name: the dataset's name in the manifest; None takes the layout's, or the folder's name for `folder`
            and `videos`.
        follow_links: whether links that lead out of ``root`` count.

    Raises:
        UsageError: ``root`` is missing, is a file or cannot be read, or the layout or the name is not valid.
    """
    if not root.exists():
        raise UsageError(f"{root}: there is no such folder.")
    if not root.is_dir():
        raise UsageError(f"{root}: this is a file; name the folder that holds the photos.")
    found, why = get_source(source) if source is not None else None, "as given with --dataset"
    if found is None:
        found, why = guess_source(root, follow_links=follow_links)
    default = root.resolve().name or "photos" if found.name in ("folder", "videos") else found.name
    return Dataset(name=_checked_name(name or default), source=found.name, root=root.resolve()), why


def scan(
    workspace: Workspace,
    dataset: Dataset,
    advance: Callable[[int], None],
    on_skip: OnSkip | None = None,
) -> Tally:
    """Lists the dataset's files into parts and records its shards.

    A video layout gives shards of videos; `frames.extract` makes rows from them. ``advance`` gets the number
    of files found since its last call; for ``on_skip`` see `Source.scan`. Returns what was found.

    Raises:
        UsageError: the folder holds no photo (or no video, if the layout has videos), or the option
            `identities` cannot be used.
    """
    source = get_source(dataset.source)
    identities = chosen_identities(dataset, workspace.datasets.get(dataset.name))
    found = Tally(identities.said, "videos" if source.video else "photos", source.annotated)
    rows = source.scan(dataset.root, on_skip, follow_links=_follows_links(workspace, dataset))
    entries = found.counted(_named(rows, identities))
    dataset, entries = _with_shard_size(workspace, dataset, entries)
    workspace.add_dataset(dataset)
    listed = workspace.shards_path(dataset.name)
    shards = []
    for rows in cut(entries, dataset.shard_size):
        for row in rows:
            row["dataset"], row["status"] = dataset.name, "ok"
            row["sample_id"] = f"{dataset.name}/{row['image']}"
        key = _digest({name: row.get(name) for name in KEY_COLUMNS} for row in rows)
        place = workspace.videos_path if source.video else workspace.scan_path
        _write_rows(place(dataset.name, key), rows, key, listed)
        shards.append(Shard(key, len(rows)))
        advance(len(rows))
    if not shards:
        kind = "video" if source.video else "photo"
        raise UsageError(f"{dataset.root}: no {kind} found in this folder (layout {dataset.source!r}).")
    write_atomic(listed.with_name("videos.json") if source.video else listed, json.dumps(shards).encode())
    return found


def chosen_identities(dataset: Dataset, before: Dataset | None) -> Identities:
    """The dataset's choice of `--identities`, else that of an earlier scan, else the layout's own.

    Raises:
        UsageError: it cannot be used.
    """
    options = {**(before.options if before else {}), **dataset.options}
    return read_identities(options.get("identities", AS_LAYOUT), dataset.root)


def check_identities(identities: Identities, dataset: Dataset) -> None:
    """Checks that a user's choice gives an identity to at least one file, before anything is changed.

    Raises:
        UsageError: it gives none.
    """
    endings = VIDEO_ENDINGS if get_source(dataset.source).video else IMAGE_ENDINGS
    example = None
    for file in walk(dataset.root, endings, follow_links=bool(dataset.options.get("follow_links"))):
        if identities.name(file.path, "layout") is not None:
            return
        example = example or file.path
    if example is not None:
        raise UsageError(
            f"{OPTION} {identities.text}: it gives no file of {dataset.root} an identity, such as {example}; "
            f"correct it, or say {OPTION} none."
        )


def cut(rows: Iterable[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    """Cuts rows into shards with a mean of about ``size`` rows; the paths decide where.

    Every shard but the last has at least a quarter of ``size``; none has more than twice ``size``.
    """
    shard: list[dict[str, Any]] = []
    for row in rows:
        shard.append(row)
        ends = int.from_bytes(hashlib.blake2b(row["image"].encode(), digest_size=8).digest(), "big")
        if len(shard) >= 2 * size or (len(shard) >= size // 4 and ends % size == 0):
            yield shard
            shard = []
    if shard:
        yield shard


def rows_table(rows: list[dict[str, Any]]) -> pa.Table:
    """Rows of a scan as a table."""
    fields = [SCHEMA.field(name) for name in ROW_COLUMNS]
    fields += [pa.field(name, kind) for name, kind in FILE_COLUMNS.items()]
    return pa.Table.from_pylist(rows, schema=pa.schema(fields))


def _follows_links(workspace: Workspace, dataset: Dataset) -> bool:
    """What the user says now, else what was said at an earlier scan."""
    old = workspace.datasets.get(dataset.name)
    return bool({**(old.options if old else {}), **dataset.options}.get("follow_links"))


def _with_shard_size(
    workspace: Workspace, dataset: Dataset, entries: Iterator[dict[str, Any]]
) -> tuple[Dataset, Iterator[dict[str, Any]]]:
    """Takes shard size and options from an earlier scan; a first scan chooses by the number of files."""
    old = workspace.datasets.get(dataset.name)
    if old is not None:
        options = {**old.options, **dataset.options}
        return dataset.model_copy(update={"shard_size": old.shard_size, "options": options}), entries
    if get_source(dataset.source).video:
        return dataset.model_copy(update={"shard_size": VIDEO_SHARD}), entries
    head = list(islice(entries, SMALL_DATASET))
    size = LARGE_SHARD if len(head) >= SMALL_DATASET else SMALL_SHARD
    return dataset.model_copy(update={"shard_size": size}), chain(head, entries)


def _named(rows: Iterable[dict[str, Any]], identities: Identities) -> Iterator[dict[str, Any]]:
    for row in rows:
        row["identity"] = identities.name(row["image"], row["identity"])
        yield row


def _write_rows(path: Path, rows: list[dict[str, Any]], key: str, listed: Path) -> None:
    """Writes a part unless it holds the same rows.

    Before a part gets other identities, the list ``listed`` is removed: if the scan is stopped halfway, the
    dataset counts as not scanned, and is not a mixture.
    """
    content = _digest(rows)
    there = is_whole(path)
    if there and read_footer(path).get("rows") == content:
        return
    if there:
        listed.unlink(missing_ok=True)
    write_part(path, rows_table(rows), {"fingerprint": key, "rows": content})


def _digest(rows: Iterable[dict[str, Any]]) -> str:
    digest = hashlib.blake2b(digest_size=10)
    for row in rows:
        digest.update(json.dumps(row, sort_keys=True).encode())
    return digest.hexdigest()


def _checked_name(name: str) -> str:
    wrong = not name or name in {"..", "workspace"} or name.startswith(".") or not name.isprintable()
    if wrong or "/" in name or "\\" in name:
        raise UsageError(f"--name {name!r}: a dataset's name is one plain folder name (not 'workspace').")
    return name
