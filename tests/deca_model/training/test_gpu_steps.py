"""Training on a CUDA device against the CPU: every stage's losses, a resume, memory, compiled, two GPUs."""

from __future__ import annotations

import math
from contextlib import contextmanager

import psutil
import pytest
import torch

from benchmarks.training import example_state
from deca_model.data.faces import open_table
from deca_model.settings.reading import load_config
from deca_model.training.checkpoints import checkpoints, load_checkpoint
from deca_model.training.finite_check import NonFiniteLoss
from deca_model.training.processes import Processes
from deca_model.training.records import read_metrics
from deca_model.training.step import read_back, train_step
from tests.deca_model.synthetic import make_manifest
from tests.deca_model.training.network_files import write_network_files
from tests.deca_model.training.test_processes import outputs, start, world_of_two
from tests.deca_model.training.test_step_figures import poison
from tests.deca_model.training.test_training import run
from tests.gpu_device import DEVICE, DRY, needs_gpu

STAGES = ("pretrain", "coarse", "expression", "detail")
NETWORKS = ["loss.identity=0.2", "loss.emotion=1", "loss.id_mrf=3.6", "loss.corner=0.5"]
SETTINGS = [
    "optimizer.warmup_steps=0", "optimizer.decay=none",
    *(f"{stage}.{rest}" for stage in STAGES for rest in ("subjects=2", "images=2")),
    *(f"{stage}.steps=3" for stage in STAGES[1:]),
]  # fmt: skip
FAST = ["run.precision=bfloat16", "run.channels_last=true"]
NO_LOSS = {"kind", "step", "epoch", "learning_rate", "faces_per_step", "images_per_second", "waiting_share"}
OF_NETWORKS = ("identity", "emotion", "id_mrf")
pytestmark = needs_gpu


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return make_manifest(tmp_path_factory.mktemp("faces"), (4, 4, 3))


@pytest.fixture(scope="module")
def networks(tmp_path_factory) -> list[str]:
    """Settings of all losses with a network, of random weights."""
    return [*NETWORKS, *write_network_files(tmp_path_factory.mktemp("weights")).settings()]


@pytest.fixture(scope="module")
def coarse(manifest, tmp_path_factory):
    """A coarse model to start from, made on the CPU."""
    out = tmp_path_factory.mktemp("coarse") / "run"
    run(manifest, out, *SETTINGS, "stage=coarse", "coarse.steps=1", "run.device=cpu")
    return out


def losses(folder) -> list[dict[str, float]]:
    """Each step's losses, total and gradient norm."""
    records = [r for r in read_metrics(folder / "metrics.jsonl") if r["kind"] == "train"]
    return [{name: value for name, value in record.items() if name not in NO_LOSS} for record in records]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_has_the_losses_of_the_cpu(stage, manifest, networks, coarse, tmp_path, record_property):
    settings = [*SETTINGS, *networks, f"stage={stage}", f"{stage}.steps=3"]
    start_from = coarse if stage in ("expression", "detail") else None
    for name, more in (("cpu", []), ("float32", []), ("bfloat16", FAST)):
        device = "cpu" if name == "cpu" else DEVICE
        run(manifest, tmp_path / name, *settings, *more, f"run.device={device}", start_from=start_from)
    cpu, full, half = (losses(tmp_path / name) for name in ("cpu", "float32", "bfloat16"))
    exact = {name: value for name, value in cpu[0].items() if name != "gradient_norm"}
    assert {name: full[0][name] for name in exact} == pytest.approx(exact, rel=0.01, abs=1e-5)
    assert [step["total"] for step in full] == pytest.approx([step["total"] for step in cpu], rel=0.1)
    # The same start with networks in bfloat16, which has eight bits. The features of random networks hardly
    # depend on the picture, so there its losses are mostly rounding.
    compared = {name: value for name, value in exact.items() if name not in (*OF_NETWORKS, "total")}
    for step, rel in ((0, 0.05), (2, 0.15)):
        wanted = {name: cpu[step][name] for name in compared}
        assert {name: half[step][name] for name in compared} == pytest.approx(wanted, rel=rel, abs=1e-4)
    assert all(math.isfinite(value) for step in half for value in step.values())
    apart = max(abs(half[0][name] / value - 1) for name, value in compared.items() if abs(value) > 1e-4)
    record_property("figure", f"losses in bfloat16 within {100 * apart:.2f} % of the CPU's")


