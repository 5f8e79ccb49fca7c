"""Training on a GPU: images a second of each stage at growing batch sizes, and where the time goes.

    python -m benchmarks.gpu_training [--preset paper] [--steps 10] [--most 16]
    python -m benchmarks.gpu_training --device cpu --preset cpu --steps 1 --most 2     # a trial

The faces are one portrait, turned, scaled and tinted; all networks, also those of the losses, have random
weights: the work is that of real ones. The batch grows from the preset's twofold until twice as many images
bring less than 5 % more images a second, memory ends, or it is ``--most`` times the preset's. There is a row
for the preset's batch and one for the fastest. The parts are measured alone, forward and backward: the
encoder; head and camera; the renderer (in the detail stage normals, light and the photo in UV); the rest is
the losses with their networks and the optimiser. The last columns: images a second with the loader, and of
the loader alone.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.tables import markdown
from benchmarks.training import encode, example_sampler, example_state, loading, seconds, step
from deca_model.data.faces import Faces, open_table
from deca_model.data.loading import FaceBatch, FaceDataset, training_batches
from deca_model.networks.model import Deca, resized
from deca_model.settings.groups import TrainingConfig
from deca_model.settings.reading import load_config
from deca_model.training.processes import Processes
from deca_model.training.state import State
from tests.deca_model.synthetic import make_manifest
from tests.deca_model.training.network_files import write_network_files

STAGES = ("pretrain", "coarse", "detail")
WORTH = 1.05
HEADER = [
    *("stage", "batch", "images/s", "ms a step", "peak GB", "encoder", "head", "renderer", "losses"),
    *("with the loader", "loader alone"),
]


class Place(NamedTuple):
    """Where and how long is measured."""

    device: torch.device
    steps: int
    most: int
    folder: Path


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--most", type=int, default=16, help="largest batch, times the preset's")
    parser.add_argument("--set", dest="settings", action="append", default=[])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Place(torch.device(given.device), given.steps, given.most, Path(folder))
        files = write_network_files(place.folder)
        networks = ["loss.identity=0.2", "loss.id_mrf=3.6", *files.settings()]
        config = load_config(given.preset, [*networks, f"run.device={given.device}", *given.settings])
        sizes = [config.stage_settings(stage) for stage in STAGES]
        persons = given.most * max(each.subjects * each.images for each in sizes) // 4 + 8
        table = open_table([make_manifest(place.folder / "faces", [4] * persons)])
        rows = [row for stage in STAGES for row in stage_rows(stage, config, table, place)]
    print(markdown(HEADER, rows))
    print(f"\nPreset {given.preset}, {config.run.precision}, {config.data.workers} loader processes.")


def stage_rows(stage: str, config: TrainingConfig, table: Faces, place: Place) -> list[list[str]]:
    """The rows of the preset's batch and of the fastest."""
    best, factor, speeds = 1, 1, {}
    while factor <= place.most:
        speed = speed_of(stage, _with_factor(config, stage, factor), table, place)
        print(f"{stage}, {factor} times the batch: {speed or 0:.0f} images/s", file=sys.stderr, flush=True)
        if speed is None:
            break
        speeds[factor] = speed
        if factor > 1 and speed < WORTH * speeds[best]:
            best = max(speeds, key=speeds.__getitem__)
            break
        best, factor = factor, 2 * factor
    return [row(stage, _with_factor(config, stage, each), table, place) for each in sorted({1, best})]


def speed_of(stage: str, config: TrainingConfig, table: Faces, place: Place) -> float | None:
    """Images a second of whole steps; None if memory ends."""
    try:
        state, batch = example_state(stage, config, table, place.device)
        group = Processes(0, 1, place.device)
        return len(batch.images) / seconds(
            lambda: step(state, batch, config, group, place.folder), place.device, place.steps
        )
    except torch.OutOfMemoryError:
        return None
    finally:
        _free(place.device)


