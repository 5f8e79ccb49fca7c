"""Speed of training steps, and the share of each part, on the GPU if there is one, else on the CPU.

    python -m benchmarks.training --manifest train.parquet [--preset paper] [--steps 20] [--set NAME=VALUE]

For each stage: images per second of whole steps on one batch that is already loaded, so without the loader;
images per second of the loader alone, with the workers of the preset; and the share of a step that each part
takes when it runs alone: the encoder forward and backward, head and camera, and the rest (renderer and
losses). The losses that need weight files are switched off. Nothing is written.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.tables import markdown
from deca_model.data.faces import Faces, open_table
from deca_model.data.loading import FaceBatch, FaceDataset, training_batches
from deca_model.data.sampler import SubjectSampler
from deca_model.networks.model import Deca, resized, resolve_device
from deca_model.settings.groups import TrainingConfig
from deca_model.settings.reading import load_config
from deca_model.training.processes import Processes
from deca_model.training.stages.registry import STAGES, make_stage
from deca_model.training.state import State, prepare
from deca_model.training.step import train_step

HEADER = ["stage", "batch", "images/s", "ms a step", "encoder", "head", "rest", "loader images/s"]


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--set", dest="settings", action="append", default=[])
    arguments = parser.parse_args()
    off = ["loss.identity=0", "loss.id_mrf=0"]
    config = load_config(arguments.preset, [*off, *arguments.settings])
    device = resolve_device(config.run.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    table = open_table([arguments.manifest])
    stages = ("pretrain", "coarse", "detail")
    print(markdown(HEADER, [row(stage, config, table, device, arguments.steps) for stage in stages]))
    print(f"\n{name}, preset {arguments.preset}, {config.run.precision}.")


def row(stage: str, config: TrainingConfig, table: Faces, device: torch.device, steps: int) -> list[str]:
    """Measures one stage and returns its row."""
    settings = config.stage_settings(stage)
    sampler = example_sampler(stage, config, table)
    dataset = FaceDataset(table, config.data.size)
    state, batch = example_state(stage, config, table, device)
    count, model, module = len(batch.images), state.stage.model, state.stage
    group = Processes(0, 1, device)
    with tempfile.TemporaryDirectory() as folder:
        whole = seconds(lambda: step(state, batch, config, group, Path(folder)), device, steps)
    encoder = seconds(lambda: encode(module, model, batch, stage), device, steps)
    with torch.no_grad():
        codes = model.encode(batch.faces())
        head = seconds(lambda: model.pose(codes), device, steps)
    rest = max(0.0, whole - encoder - head)
    shares = [f"{100 * part / whole:.0f} %" for part in (encoder, head, rest)]
    size = f"{settings.subjects} x {settings.images}"
    loader = loading(dataset, sampler, config.data.workers, steps)
    return [stage, size, f"{count / whole:.0f}", f"{1000 * whole:.1f}", *shares, f"{loader:.0f}"]


def example_sampler(stage: str, config: TrainingConfig, table: Faces) -> SubjectSampler:
    """A sampler of the stage's batch size."""
    settings = config.stage_settings(stage)
    return SubjectSampler(
        table.subjects, table.datasets, subjects=settings.subjects, images=settings.images, seed=0
    )


def example_state(
    stage: str, config: TrainingConfig, table: Faces, device: torch.device
) -> tuple[State, FaceBatch]:
    """A stage of random weights, ready to be trained, and its first batch, both on the device."""
    batch = FaceDataset(table, config.data.size).load(example_sampler(stage, config, table).batch(0, 0))
    model = Deca(config.model, config.run, STAGES[stage].parts)
    module = make_stage(stage, model, config)
    trained = prepare(module, config, device)
    optimizer = torch.optim.Adam(trained.parameters(), lr=1e-6, fused=device.type == "cuda" or None)
    module.train()
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
    return State(module, module, optimizer, schedule), batch.to(device)


def step(state: State, batch: FaceBatch, config: TrainingConfig, group: Processes, folder: Path) -> None:
    """A training step whose figures are not read."""
    train_step(state, batch, config, group, folder)
    state.unread.clear()


def encode(module, model: Deca, batch: FaceBatch, stage: str) -> None:
    """The forward and backward pass of the encoder alone."""
    photos = batch.faces()
    if stage == "detail":
        found = model.encode_detail(photos)
    else:
        found = module.trainable()(resized(photos, model.settings.input_size or photos.shape[-1]))
    found.float().square().mean().backward()


def loading(dataset: FaceDataset, sampler: SubjectSampler, workers: int, steps: int) -> float:
    """Images per second of the loader, after the first batch."""
    stream = training_batches(dataset, sampler, workers=workers)
    next(stream)
    start = time.perf_counter()
    images = sum(len(batch.images) for batch in itertools.islice(stream, steps))
    return images / (time.perf_counter() - start)


def seconds(work: Callable[[], object], device: torch.device, steps: int) -> float:
    """Mean seconds of a call, after three calls that do not count."""
    for _ in range(3):
        work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    for _ in range(steps):
        work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - start) / steps


if __name__ == "__main__":
    main()
