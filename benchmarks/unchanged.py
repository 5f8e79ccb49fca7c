"""Whether the results of this code and of another commit are equal, bit for bit.

    python -m benchmarks.unchanged --against COMMIT [--photos FOLDER] [--count 200]

The same photos (the demo's, and some of FOLDER) go through `deca-data run`, `identities`, `build-manifest`
and the first steps of all training stages, with the code of COMMIT and with the code of this folder.
Compared are the columns that both manifests have, all landmark and mask files, and all losses. Columns that
only one of the manifests has, and all differences, are named on standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.tables import markdown
from pipelines.demo.portraits import make_photos

HERE = Path(__file__).resolve().parents[1]
SPEED = {"faces_per_step", "images_per_second", "waiting_share"}
SIDES = ("train.parquet", "val.parquet")
STEPS = 3


def main() -> int:
    """Prints a Markdown table; returns 1 if anything differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--against", required=True, help="a commit, such as HEAD~1")
    parser.add_argument("--photos", type=Path, help="a folder of face photos, such as CFP")
    parser.add_argument("--count", type=int, default=200, help="photos of that folder, evenly spread")
    given = parser.parse_args()
    commit = _git("rev-parse", "--short", given.against).decode().strip()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        make_photos(place / "demo")
        photos = [place / "demo" / "train"]  # it holds a folder per person
        if given.photos is not None:
            photos.append(place / "given")
            _copy_some(given.photos, photos[-1], given.count)
        _unpack(commit, place / "old-code")
        for side, code in (("old", place / "old-code"), ("new", HERE)):
            _make(code, place / side, photos)
        rows = [*_manifests(place), *_sidecars(place), *_losses(place)]
    print(markdown(["compared", "number", "different"], rows))
    print(f"\nThis code against commit {commit}.")
    return int(any(different for _, _, different in rows))


def _copy_some(source: Path, target: Path, count: int) -> None:
    files = sorted(path for path in source.rglob("*.jpg"))
    for number in np.unique(np.linspace(0, len(files) - 1, count).round().astype(int)):
        path = target / files[number].relative_to(source)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(files[number], path)


def _unpack(commit: str, target: Path) -> None:
    target.mkdir()
    subprocess.run(["tar", "-x"], cwd=target, input=_git("archive", commit), check=True)


def _git(*words: str) -> bytes:
    return subprocess.run(["git", *words], cwd=HERE, check=True, stdout=subprocess.PIPE).stdout


def _make(code: Path, place: Path, datasets: list[Path]) -> None:
    """Runs the commands of ``code`` in the folder ``place``."""
    place.mkdir()
    roots = [str(path) for path in datasets]
    steps = [f"{stage}.steps={STEPS}" for stage in ("pretrain", "coarse", "detail")]
    settings = [*steps, "log.every=1", "data.workers=0"]
    for name, *words in (
        ["deca_data", "run", *roots, "--dataset", "folder"],
        ["deca_data", "identities"],
        ["deca_data", "build-manifest", "--set", "val_fraction=0.3"],
        ["deca", "train", "--manifest", "train.parquet", "--preset", "cpu", "--stage", "all"]
        + [word for setting in settings for word in ("--set", setting)],
    ):
        start = f"import sys; sys.argv[0] = '{name}'; from cli import {name}_main; {name}_main()"
        environment = {**os.environ, "PYTHONPATH": str(code), "OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, "-c", start, *words, "--quiet"], cwd=place, check=True,
                       env=environment, stdout=subprocess.DEVNULL)  # fmt: skip


def _manifests(place: Path) -> list[tuple[str, int, int]]:
    rows = []
    for name in SIDES:
        old, new = (pq.read_table(place / side / name) for side in ("old", "new"))
        for side, table, other in (("old", old, new), ("new", new, old)):
            only = sorted(set(table.column_names) - set(other.column_names))
            if only:
                print(f"{name}: columns of the {side} side only: {', '.join(only)}", file=sys.stderr)
        shared = [column for column in old.column_names if column in new.column_names]
        differ = [column for column in shared if not _equal(old.column(column), new.column(column))]
        if differ:
            print(f"{name}: different columns: {', '.join(differ)}", file=sys.stderr)
        rows.append((f"columns of {name} ({old.num_rows} rows)", len(shared), len(differ)))
    return rows


def _equal(old: pa.ChunkedArray, new: pa.ChunkedArray) -> bool:
    """Whether all values are equal bit for bit; a NaN equals a NaN."""
    return repr(old.to_pylist()) == repr(new.to_pylist())


def _sidecars(place: Path) -> list[tuple[str, int, int]]:
    rows = []
    for kind in ("landmarks", "masks"):
        sides = [_files(place / side / "deca-workspace" / kind) for side in ("old", "new")]
        names = sorted({*sides[0], *sides[1]})
        differ = [name for name in names if sides[0].get(name) != sides[1].get(name)]
        rows.append((f"files of {kind}", len(names), len(differ)))
    return rows


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _losses(place: Path) -> list[tuple[str, int, int]]:
    rows = []
    for stage in ("pretrain", "coarse", "detail"):
        old, new = (
            _figures(place / side / "runs" / "001" / stage / "metrics.jsonl") for side in ("old", "new")
        )
        names = sorted({*old, *new})
        differ = [name for name in names if repr(old.get(name)) != repr(new.get(name))]
        if differ:
            print(f"{stage}: different: {', '.join(differ)}", file=sys.stderr)
        rows.append((f"losses and figures of {STEPS} steps, {stage}", len(names), len(differ)))
    return rows


def _figures(path: Path) -> dict[str, float]:
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return {
        f"{record['kind']} {record['step']} {name}": value
        for record in records
        for name, value in record.items()
        if name not in SPEED
    }


if __name__ == "__main__":
    sys.exit(main())
