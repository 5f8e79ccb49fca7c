"""Whether the memory of the workers grows with the number of photos.

    python -m benchmarks.memory --photos FOLDER [--counts N ...]

`deca-data quality` (detection, landmarks, quality) runs on ever more photos; where FOLDER has too few, they
are copied again under other names. Memory is resident memory: a page that processes share counts in each.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from itertools import cycle, islice
from pathlib import Path

from benchmarks.cost import measure
from benchmarks.tables import markdown
from manifests.cores import cpu_count

HEADER = ["photos", "clock, s", "largest worker, MiB", "all processes, MiB"]


def main() -> None:
    """Prints a Markdown table with a row for each number of photos."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True, help="a folder of photos")
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 400, 1400, 5600], metavar="N")
    parser.add_argument("--workers", type=int, default=max(2, cpu_count()), help="processes, at least 2")
    options = parser.parse_args()
    rows = []
    for count in options.counts:
        with tempfile.TemporaryDirectory() as folder:
            make_tree(options.photos, Path(folder) / "raw", count)
            rows.append(_row(count, Path(folder), options.workers))
            print(", ".join(rows[-1]), file=sys.stderr, flush=True)
    print(markdown(HEADER, rows))
    print(f"\n{options.workers} workers.")


def make_tree(photos: Path, raw: Path, count: int) -> None:
    """Copies ``count`` files to ``raw``; each further copy of the same files is in another folder."""
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
