"""The networks of the stages on a GPU: photos a second, and what decoding and writing in threads bring.

    python -m benchmarks.gpu_stages [--photos 512] [--batches 8 32 64]
    python -m benchmarks.gpu_stages --device cpu --photos 8 --batches 2     # a trial

The networks have random weights, in files that are made here; the photos are one portrait, turned, scaled and
tinted, with their boxes and landmarks. "network alone" is the backend on photos that are decoded, with its
crops and its way back into the photo, ``n`` photos in one call. "in turn" and "in threads" are a whole shard:
decoded, network, files written and synced; first one after the other, then with decoding and writing in
threads. "share" is the network's share of that time: what is missing to 100 % is spent waiting for photos and
files. On a busy machine it says more than the speeds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks.tables import markdown
from deca_data.sample import Sample
from manifests.errors import UsageError
from pipelines.run.overlap import THREADS
from pipelines.run.shard_task import ShardTask
from pipelines.run.stage_plan import make_stage
from pipelines.workspace.parts import write_part
from pipelines.workspace.workspace import Shard, StageSpec
from tests.deca_data.backends.network_files import NETWORKS, write_weights
from tests.deca_model.synthetic import make_manifest

HEADER = ["network", "n", "network alone", "in turn", "share", "in threads", "share"]


class Photos(NamedTuple):
    """The photos' folder, and their rows."""

    folder: Path
    rows: list[dict[str, Any]]


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--photos", type=int, default=512)
    parser.add_argument("--side", type=int, default=256, help="of the photos, in pixels")
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 32, 64])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    given = parser.parse_args()
    cv2.setNumThreads(1)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        photos = make_photos(Path(folder), given.photos, given.side)
        for name in given.networks:
            try:
                weights = write_weights(name, Path(folder))
                spec = StageSpec(
                    name=NETWORKS[name].stage, backend=name, device=given.device, weights=weights
                )
                make_stage(spec)
            except UsageError as error:
                print(error, file=sys.stderr)
                continue
            rows += [row(name, spec.model_copy(update={"batch": n}), photos) for n in given.batches]
    device = torch.cuda.get_device_name() if given.device.startswith("cuda") else "CPU"
    print(markdown(HEADER, rows))
    print(f"\nPhotos a second of one process, {given.photos} photos of {given.side} px, {device}.")


def make_photos(folder: Path, count: int, side: int) -> Photos:
    """Photos with boxes and landmarks."""
    table = pq.read_table(make_manifest(folder, [count], side=side))
    rows = table.select(["dataset", "image", "box", "landmarks"]).to_pylist()
    return Photos(folder / rows[0]["dataset"], rows)


def row(name: str, spec: StageSpec, photos: Photos) -> list[str]:
    """Measures one network with one batch size."""
    count = len(photos.rows)
    stage = make_stage(spec)
    with tempfile.TemporaryDirectory() as folder:
        decoded = [_sample(photos, each) for each in photos.rows]
        stage.run(decoded[: stage.batch], Path(folder))  # the first call does not count
        _forget(decoded)
        alone = seconds(lambda: _network(stage, decoded, Path(folder)), spec.device)
        cells = [f"{count / alone:.1f}"]
        for threads in (0, THREADS):
            shard = task(spec, photos, Path(folder, str(threads)), threads)
            whole, busy = _shard_seconds(stage, shard, spec.device)
            cells += [f"{count / whole:.1f}", f"{100 * busy / whole:.0f} %"]
    return [name, str(spec.batch), *cells]


def task(spec: StageSpec, photos: Photos, workspace: Path, threads: int) -> ShardTask:
    """A shard of all photos, on which only this stage is to run."""
    parts = {"scan": workspace / "scan.parquet", spec.name: workspace / spec.name / "x.parquet"}
    ended = {"status": "ok", "stage": None, "reason": None}
    scan = pa.Table.from_pylist([{**each, **ended} for each in photos.rows])
    write_part(parts["scan"], scan, {})
    shard = Shard("x", len(photos.rows))
    dataset = photos.rows[0]["dataset"]
    return ShardTask(workspace, dataset, photos.folder, shard, (spec,), parts, (spec.name,), threads=threads)


def seconds(work: Callable[[], object], device: str) -> float:
    """Seconds of a call."""
    start = time.perf_counter()
    work()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _shard_seconds(stage: Any, shard: ShardTask, device: str) -> tuple[float, float]:
    """Seconds of a shard, and those of its stage's calls."""
    work, busy = stage.run, []

    def timed(samples: Sequence[Sample], workspace: Path) -> None:
        busy.append(seconds(lambda: work(samples, workspace), device))

    stage.run = timed  # of this object, which the shard uses too
    try:
        return seconds(shard.run, device), sum(busy)
    finally:
        del stage.run


def _sample(photos: Photos, values: dict[str, Any]) -> Sample:
    image = cv2.cvtColor(cv2.imread(str(photos.folder / values["image"])), cv2.COLOR_BGR2RGB)
    return Sample(image, dict(values))


def _network(stage: Any, samples: list[Sample], workspace: Path) -> None:
    """The backend's calls alone: what a stage leaves to be written is not done."""
    for start in range(0, len(samples), stage.batch):
        stage.run(samples[start : start + stage.batch], workspace)
    _forget(samples)


def _forget(samples: list[Sample]) -> None:
    for sample in samples:
        sample.writes.clear()


if __name__ == "__main__":
    main()
