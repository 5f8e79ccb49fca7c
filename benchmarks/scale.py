"""Time and memory of `build-manifest`, `status` and `report` against the number of rows.

    python -m benchmarks.scale --rows 10000 100000 1000000 [--manifest train.parquet]

The workspace is synthetic: its parts hold random scores, landmarks and embeddings in place of what the stages
would have written. Hashes are drawn so that they agree as often as those of the photos of ``--manifest``;
without it they are random, which makes the search for near duplicates look faster than it is. All photos of a
person share one landmark file and one mask, so folders are shorter than real ones. The commands run as real
processes. There are no photos, so the page of the report has no pictures. On a busy machine compare CPU time,
not wall-clock time.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache, partial
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa

from benchmarks.cost import Cost, measure
from benchmarks.face_hashes import Photos, alike, draw, short_hashes
from benchmarks.face_hashes import measure as measure_photos
from benchmarks.tables import markdown
from deca_data.stage import part_schema
from deca_data.stages import stage_class
from deca_data.stages.identity import EMBEDDING
from deca_data.stages.landmarks import POSE
from deca_data.stages.quality import LONG_HASHES, PICTURE_HASH
from manifests.files import write_atomic
from manifests.images.decode import MIN_SIDE
from manifests.schema import LENGTHS, SCHEMA
from pipelines.run.scanning import rows_table
from pipelines.run.stage_plan import fingerprints, with_defaults
from pipelines.workspace.parts import OUTCOME, write_part
from pipelines.workspace.workspace import Dataset, Workspace

PER_PERSON = 360
"""Photos of a person; VGGFace2 has 362 on average."""

LIKE = 8
"""Hashes that differ in so many bits are counted as alike when real and drawn ones are compared."""

STAGES = ("detect", "landmarks", "consistency", "quality", "masks", "identity")


def make_workspace(path: Path, rows: int, shard: int, real: Photos | None) -> None:
    """Writes a workspace of ``rows`` rows in which all stages are done; ``real`` is what hashes are like."""
    workspace = Workspace.open(path)
    (path / "raw").mkdir(exist_ok=True)
    workspace.add_dataset(Dataset(name="vggface2", source="vggface2", root=path / "raw", shard_size=shard))
    specs = with_defaults({}, STAGES)
    for spec in specs:
        workspace.set_stage(spec)
    prints = fingerprints(specs)
    workspace.set_fingerprints(prints)
    starts = range(0, rows, shard)
    shards = [[f"{number:020x}", min(shard, rows - start)] for number, start in enumerate(starts)]
    for person in range((rows - 1) // PER_PERSON + 1):
        for column, content in _sidecars().items():
            write_atomic(path / _file_of(column, f"n{person:06d}"), content, synced=False)
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        work = partial(_write_shard, path, prints, shard, real)
        list(pool.map(work, range(len(shards)), [count for _, count in shards], chunksize=8))
    write_atomic(workspace.shards_path("vggface2"), json.dumps(shards).encode())


def _sidecars() -> dict[str, bytes]:
    """A landmark file and a mask, by the column of their path."""
    landmarks = io.BytesIO()
    np.save(landmarks, np.zeros((68, 2), np.float32))
    mask = cv2.imencode(".png", np.zeros((MIN_SIDE, MIN_SIDE), np.uint8))[1].tobytes()
    return {"landmark_path": landmarks.getvalue(), "mask_path": mask}


def _write_shard(
    path: Path, prints: dict[str, str], shard: int, real: Photos | None, number: int, count: int
) -> None:
    rng = np.random.default_rng(number)
    workspace = Workspace(path)
    key = f"{number:020x}"
    rows = []
    for place in range(number * shard, number * shard + count):
        person, photo = divmod(place, PER_PERSON)
        image = f"train/n{person:06d}/{photo:04d}_01.jpg"
        row = {"sample_id": f"vggface2/{image}", "dataset": "vggface2", "identity": f"n{person:06d}"}
        rows.append({**row, "image": image, "status": "ok", "bytes": 9000, "mtime_ns": place})
    write_part(workspace.scan_path("vggface2", key), rows_table(rows), {"fingerprint": key})
    for stage, fingerprint in prints.items():
        fields = [*part_schema(stage_class(stage)), *(SCHEMA.field(name) for name in OUTCOME)]
        columns = {field.name: _random(field, rows, rng) for field in fields}
        if stage == "quality" and real is not None:
            columns |= _hashes(real, count, rng)
        part = workspace.part_path("vggface2", stage, fingerprint, key)
        write_part(part, pa.table(columns), {"fingerprint": fingerprint, "failed": 0})


def _random(field: pa.Field, rows: list[dict], rng: np.random.Generator) -> pa.Array:
    """A column of random values of the right type."""
    count = len(rows)
    if field.name == "status":
        return pa.array(["ok"] * count)
    if field.name in OUTCOME or field.name == "dense_path":
        return pa.nulls(count, field.type)
    if field.name == EMBEDDING:
        return _lists(_embeddings(rows, rng))
    if field.name == POSE:
        return _lists(rng.normal(0, 30, (count, 3)))
    if field.name in LENGTHS:
        return _lists(rng.uniform(0, 400, (count, LENGTHS[field.name])))
    if pa.types.is_fixed_size_binary(field.type):
        return pa.array(_bytes(rng, count, field.type.byte_width), field.type)
    if field.type == pa.string():
        width = {"content_hash": 16, "phash": 8}.get(field.name)
        if width:
            return pa.array([each.hex() for each in _bytes(rng, count, width)])
        return pa.array([_file_of(field.name, row["identity"]) for row in rows])
    errors = rng.gamma(2.0, 0.012, count)
    moves = ("landmark_shift_error", "landmark_shift_back", "landmark_spread")
    scores = {"yaw": rng.normal(0, 30, count), **dict.fromkeys(moves, errors)}
    if field.type == pa.int32():
        return pa.array(rng.integers(1, 3, count), field.type)
    return pa.array(scores.get(field.name, rng.uniform(20, 200, count)), field.type)


def _file_of(column: str, person: str) -> str:
    return f"{column.removesuffix('_path')}s/vggface2/{person}/of-all-photos"


def _hashes(real: Photos, count: int, rng: np.random.Generator) -> dict[str, pa.Array]:
    face, picture, long = draw(real, count, rng)
    return {
        "phash": pa.array([each.tobytes().hex() for each in face]),
        PICTURE_HASH: pa.array([each.tobytes() for each in picture], pa.binary(8)),
        LONG_HASHES: pa.array([each.tobytes() for each in long], pa.binary(64)),
    }


def _bytes(rng: np.random.Generator, count: int, width: int) -> list[bytes]:
    data = rng.bytes(count * width)
    return [data[start : start + width] for start in range(0, len(data), width)]


def _lists(values: np.ndarray) -> pa.Array:
    count, width = values.shape
    return pa.ListArray.from_arrays(
        np.arange(count + 1) * width, pa.array(values.astype(np.float32).reshape(-1))
    )


def _embeddings(rows: list[dict], rng: np.random.Generator) -> np.ndarray:
    vectors = rng.normal(size=(len(rows), 128)) + 8 * np.array([_person(row["identity"]) for row in rows])
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@lru_cache(maxsize=8)
def _person(identity: str) -> np.ndarray:
    """(128,) a direction for each person."""
    return np.random.default_rng(int(identity[1:])).normal(size=128)


def main() -> None:
    """Prints a Markdown table with a row for each number of rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000, 3_300_000])
    parser.add_argument(
        "--folder", type=Path, help="where to make the workspaces (default: the folder for temporary files)"
    )
    parser.add_argument("--manifest", type=Path, help="photos whose hashes are the example")
    options = parser.parse_args()
    real = measure_photos(options.manifest) if options.manifest else None
    lines = []
    for rows in options.rows:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            path = Path(folder)
            make_workspace(path / "deca-workspace", rows, 64 if rows < 20_000 else 1024, real)
            lines.append(_row(rows, path))
            print(", ".join(lines[-1]), file=sys.stderr, flush=True)
    print(markdown(HEADER, lines))
    if real is not None:
        print(f"\n{_likeness(real)}")


