"""Opens a manifest: its rows, and the present folders of its images and sidecars."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import pyarrow as pa
import pyarrow.parquet as pq

from manifests.conforming import conforming
from manifests.errors import UsageError
from manifests.files import inside, require_file
from manifests.schema import FORMAT, is_bound

if TYPE_CHECKING:
    import pandas as pd

BATCH = 65536
"""Number of rows that are read at a time."""
INFO_KEY = b"deca-manifest"
WORKSPACE = "workspace"
ADOPTED = "adopted"
"""The key of a footer that says that the file had none."""
NEEDED = ("sample_id", "dataset", "identity", "image", "landmarks", "mask_path", "status")
MARKS = ("sample_id", "dataset", "image", "landmarks", "status")
"""Columns by which a file without a footer is known."""


_PARTS = {
    **dict.fromkeys(("roots", "sources", "recipe", "stages", "fingerprints"), dict),
    **dict.fromkeys(("bounds", "lookalikes"), list),
}
"""Parts of a footer, and what each is."""


@dataclass(frozen=True)
class Manifest:
    """A manifest in memory.

    Attributes:
        path: the file.
        table: its rows; columns as in `manifests.schema`.
        roots: the folder of each dataset, and of the workspace, by name.
        info: the file's footer: format, roots, recipe, stages and their settings.
    """

    path: Path
    table: pa.Table
    roots: Mapping[str, Path]
    info: Mapping[str, Any]

    def image_path(self, dataset: str, image: str) -> Path:
        """Returns the file of ``image``, a path relative to the root of ``dataset``.

        Raises:
            UsageError: the dataset has no root, or the path leads out of it.
        """
        if dataset not in self.roots:
            raise UsageError(
                f"{self.path}: it names no folder for {dataset!r}; give it with --root {dataset}=FOLDER."
            )
        return inside(self.roots[dataset], image, self.path)

    def workspace_path(self, relative: str) -> Path:
        """Returns the file of a sidecar (such as `mask_path`); raises as `image_path`."""
        return self.image_path(WORKSPACE, relative)

    def to_pandas(self) -> pd.DataFrame:
        """Returns a pandas frame whose integer and string columns can hold nulls."""
        import pandas as pd

        kinds = {pa.int32(): pd.Int32Dtype(), pa.string(): pd.StringDtype()}
        return self.table.to_pandas(types_mapper=kinds.get)

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of the rows; it does not depend on the folders."""
        table = self.table.combine_chunks().replace_schema_metadata(None)
        digest = RowDigest(table.schema)
        for batch in table.to_batches(max_chunksize=BATCH):
            digest.add(batch)
        return digest.result()


class RowDigest:
    """The digest of rows that come in batches: ``BATCH`` rows each, except the last."""

    def __init__(self, schema: pa.Schema) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._writer = pa.ipc.new_stream(pa.PythonFile(self, "w"), schema.remove_metadata())
        self._last: pa.RecordBatch | None = None

    closed = False

    def add(self, batch: pa.RecordBatch) -> None:
        """Adds the next rows."""
        batch = batch.replace_schema_metadata(None)
        if self._last is not None:
            # A part of a table is written with the bytes behind it, up to a multiple of 64.
            both = pa.Table.from_batches([self._last, batch]).combine_chunks()
            self._writer.write_table(both.slice(0, len(self._last)), max_chunksize=BATCH)
        self._last = batch

    def result(self) -> str:
        """Returns the hex digest; no rows can be added any more."""
        if self._last is not None:
            self._writer.write_batch(self._last)
        self._writer.close()
        return self._hash.hexdigest()

    def write(self, data: bytes) -> None:
        """For the writer, as the file that it writes to."""
        self._hash.update(data)


def open_manifest(
    path: str | Path,
    roots: Mapping[str, str | Path] | None = None,
    *,
    needed: Iterable[str] = NEEDED,
    check_roots: bool = True,
) -> Manifest:
    """Reads a manifest and finds its folders.

    Args:
        path: a Parquet file written by `deca-data build-manifest`.
        roots: folders that moved, by dataset name (`workspace` for the sidecars).
        needed: columns that must exist.
        check_roots: whether each root must be an existing folder.

    Raises:
        UsageError: there is no such file, it is no manifest, or a column or a root is missing.
    """
    path = Path(path)
    with open_parquet(path) as file:
        table = file.read()
        info = read_info(path, table.schema)
    table = conforming(table, path)
    check_columns(path, table.schema, needed)
    found = placed_roots(path, info, roots or {})
    if check_roots:
        used = set(table.column("dataset").unique().to_pylist())
        masked = table.column("mask_path").null_count < table.num_rows if "mask_path" in needed else True
        check_folders(path, used, found, masked or not info.get(ADOPTED))
    return Manifest(path, table, found, info)


