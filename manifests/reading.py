"""Opens a manifest: its rows, and the present folders of its images and sidecars."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from manifests.errors import UsageError
from manifests.files import inside, require_file
from manifests.schema import FORMAT

if TYPE_CHECKING:
    import pandas as pd

INFO_KEY = b"deca-manifest"
WORKSPACE = "workspace"
NEEDED = ("sample_id", "dataset", "identity", "image", "landmarks", "mask_path", "status")


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
        """Returns the file of a sidecar (`landmark_path`, `mask_path`); raises as `image_path`."""
        return self.image_path(WORKSPACE, relative)

    def to_pandas(self) -> pd.DataFrame:
        """Returns a pandas frame whose integer and string columns can hold nulls."""
        import pandas as pd

        kinds = {pa.int32(): pd.Int32Dtype(), pa.string(): pd.StringDtype()}
        return self.table.to_pandas(types_mapper=kinds.get)

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of the rows; it does not depend on the folders."""
        sink = pa.BufferOutputStream()
        table = self.table.combine_chunks().replace_schema_metadata(None)
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=65536)
        return hashlib.blake2b(sink.getvalue(), digest_size=16).hexdigest()


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
    missing = [name for name in needed if name not in table.column_names]
    if missing:
        what = f"columns {', '.join(missing)} are" if len(missing) > 1 else f"column {missing[0]} is"
        raise UsageError(f"{path}: the {what} missing; make the manifest with `deca-data build-manifest`.")
    found = placed_roots(path, info, roots or {})
    if check_roots:
        _check_roots(path, table, found)
    return Manifest(path, table, found, info)


@contextmanager
def open_parquet(path: Path) -> Iterator[pq.ParquetFile]:
    """Opens the file of a manifest.

    Raises:
        UsageError: there is no such file, or it cannot be read as Parquet, here or in the block.
    """
    if path.is_dir():
        raise UsageError(f"{path}: this is a folder; name the manifest file in it, such as train.parquet.")
    if not path.exists():
        raise UsageError(f"{path}: there is no such manifest; make one with `deca-data build-manifest`.")
    try:
        with pq.ParquetFile(require_file(path)) as file:
            yield file
    except (pa.ArrowInvalid, OSError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"{path}: this is not a readable Parquet file ({why}).") from error


def read_info(path: Path, schema: pa.Schema) -> dict[str, Any]:
    """Reads the footer of the manifest ``path`` from the file's ``schema``.

    Raises:
        UsageError: the file is no manifest, or has another format.
    """
    raw = (schema.metadata or {}).get(INFO_KEY)
    if raw is None:
        raise UsageError(
            f"{path}: this Parquet file was not written as a manifest; "
            "make one with `deca-data build-manifest`."
        )
    info = json.loads(raw)
    if info.get("format") != FORMAT:
        raise UsageError(
            f"{path}: its format is {info.get('format')}, this version reads {FORMAT}; "
            "build the manifest again."
        )
    return info


def placed_roots(path: Path, info: Mapping[str, Any], given: Mapping[str, str | Path]) -> dict[str, Path]:
    """Returns the folder of each root of a manifest: from ``given``, else from its footer.

    Raises:
        UsageError: ``given`` has a name that the manifest does not have.
    """
    stored = {name: Path(folder) for name, folder in info.get("roots", {}).items()}
    unknown = sorted(set(given) - set(stored))
    if unknown:
        raise UsageError(f"--root {unknown[0]}=...: {path} has only the roots {', '.join(sorted(stored))}.")
    roots = {**stored, **{name: Path(folder) for name, folder in given.items()}}
    # A relative root is taken from the manifest's own folder, so that both can move together.
    return {name: folder if folder.is_absolute() else path.parent / folder for name, folder in roots.items()}


def _check_roots(path: Path, table: pa.Table, roots: Mapping[str, Path]) -> None:
    used = set(table.column("dataset").unique().to_pylist()) | {WORKSPACE}
    for name in sorted(used):
        if name not in roots or not roots[name].is_dir():
            raise UsageError(
                f"{path}: the folder of {name!r} is gone ({roots.get(name, 'not recorded')}); "
                f"say where it is now with --root {name}=FOLDER."
            )