def test_a_resume_gives_the_losses_of_the_whole_run(manifest, tmp_path):
    settings = [*SETTINGS, *FAST, f"run.device={DEVICE}", "stage=pretrain"]
    whole = run(manifest, tmp_path / "whole", *settings, "pretrain.steps=6")
    first = run(manifest, tmp_path / "parts", *settings, "pretrain.steps=3")
    second = run(manifest, tmp_path / "parts", *settings, "pretrain.steps=6", resume=True)
    assert first.totals + second.totals == pytest.approx(whole.totals, rel=0.02)


def test_no_step_is_taken_from_the_first_bad_one_on(manifest, tmp_path, monkeypatch):
    made = poison(monkeypatch, 3)
    with pytest.raises(NonFiniteLoss, match="step 3: "):
        settings = [*SETTINGS, f"run.device={DEVICE}", "stage=pretrain"]
        run(manifest, tmp_path, *settings, "log.every=8", "pretrain.steps=9")
    saved = torch.load(tmp_path / "non-finite-step-00000003.pt", weights_only=True)
    assert saved["step"] == 3
    assert all(parameter.isfinite().all() for parameter in made["model"].coarse.parameters())
    assert not checkpoints(tmp_path / "checkpoints")


@pytest.mark.parametrize("stage", STAGES)
def test_steps_keep_no_memory_and_never_wait_for_the_device(
    stage, manifest, networks, tmp_path, record_property
):
    small = ["data.size=64", "model.uv_size=64", "model.render_size=64"]
    config = load_config("cpu", [*SETTINGS, *FAST, *small, *networks, f"stage={stage}"])
    device = torch.device(DEVICE)
    state, batch = example_state(stage, config, open_table([manifest]), device)
    group, used = Processes(0, 1, device), []
    if not DRY:
        torch.cuda.reset_peak_memory_stats()
    train_step(state, batch, config, group, tmp_path)  # makes the constants and the optimiser's state
    for _ in range(3):
        with waiting_is_an_error():
            train_step(state, batch, config, group, tmp_path)
        values = [values for _, values in read_back(state, tmp_path)]
        assert all(math.isfinite(value) for step in values for value in step.values())
        used.append(memory())
    assert used[2] - used[1] <= (200e6 if DRY else 0)
    if not DRY:
        record_property("figure", f"peak {torch.cuda.max_memory_allocated() / 1e9:.2f} GB")


@pytest.mark.parametrize("graphs", ["false", "true"])
def test_compiled_parts_have_the_losses_of_the_plain_ones(graphs, manifest, tmp_path, monkeypatch):
    if DRY:  # without torch's C++ compiler for CPUs, which takes minutes and is not what a GPU has
        traced = torch.nn.Module.compile
        monkeypatch.setattr(
            torch.nn.Module, "compile", lambda part, mode=None: traced(part, backend="aot_eager")
        )
    settings = [*SETTINGS, f"run.device={DEVICE}", "stage=coarse"]
    run(manifest, tmp_path / "plain", *settings)
    run(manifest, tmp_path / "compiled", *settings, "run.compile=true", f"run.graphs={graphs}")
    plain, compiled = losses(tmp_path / "plain"), losses(tmp_path / "compiled")
    assert compiled[0] == pytest.approx(plain[0], rel=0.01, abs=1e-5)
    assert [step["total"] for step in compiled] == pytest.approx([s["total"] for s in plain], rel=0.05)


@pytest.mark.skipif(not DRY and torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_two_devices_give_the_losses_and_weights_of_one_with_the_doubled_batch(tmp_path):
    faces = make_manifest(tmp_path / "faces", (4, 4, 4, 4, 4), unmasked=(1, 3))
    running = [start(faces, tmp_path / "one", 4, {}, f"run.device={DEVICE}")]
    running += [start(faces, tmp_path / "two", 2, names, f"run.device={DEVICE}") for names in world_of_two()]
    outputs(running)
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert two[0] == pytest.approx(one[0], rel=0.01, abs=1e-5)
    assert [step["total"] for step in two] == pytest.approx([step["total"] for step in one], rel=0.02)
    saved = [load_checkpoint(tmp_path / name)["model"] for name in ("one", "two")]
    moved = [saved[0][name] - value for name, value in saved[1].items() if value.is_floating_point()]
    assert max(float(each.abs().max()) for each in moved) < 5e-4


@contextmanager
def waiting_is_an_error():
    """On a GPU, an operation for which the host waits is an error."""
    if DRY:
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def memory() -> int:
    """Bytes on the device; in a trial on the CPU, those of this process."""
    if DRY:
        return psutil.Process().memory_info().rss
    torch.cuda.synchronize()
    return torch.cuda.memory_allocated()
