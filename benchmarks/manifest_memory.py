"""What it takes to open a manifest for training: time, and the memory of the process and of its workers.

    python -m benchmarks.manifest_memory [--rows N ...]

The manifest is made with random landmarks and has no images. Private memory is that which belongs to no
file; the faces are in a mapped file, which all processes share and the system can drop from memory. The
second opening finds that file. A worker is a forked process that reads names and landmarks of 10,000 faces.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.tables import markdown
from manifests.streaming import open_stream
from manifests.writing import ROW_GROUP, manifest_writer

HEADER = [
    "rows", "first opening, s", "peak, MiB", "second opening, s", "private, MiB", "private of a worker, MiB",
    "mapped file, MiB",
]  # fmt: skip
READ = 10_000


def main() -> None:
    """Prints a Markdown table with a row for each number of rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000], metavar="N")
    parser.add_argument("--open", type=Path, help=argparse.SUPPRESS)  # a manifest: the work of one process
    options = parser.parse_args()
    if options.open is not None:
        print(json.dumps(_open(options.open)))
        return
    rows = []
    for count in options.rows:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(_row(count, Path(folder)))
            print(", ".join(rows[-1]), file=sys.stderr, flush=True)
    print(markdown(HEADER, rows))


def make_manifest(path: Path, rows: int) -> None:
    """A manifest of random landmarks: 100 faces a person, every tenth without a mask."""
    for name in ("faces", "workspace"):
        (path.parent / name).mkdir()
    roots = {"faces": path.parent / "faces", "workspace": path.parent / "workspace"}
    random = np.random.default_rng(0)
    with manifest_writer(path, roots=roots, info={}) as writer:
        for start in range(0, rows, ROW_GROUP):
            numbers = range(start, min(start + ROW_GROUP, rows))
            images = [f"train/n{n // 100:07d}/{n % 100:04d}_01.jpg" for n in numbers]
            points = pa.array(random.uniform(0, 512, len(images) * 136).astype(np.float32))
            writer.write(
                pa.table(
                    {
                        "sample_id": [f"faces/{image}" for image in images],
                        "dataset": ["faces"] * len(images),
                        "identity": [image.split("/")[1] for image in images],
                        "image": images,
                        "width": pa.array([512] * len(images), pa.int32()),
                        "height": pa.array([512] * len(images), pa.int32()),
                        "landmarks": pa.FixedSizeListArray.from_arrays(points, 136),
                        "mask_path": [
                            f"masks/{image}.png" if n % 10 else None for n, image in enumerate(images)
                        ],
                        "content_hash": [f"{n:032x}" for n in numbers],
                        "phash": [f"{n:016x}" for n in numbers],
                        "status": ["ok"] * len(images),
                    }
                )
            )


def _row(count: int, folder: Path) -> list[str]:
    path = folder / "train.parquet"
    make_manifest(path, count)
    words = [sys.executable, "-m", "benchmarks.manifest_memory", "--open", str(path)]
    first, second = (
        json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout) for _ in range(2)
    )
    mapped = sum(file.stat().st_size for file in folder.glob(".train.parquet.faces-*")) / 1024**2
    return [
        f"{count:,}",
        f"{first['seconds']:.1f}",
        f"{first['peak']:.0f}",
        f"{second['seconds']:.1f}",
        f"{second['private']:.0f}",
        f"{second['worker']:.0f}",
        f"{mapped:.0f}",
    ]


class Watch(threading.Thread):
    """Looks at the private memory a hundred times a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak, self._done = 0.0, threading.Event()
        self.start()

    def run(self) -> None:
        """Until ``stop``."""
        while not self._done.wait(0.01):
            self.peak = max(self.peak, _private())

    def stop(self) -> float:
        """The largest value seen."""
        self._done.set()
        self.join()
        return self.peak


def _open(path: Path) -> dict[str, float]:
    """Opens the manifest and draws a batch; memory is what that adds, in MiB."""
    from deca_model.data.manifest_faces import open_faces
    from deca_model.data.sampler import SubjectSampler

    before, start, watch = _private(), time.perf_counter(), Watch()
    table = open_faces([open_stream(path)])
    sampler = SubjectSampler(table.subjects, table.datasets, subjects=8, images=4, seed=0)
    sampler.batch(0, 0)
    seconds = time.perf_counter() - start
    peak = watch.stop()
    found: multiprocessing.Queue = multiprocessing.Queue()

    def work() -> None:
        base = _private()
        for row in np.random.default_rng(0).integers(len(table), size=READ):
            table.image_path(int(row))
            table.landmarks[int(row)].sum()
        found.put(_private() - base)

    worker = multiprocessing.get_context("fork").Process(target=work)
    worker.start()
    used = found.get()
    worker.join()
    return {"seconds": seconds, "private": _private() - before, "peak": peak - before, "worker": used}


def _private() -> float:
    """Memory that belongs to no file."""
    return _status("RssAnon")


def _status(name: str) -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