def row(stage: str, config: TrainingConfig, table: Faces, place: Place) -> list[str]:
    """One row of the table."""
    state, batch = example_state(stage, config, table, place.device)
    group, steps = Processes(0, 1, place.device), place.steps
    model, module = state.stage.model, state.stage
    whole = seconds(lambda: step(state, batch, config, group, place.folder), place.device, steps)
    peak = torch.cuda.max_memory_allocated() / 1e9 if place.device.type == "cuda" else 0.0
    encoder = seconds(lambda: encode(module, model, batch, stage), place.device, steps)
    with torch.no_grad():
        codes = model.encode(batch.faces())
    doubled = 1 if batch.partners is None or stage == "pretrain" else 2
    head = doubled * seconds(lambda: _pose(model, codes), place.device, steps)
    draw = 0.0 if stage == "pretrain" else seconds(lambda: _draw(model, codes, batch), place.device, steps)
    draw *= doubled
    rest = max(0.0, whole - encoder - head - draw)
    shares = [f"{100 * part / whole:.0f} %" for part in (encoder, head, draw, rest)]
    settings, count = config.stage_settings(stage), len(batch.images)
    together = _with_loader(stage, config, table, state, place)
    dataset, sampler = FaceDataset(table, config.data.size), example_sampler(stage, config, table)
    alone = loading(dataset, sampler, config.data.workers, steps)
    _free(place.device)
    return [
        stage, f"{settings.subjects} x {settings.images}", f"{count / whole:.0f}", f"{1000 * whole:.1f}",
        f"{peak:.1f}" if peak else "", *shares, f"{together:.0f}", f"{alone:.0f}",
    ]  # fmt: skip


def _with_loader(stage: str, config: TrainingConfig, table: Faces, state: State, place: Place) -> float:
    """Images a second of steps on batches from the loader's processes."""
    stream = training_batches(
        FaceDataset(table, config.data.size), example_sampler(stage, config, table),
        workers=config.data.workers, pin=place.device.type == "cuda",
    )  # fmt: skip
    group = Processes(0, 1, place.device)

    def work() -> None:
        step(state, next(stream).to(place.device), config, group, place.folder)

    settings = config.stage_settings(stage)
    try:
        return settings.subjects * settings.images / seconds(work, place.device, place.steps)
    finally:
        stream.close()


def _pose(model: Deca, codes: Any) -> None:
    """Head and camera, forward and backward."""
    own = codes._replace(shape=codes.shape.detach().requires_grad_())
    posed = model.pose(own)
    (posed.vertices.sum() + posed.landmarks.sum()).backward()


def _draw(model: Deca, codes: Any, batch: FaceBatch) -> None:
    """The renderer, forward and backward: the picture, or, for a model with details, its layers in UV."""
    with torch.no_grad():
        posed = model.pose(codes)
        albedo = model.albedo(codes.texture)
    vertices, light = posed.vertices.detach().requires_grad_(), codes.light.detach().requires_grad_()
    if model.detail is None:
        size = model.settings.render_size
        model.renderer(posed.head.vertices, vertices, albedo, light, size).image.mean().backward()
        return
    from deca_model.render.light import shade

    with torch.no_grad():
        model.surface.visible(posed.head.vertices, posed.vertices, batch.visible())
        model.layout.from_image(batch.faces(), posed.vertices)
    flat = torch.zeros(len(albedo), 1, *albedo.shape[2:], device=albedo.device, requires_grad=True)
    flat = resized(flat, model.layout.size)
    normals = model.surface.normals(flat, posed.head.vertices).permute(0, 2, 3, 1)
    (albedo * shade(normals, light).permute(0, 3, 1, 2)).mean().backward()


def _with_factor(config: TrainingConfig, stage: str, factor: int) -> TrainingConfig:
    settings = config.stage_settings(stage)
    larger = settings.model_copy(update={"subjects": settings.subjects * factor})
    return config.model_copy(update={stage: larger})


def _free(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


if __name__ == "__main__":
    main()
