"""How much of the cores' power reaches the models: `python -m benchmarks.throughput --photos FOLDER`.

Three ways over the same photos, in turn, several times:

- bare: the detect and landmarks backends in this process, on photos that are decoded already, one photo at a
  time; nothing is written. Its rate times the cores is what could be had at best.
- plain: MediaPipe's own face mesh in this process, made anew for every photo, as in a short script; only for
  every ``--plain-every``-th photo.
- pipeline: `deca-data quality FOLDER`, the command as a user calls it, on all cores: reading, decoding,
  detection, landmarks, quality, files and parts, processes started and ended.

"Times plain" is the pipeline's rate over that of the plain way's one process, on the clock; in CPU time it is
what it would be if the workers had a core each to themselves.

The share on the clock is the pipeline's rate over cores times bare rate. On a machine with other work on it,
that share says little; the share of CPU time (the bare way's seconds over the seconds of all the pipeline's
processes) says what the pipeline adds. The share "busy" leaves out the command's own start and the scan. What
the start of the workers costs does not grow with the dataset: `--times 4` shows how it wears off.
"""

from __future__ import annotations

import argparse
import json
import os
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
from commands.printing import print_table
from pipelines.run.cluster import cpu_count


class Spent(NamedTuple):
    """Milliseconds a photo of one way: on the clock, of CPU, and from the workers' start to their end."""

    clock: float
    cpu: float
    busy: float


def main() -> None:
    """Reads the arguments, measures, prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True, help="a folder of photos")
    parser.add_argument("--times", type=int, default=1, help="the pipeline gets every photo so many times")
    parser.add_argument("--rounds", type=int, default=3, help="so often is each way measured")
    parser.add_argument("--workers", type=int, default=cpu_count(), help="processes of the pipeline")
    parser.add_argument(
        "--plain-every", type=int, default=10, help="the plain way gets every so many-th photo"
    )
    options = parser.parse_args()
    cv2.setNumThreads(1)
    images = load(options.photos, "", 1)
    find = ours()
    find(images[0])  # whatever is made at first use
    rows = []
    for number in range(options.rounds):
        model = over(find, images)
        slow = over(plain, images[:: options.plain_every])
        with tempfile.TemporaryDirectory() as folder:
            whole = pipeline(options.photos, Path(folder), options.times, options.workers)
        rows.append([*shares(model, whole, options.workers), *times_plain(slow, whole, options.workers)])
        rows[-1].append(os.getloadavg()[0])
        print_row(f"round {number + 1}", rows[-1])
    print_table(HEADER, [cells("median", [median(each) for each in zip(*rows, strict=True)])])


HEADER = (
    *("", "bare, photos/s", "bare, CPU ms", "pipeline, photos/s", "CPU ms"),
    *("share, clock", "share, CPU", "share, busy"),
    *("plain, CPU ms", "times plain, clock", "times plain, CPU", "load"),
)


def over(find: Finder, images: Sequence[np.ndarray]) -> Spent:
    """One way in this process."""
    clock, cpu = time.perf_counter(), time.process_time()
    for image in images:
        find(image)
    milliseconds = 1000 * (time.perf_counter() - clock) / len(images)
    return Spent(milliseconds, 1000 * (time.process_time() - cpu) / len(images), milliseconds)


def pipeline(photos: Path, folder: Path, times: int, workers: int) -> Spent:
    """The command, over the photos linked or copied into ``folder`` ``times`` times."""
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


def shares(model: Spent, whole: Spent, workers: int) -> list[float]:
    """Rates and shares."""
    best = model.clock / workers
    return [
        *(1000 / model.clock, model.cpu, 1000 / whole.clock, whole.cpu),
        *(best / whole.clock, model.cpu / whole.cpu, best / whole.busy),
    ]


def times_plain(slow: Spent, whole: Spent, workers: int) -> list[float]:
    """How many times as fast as the plain way."""
    return [slow.cpu, slow.clock / whole.clock, workers * slow.cpu / whole.cpu]


def print_row(name: str, row: Sequence[float]) -> None:
    """A line at once, as rounds take a while."""
    print(
        ", ".join(f"{head} {cell}" for head, cell in zip(HEADER, cells(name, row), strict=True)), flush=True
    )


def cells(name: str, row: Sequence[float]) -> list[str]:
    """The figures as text."""
    forms = (*("{:.1f}", "{:.2f}") * 2, *["{:.2f}"] * 3, "{:.1f}", "{:.2f}", "{:.2f}", "{:.1f}")
    return [name, *(form.format(each) for form, each in zip(forms, row, strict=True))]


if __name__ == "__main__":
    main()
