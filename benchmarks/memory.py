"""Whether a worker's memory grows with the dataset: `python -m benchmarks.memory --photos FOLDER`.

`deca-data quality` (detection, landmarks, quality) runs on trees of ever more photos; where there are too
few, the same ones come again under other names. Memory is what is resident, shared pages counted in full.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from itertools import cycle, islice
from pathlib import Path

from benchmarks.cost import measure
from commands.printing import print_table
from pipelines.run.cluster import cpu_count

HEADER = ["photos", "clock, s", "largest worker, MiB", "all processes, MiB"]


def main() -> None:
    """Prints one line per number of photos."""
    parser = argparse.ArgumentParser(description="memory of the workers against the number of photos")
    parser.add_argument("--photos", type=Path, required=True, help="a folder of photos")
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 400, 1400, 5600])
    parser.add_argument("--workers", type=int, default=max(2, cpu_count()), help="processes, at least 2")
    options = parser.parse_args()
    table = []
    for count in options.counts:
        with tempfile.TemporaryDirectory() as folder:
            make_tree(options.photos, Path(folder) / "raw", count)
            table.append(_row(count, Path(folder), options.workers))
            print(", ".join(table[-1]), flush=True)
    print_table(HEADER, table)


def make_tree(photos: Path, raw: Path, count: int) -> None:
    """Copies ``count`` photos to ``raw``, the same ones again in another folder where they do not suffice."""
    files = sorted(each for each in photos.rglob("*") if each.is_file())
    for number, file in enumerate(islice(cycle(files), count)):
        target = raw / str(number // len(files)) / file.relative_to(photos)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())


def _row(count: int, folder: Path, workers: int) -> list[str]:
    tool = str(Path(sys.executable).parent / "deca-data")
    line = [tool, "quality", str(folder / "raw"), "--name", "raw", "--workers", str(workers), "--quiet"]
    cost = measure(line, folder)
    return [f"{count:,}", f"{cost.clock:.0f}", f"{cost.child * 1024:.0f}", f"{cost.peak * 1024:.0f}"]


if __name__ == "__main__":
    main()
