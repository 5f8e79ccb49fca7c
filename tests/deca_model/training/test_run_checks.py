"""What does not fit is said before the first step, for all stages, and what is off in one line."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from commands.settings import chosen_settings
from deca_model.data.faces import open_table
from deca_model.data.loading import FaceDataset, batches
from deca_model.losses.weight_files import decided_weights, left_out
from deca_model.settings.groups import LossSettings
from deca_model.settings.reading import load_config
from deca_model.training.loop import train
from deca_model.training.run_batches import batch_notes, check_batches, worker_note
from deca_model.training.stages.registry import network_losses
from deca_model.training.validation import fixed_draws
from manifests.errors import UsageError
from tests.deca_model.synthetic import make_manifest

STAGES = ("pretrain", "coarse", "detail")


def test_batches_that_do_not_fit_are_named_for_all_stages_before_anything_is_written(tmp_path: Path):
    manifest = make_manifest(tmp_path, (2, 2, 3))
    with pytest.raises(UsageError) as raised:
        train(load_config("open"), manifest, None, tmp_path / "run")
    # seven photos of three persons
    assert str(raised.value) == (
        "the manifest is too small for the batches: pretrain.subjects=64 exceeds its 7 photos; "
        "coarse.subjects=8 exceeds its 3 groups of 4 photos of a person; detail.subjects=8 exceeds its 3 "
        "groups of 3 photos of a person; lower with --set pretrain.subjects=7 --set "
        "coarse.subjects=3 --set detail.subjects=3, or add photos."
    )
    assert not (tmp_path / "run").exists()


def test_a_number_of_processes_that_does_not_fit_is_said_for_all_stages(tmp_path: Path):
    table = open_table([make_manifest(tmp_path, (4, 4, 4, 4))])
    small = [f"{stage}.{name}" for stage in STAGES for name in ("subjects=4", "images=1")]
    check_batches(load_config("open", small), STAGES, table, 4)
    with pytest.raises(UsageError) as raised:
        check_batches(load_config("open", [*small, "detail.subjects=6"]), STAGES, table, 4)
    assert str(raised.value) == (
        "the manifest is too small for the batches: detail.subjects=6 x 4 processes exceeds its 16 photos; "
        "lower with --set detail.subjects=4, or add photos."
    )
    with pytest.raises(UsageError, match="; start 16 processes at most, or add photos"):
        check_batches(load_config("open", small), STAGES, table, 20)


def test_batches_that_teach_less_than_promised_are_told(tmp_path: Path):
    pairs = [f"{stage}.{name}" for stage in STAGES for name in ("subjects=4", "images=2")]

    def notes(persons: tuple[int | None, ...], world: int = 1) -> list[str]:
        folder = tmp_path / "_".join(map(str, (*persons, world)))
        folder.mkdir()
        config = load_config("cpu", [*pairs, "loss.ring=0.1"])
        return batch_notes(config, STAGES, open_table([make_manifest(folder, persons)]), world)

    assert notes((2, 2, 2, 2)) == []
    assert notes((8,)) == [
        "the manifest has one person only, who fills each batch, and loss.ring has no others to compare with"
    ]
    (few,) = notes((4, 4, 4, 4), 2)
    assert few.startswith("the manifest has 4 persons, fewer than a batch takes (pretrain.subjects: 8)")
    (alone,) = notes((2, 2, 2, None))
    assert alone == (
        "1 of 4 persons have a single photo, which is repeated for pretrain.images=2, coarse.images=2, "
        "detail.images=2: swapping shapes and loss.ring teach nothing there"
    )


def test_more_loader_processes_than_cores_are_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert worker_note(load_config("open")) is None
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert worker_note(load_config("open")) == (
        "data.workers=8 for each of 4 processes, and this machine has 8 cores; --set data.workers=2 may be "
        "faster"
    )


@pytest.mark.filterwarnings("error")
def test_cores_are_counted_where_the_system_knows_no_affinity(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr("os.sched_getaffinity", raising=False)  # as on macOS
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    line = worker_note(load_config("cpu", ["data.workers=3"]))
    assert line is not None
    assert "this machine has 2 cores" in line


def test_torch_does_not_warn_of_few_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    dataset = FaceDataset(open_table([make_manifest(tmp_path, (2,))]), 64)
    with closing(batches(dataset, [fixed_draws(np.arange(2), 0)], 2, workers=2)) as stream:
        assert len(next(stream).images) == 2


@pytest.mark.parametrize(
    ("settings", "gpu", "preset", "why"),
    [
        ([], False, "cpu", "as no GPU is found"),
        ([], True, "open", "as there is a GPU"),
        (["run.device=cpu"], True, "cpu", "for device cpu"),
        (["run.device=cuda:1"], True, "open", "for device cuda:1"),
    ],
)
def test_the_preset_of_the_machine_is_said_with_its_reason(
    settings: list[str],
    gpu: bool,
    preset: str,
    why: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpu)
    assert chosen_settings(None, None, settings, False) == load_config(preset, settings)
    said = f"preset {preset}, {why}; another with --preset, single settings with --set\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("preset", ["open", "cpu"])
def test_losses_without_a_licensed_file_are_off_and_named_in_one_line(preset: str):
    weights = load_config(preset).loss
    line = left_out(weights, network_losses(STAGES))
    assert line is not None
    assert line.split("\n") == [
        "losses off: identity (needs resnet50_ft_weight.pkl), id_mrf (vgg19-dcbb9e9d.pth)",
        "  on with --set loss.identity_weights=FILE --set loss.vgg_weights=FILE",
    ]
    assert max(map(len, line.split("\n"))) <= 80
    decided = decided_weights(weights)
    assert (decided.identity, decided.id_mrf) == (0, 0)


def test_a_file_switches_its_loss_on_with_decas_weight():
    weights = load_config("open", ["loss.identity_weights=mine.pkl"]).loss
    decided = decided_weights(weights)
    assert decided.identity == LossSettings().identity == 0.2
    assert decided.id_mrf == 0
    line = left_out(weights, network_losses(STAGES))
    assert line is not None
    assert "identity" not in line


def test_paper_refuses_without_the_files_in_one_sentence(tmp_path: Path):
    manifest = make_manifest(tmp_path, (2, 2))
    assert load_config("paper").stage == "all"
    with pytest.raises(UsageError) as raised:
        train(load_config("paper"), manifest, None, tmp_path / "run")
    assert str(raised.value).startswith(
        "loss.identity and loss.id_mrf have a weight but no network: give VGGFace2's resnet50_ft_weight.pkl "
        "as loss.identity_weights and torchvision's vgg19-dcbb9e9d.pth as loss.vgg_weights"
    )
    assert not (tmp_path / "run").exists()
