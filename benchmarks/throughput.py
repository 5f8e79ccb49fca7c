"""The speed of the whole pipeline against that of its models alone.

    python -m benchmarks.throughput --photos FOLDER [--rounds N] [--workers N]

Three ways over the same photos, one after the other, in several rounds:

- bare: the detect and landmarks backends in this process, on photos that are already decoded, one at a time;
  nothing is written. Its rate times the number of workers is the best possible rate.
- plain: MediaPipe's face mesh in this process, made again for every photo, as in a short script; only for
  every ``--plain-every``-th photo.
- pipeline: `deca-data quality FOLDER`, as a user calls it: reading, decoding, detection, landmarks, quality,
  writing, and the start and end of all processes.

The share of the best rate by the clock is the rate of the pipeline over that best rate; on a busy machine it
says little. The share in CPU time is the CPU time of the bare way over that of all processes of the pipeline:
it says what the pipeline adds. The share without the start leaves out the start of the command and the scan.
The start of the workers does not take longer for more photos: `--times 4` shows how its share falls.

"Times as fast as plain" is the rate of the pipeline over the rate of the plain way in one process; in CPU
time it is what that would be if each worker had a core of its own.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import cv2
import numpy as np

from benchmarks.cost import measure
from benchmarks.landmarks import Finder, load, ours, plain
from benchmarks.tables import markdown
from manifests.cores import cpu_count


class Spent(NamedTuple):
    """Milliseconds a photo: wall-clock time, CPU time, and wall-clock time of the workers alone."""

    clock: float
    cpu: float
    busy: float


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True, help="a folder of photos")
    parser.add_argument("--times", type=int, default=1, help="copies of every photo that the pipeline gets")
    parser.add_argument("--rounds", type=int, default=3, help="how often each way is measured")
    parser.add_argument("--workers", type=int, default=cpu_count(), help="processes of the pipeline")
    parser.add_argument(
        "--plain-every", type=int, default=10, help="the plain way gets every N-th photo", metavar="N"
    )
    options = parser.parse_args()
    cv2.setNumThreads(1)
    images = list(load(options.photos, 1).values())
    find = ours()
    find(images[0])  # so that what is made at the first use does not count
    rounds = []
    for number in range(options.rounds):
        model = over(find, images)
        slow = over(plain, images[:: options.plain_every])
        with tempfile.TemporaryDirectory() as folder:
            whole = pipeline(options.photos, Path(folder), options.times, options.workers)
        rounds.append(figures(model, slow, whole, options.workers))
        print(
            number + 1, {name: text(each) for name, each in rounds[-1].items()}, file=sys.stderr, flush=True
        )
    rows = []
    for name in rounds[0]:
        values = [each[name] for each in rounds]
        rows.append([name, *(text(each) for each in (median(values), min(values), max(values)))])
    print(markdown(["", "median", "lowest", "highest"], rows))
    print(f"\n{len(images)} photos, rounds: {options.rounds}, workers: {options.workers}.")


def over(find: Finder, images: Sequence[np.ndarray]) -> Spent:
    """One of the ways in this process."""
    clock, cpu = time.perf_counter(), time.process_time()
    for image in images:
        find(image)
    milliseconds = 1000 * (time.perf_counter() - clock) / len(images)
    return Spent(milliseconds, 1000 * (time.process_time() - cpu) / len(images), milliseconds)


def pipeline(photos: Path, folder: Path, times: int, workers: int) -> Spent:
    """The command, over ``times`` copies of the photos in ``folder``."""
    raw = folder / "raw"
    for turn in range(times):
        for file in sorted(photos.rglob("*")):
            target = raw / str(turn) / file.relative_to(photos)
            if file.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(file.read_bytes())
    tool = str(Path(sys.executable).parent / "deca-data")
    line = [tool, "quality", str(raw), "--name", "raw", "--workers", str(workers), "--quiet"]
    cost = measure(line, folder)
    run = json.loads((folder / "deca-workspace/runs.jsonl").read_text().splitlines()[-1])
    seconds = Spent(cost.clock, cost.cpu, run["seconds"])
    return Spent(*(1000 * each / run["rows"] for each in seconds))


def figures(model: Spent, slow: Spent, whole: Spent, workers: int) -> dict[str, float]:
    """The figures of one round by name."""
    best = model.clock / workers
    return {
        "bare, one process: photos/s": 1000 / model.clock,
        "bare: CPU ms a photo": model.cpu,
        "plain, one process: photos/s": 1000 / slow.clock,
        "plain: CPU ms a photo": slow.cpu,
        "pipeline: photos/s": 1000 / whole.clock,
        "pipeline: CPU ms a photo": whole.cpu,
        "share of the best rate, by the clock": best / whole.clock,
        "the same, without the start": best / whole.busy,
        "the same, in CPU time": model.cpu / whole.cpu,
        "times as fast as plain, by the clock": slow.clock / whole.clock,
        "the same, in CPU time and with a core for each worker": workers * slow.cpu / whole.cpu,
    }


def text(value: float) -> str:
    """A figure with about three digits."""
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


if __name__ == "__main__":
    main()
