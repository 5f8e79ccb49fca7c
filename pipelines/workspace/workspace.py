"""The workspace: the folder for all results of `deca-data`.

deca-workspace/
  built.json                           the manifests that were made last
  workspace.json                       datasets, and the last settings of each stage
  parts/<dataset>/shards.json          the shards of the last scan, in order
  parts/<dataset>/scan/<key>.parquet   the rows of one shard
  parts/<dataset>/<stage>/<fingerprint>/<key>.parquet   a stage's results for these rows
  landmarks/, masks/, frames/          sidecar files
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from manifests.errors import UsageError
from manifests.files import TEMPORARY, remove_left, writable_folder, write_atomic
from pipelines.workspace.locking import lock

MARKER, COUNTER = ".at-", ".done-"


class Dataset(BaseModel):
    """A raw folder that is part of the workspace."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    source: str
    root: Path
    shard_size: int = 64
    options: dict[str, Any] = Field(default_factory=dict)


class StageSpec(BaseModel):
    """A stage's backend and settings: everything that a worker needs to make the stage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    backend: str | None = None
    device: str = "cpu"
    weights: Path | None = None
    download: bool = False
    batch: int | None = None  # photos in one call of the model; None takes the stage's own number
    settings: dict[str, Any] = Field(default_factory=dict)


class Shard(NamedTuple):
    """Consecutive rows of the scan: their key (a hash of the rows) and their number."""

    key: str
    rows: int


class _State(BaseModel):
    model_config = ConfigDict(extra="forbid")

    datasets: dict[str, Dataset] = Field(default_factory=dict)
    stages: dict[str, StageSpec] = Field(default_factory=dict)
    fingerprints: dict[str, str] = Field(default_factory=dict)


class Workspace:
    """A workspace: its datasets, the settings of its stages, and the paths of its files."""

    def __init__(self, path: Path):
        self.path = path
        self._state = _read_state(path / "workspace.json")

    @classmethod
    def open(cls, path: Path, *, create: bool = True) -> Workspace:
        """Opens the workspace at ``path``; makes it if it is missing.

        Raises:
            UsageError: it is not a folder, cannot be written, or is missing and ``create`` is false.
        """
        if not path.exists() and not create:
            raise UsageError(
                f"--workspace {path}: there is no workspace yet; begin with `deca-data landmarks FOLDER`."
            )
        return cls(writable_folder(path, f"--workspace {path}").resolve())

    @property
    def datasets(self) -> dict[str, Dataset]:
        """The datasets by name."""
        return dict(sorted(self._state.datasets.items()))

    @property
    def stages(self) -> dict[str, StageSpec]:
        """The last settings of each stage."""
        return dict(self._state.stages)

    @property
    def fingerprints(self) -> dict[str, str]:
        """The fingerprint of each stage in its last run; no model must be loaded for it."""
        return dict(self._state.fingerprints)

    def set_fingerprints(self, found: dict[str, str]) -> None:
        """Stores the fingerprints of the stages that are about to run."""
        if {**self._state.fingerprints, **found} != self._state.fingerprints:
            self._state.fingerprints.update(found)
            self._save()

    def check_names(self, datasets: Iterable[Dataset]) -> None:
        """Checks that each name belongs to one folder, in the workspace and in ``datasets``.

        Raises:
            UsageError: another folder already has this name.
        """
        known = {name: dataset.root for name, dataset in self._state.datasets.items()}
        for dataset in datasets:
            root = known.get(dataset.name, dataset.root)
            known[dataset.name] = dataset.root
            if root != dataset.root and root.is_dir():
                raise UsageError(
                    f"{dataset.root}: the name {dataset.name!r} already belongs to the dataset at {root}; "
                    "give this folder in a separate call with another name: --name NAME."
                )

    def add_dataset(self, dataset: Dataset) -> None:
        """Adds or updates a dataset.

        Raises:
            UsageError: see `check_names`.
        """
        self.check_names([dataset])
        self._state.datasets[dataset.name] = dataset
        self._save()

    def set_stage(self, spec: StageSpec) -> None:
        """Stores the settings of a stage, so that later commands use the same settings."""
        self._state.stages[spec.name] = spec
        self._save()

    def shards(self, dataset: str) -> list[Shard] | None:
        """Returns the shards of the last scan; None before the first scan."""
        return _read_shards(self.shards_path(dataset))

    def videos(self, dataset: str) -> list[Shard]:
        """Returns the shards of videos of the last scan; empty for a dataset of photos."""
        return _read_shards(self.path / "parts" / dataset / "videos.json") or []

    def videos_path(self, dataset: str, key: str) -> Path:
        """Returns the part that lists the videos of one shard."""
        return self.path / "parts" / dataset / "videos" / f"{key}.parquet"

    def shards_path(self, dataset: str) -> Path:
        """Returns the file that lists the dataset's shards."""
        return self.path / "parts" / dataset / "shards.json"

    def scan_path(self, dataset: str, key: str) -> Path:
        """Returns the scan's part of one shard."""
        return Path(self.path, "parts", dataset, "scan", f"{key}.parquet")

    def part_path(self, dataset: str, stage: str, fingerprint: str, key: str) -> Path:
        """Returns the part of ``stage`` for one shard, with this fingerprint."""
        return Path(self.path, "parts", dataset, stage, fingerprint, f"{key}.parquet")

    def done(self, dataset: str, stage: str, fingerprint: str) -> set[str]:
        """Returns the keys of the shards whose part exists."""
        folder = self.part_path(dataset, stage, fingerprint, "x").parent
        if not folder.is_dir():
            return set()
        names = os.listdir(folder)
        return {name[: -len(".parquet")] for name in names if name.endswith(".parquet") and name[0] != "."}

    @contextmanager
    def locked(self, wait: float = 0.0) -> Iterator[None]:
        """Prevents a second command from writing to this workspace at the same time.

        With the lock, what the command before wrote is read again, and files that a killed one left are
        removed. ``wait`` is for how many seconds another command is waited for.

        Raises:
            UsageError: another command holds the lock.
        """
        with lock(self.path, wait) as killed:
            self._state = _read_state(self.path / "workspace.json")
            if killed:
                self.remove_left()
            yield

    def remove_left(self) -> None:
        """Removes temporary files and markers that killed processes left; only for the lock's holder."""
        for folder, _, names in os.walk(self.path):
            if any(name.startswith(TEMPORARY) for name in names):
                remove_left(Path(folder))
            if Path(folder).parent == self.path / "parts":
                for name in names:
                    if name.startswith((MARKER, COUNTER)):
                        Path(folder, name).unlink(missing_ok=True)
        spec = self._state.stages.get("landmarks")
        if spec is not None and spec.settings.get("beside_images"):
            for dataset in self._state.datasets.values():
                for folder, _, _ in os.walk(dataset.root):
                    remove_left(Path(folder), ".npy")

    def marker_path(self, dataset: str, key: str) -> Path:
        """Returns the file that names the row in progress of one shard."""
        return self.path / "parts" / dataset / f"{MARKER}{key}"

    def counter_path(self, dataset: str, key: str) -> Path:
        """Returns the file with the number of photos that are done of a shard in progress."""
        return self.path / "parts" / dataset / f"{COUNTER}{key}"

    def set_built(self, manifests: Iterable[Path]) -> None:
        """Remembers the manifests that were made last, which hold what was decided about each row."""
        text = json.dumps([str(path.resolve()) for path in manifests])
        write_atomic(self.path / "built.json", text.encode())

    def built(self) -> list[Path]:
        """Returns the manifests that were made last; empty before the first, or if the note is damaged."""
        try:
            return [Path(path) for path in json.loads((self.path / "built.json").read_bytes())]
        except (FileNotFoundError, ValueError, TypeError):
            return []

    def _save(self) -> None:
        write_atomic(self.path / "workspace.json", self._state.model_dump_json(indent=1).encode())


def _read_shards(path: Path) -> list[Shard] | None:
    """The shards that a file lists; None if it is missing or damaged: the dataset must be scanned."""
    try:
        return [Shard(str(key), int(rows)) for key, rows in json.loads(path.read_text())]
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _read_state(path: Path) -> _State:
    if not path.exists():
        return _State()
    try:
        return _State.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise UsageError(
            f"{path}: it is damaged or from another version ({error.errors()[0]['msg']}); "
            "name a new --workspace, or fix the file."
        ) from error