@contextmanager
def open_parquet(path: Path, mapped: bool = False) -> Iterator[pq.ParquetFile]:
    """Opens the file of a manifest; ``mapped`` keeps memory flat over row groups, which else stay in it.

    Raises:
        UsageError: there is no such file, or it cannot be read as Parquet, here or in the block.
    """
    if path.is_dir():
        raise UsageError(f"{path}: this is a folder; name the manifest file in it, such as train.parquet.")
    if not path.exists():
        raise UsageError(f"{path}: there is no such manifest; make one with `deca-data build-manifest`.")
    try:
        with pq.ParquetFile(require_file(path), memory_map=mapped) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        why = getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
        raise UsageError(f"{path}: this is not a readable Parquet file ({why}).") from error


def check_columns(path: Path, schema: pa.Schema, needed: Iterable[str]) -> None:
    """Checks that the file ``path`` of this ``schema`` has the columns ``needed``.

    Raises:
        UsageError: names those that are missing.
    """
    missing = [name for name in needed if name not in schema.names]
    if missing:
        what = f"columns {', '.join(missing)} are" if len(missing) > 1 else f"column {missing[0]} is"
        raise UsageError(f"{path}: the {what} missing; make the manifest with `deca-data build-manifest`.")


def read_info(path: Path, schema: pa.Schema) -> dict[str, Any]:
    """Reads the footer of the manifest ``path`` from the file's ``schema``.

    A file that has a manifest's columns but no footer was saved by another program: it gets the roots of the
    manifests in its folder, and ``ADOPTED``.

    Raises:
        UsageError: the file is no manifest, has a column twice or another format, or its footer is damaged.
    """
    twice = [name for name, count in Counter(schema.names).items() if count > 1]
    if twice:
        raise UsageError(f"{path}: it has the column {twice[0]} twice; save it again with one.")
    raw = (schema.metadata or {}).get(INFO_KEY)
    if raw is None:
        if not set(MARKS) <= set(schema.names):
            raise UsageError(
                f"{path}: this Parquet file was not written as a manifest; "
                "make one with `deca-data build-manifest`."
            )
        return {"format": FORMAT, "roots": _roots_beside(path), ADOPTED: True}
    try:
        info = json.loads(raw)
    except (ValueError, RecursionError):
        info = None
    if not _is_whole(info):
        raise UsageError(f"{path}: its metadata are damaged; build the manifest again.")
    if info.get("format") != FORMAT:
        raise UsageError(
            f"{path}: its format is {info.get('format')}, this version reads {FORMAT}; "
            "build the manifest again."
        )
    return info


def _is_whole(info: object) -> TypeGuard[dict[str, Any]]:
    """Returns whether the parts of a footer are of their kinds."""
    if not isinstance(info, dict):
        return False
    kinds = all(isinstance(info.get(name, kind()), kind) for name, kind in _PARTS.items())
    return kinds and all(is_bound(each) for each in info.get("bounds", []))


def placed_roots(path: Path, info: Mapping[str, Any], given: Mapping[str, str | Path]) -> dict[str, Path]:
    """Returns the folder of each root of a manifest: from ``given``, else from its footer.

    Raises:
        UsageError: ``given`` has a name that the manifest does not have.
    """
    stored = {name: Path(str(folder)) for name, folder in info.get("roots", {}).items()}
    unknown = sorted(set(given) - set(stored))
    if unknown and not info.get(ADOPTED):
        raise UsageError(f"--root {unknown[0]}=...: {path} has only the roots {', '.join(sorted(stored))}.")
    roots = {**stored, **{name: Path(folder) for name, folder in given.items()}}
    # A relative root is taken from the manifest's own folder, so that both can move together.
    return {name: folder if folder.is_absolute() else path.parent / folder for name, folder in roots.items()}


def check_folders(path: Path, datasets: Iterable[str], roots: Mapping[str, Path], sidecars: bool) -> None:
    """Checks that the folders exist that a manifest uses; ``sidecars``: also that of the workspace.

    Raises:
        UsageError: one is not known, or does not exist.
    """
    for name in sorted({str(each) for each in datasets} | ({WORKSPACE} if sidecars else set())):
        if name not in roots:
            raise UsageError(f"{path}: it names no folder for {name!r}; give it with --root {name}=FOLDER.")
        if not roots[name].is_dir():
            raise UsageError(
                f"{path}: the folder of {name!r} is gone ({roots[name]}); "
                f"say where it is now with --root {name}=FOLDER."
            )


def _roots_beside(path: Path) -> dict[str, str]:
    """Returns the roots that the manifests in the same folder give, without those that they disagree on."""
    found: dict[str, set[str]] = {}
    for file in sorted(path.parent.glob("*.parquet")):
        try:
            if file == path or not file.is_file():
                continue
            info = json.loads((pq.read_schema(file).metadata or {})[INFO_KEY])
            for name, folder in info["roots"].items():
                found.setdefault(name, set()).add(str(folder))
        except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # another kind of file
    return {name: folders.pop() for name, folders in found.items() if len(folders) == 1}