def _likeness(real: Photos) -> str:
    """How often the real and the drawn hashes agree."""
    drawn, _, _ = draw(real, 10_000, np.random.default_rng(0))
    shares = [alike(each, LIKE) * 1e6 for each in (short_hashes(real), drawn)]
    return (
        f"Of a million pairs of faces, {shares[0]:.0f} real and {shares[1]:.0f} drawn ones have hashes that "
        f"differ in at most {LIKE} of 64 bits."
    )


HEADER = [
    *("rows", "build-manifest, s", "CPU s", "peak GiB", "status, s", "CPU s", "peak GiB", "manifest, MiB"),
    *("report, s", "CPU s", "peak GiB", "page, MiB"),
]


def _row(rows: int, path: Path) -> list[str]:
    """The three commands on the workspace in ``path``."""
    tool = str(Path(sys.executable).parent / "deca-data")
    build = measure([tool, "build-manifest", "--quiet"], path)
    status = measure([tool, "status"], path)
    size = sum(each.stat().st_size for each in path.glob("*.parquet")) / 1024**2
    report = measure([tool, "report", "--quiet"], path)
    page = (path / "report.html").stat().st_size / 1024**2
    figures = [text for each in (build, status) for text in _texts(each)]
    return [f"{rows:,}", *figures, f"{size:.0f}", *_texts(report), f"{page:.2f}"]


def _texts(cost: Cost) -> list[str]:
    return [f"{cost.clock:.1f}", f"{cost.cpu:.1f}", f"{cost.peak:.2f}"]


if __name__ == "__main__":
    main()
