"""What does not fit is said before the first step, for all stages, and what is off in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from deca_model.data.faces import open_table
from deca_model.losses.weight_files import decided_weights, left_out
from deca_model.settings.groups import LossSettings
from deca_model.settings.reading import load_config
from deca_model.training.loop import train
from deca_model.training.run_batches import check_batches
from deca_model.training.stages.registry import network_losses
from manifests.errors import UsageError
from tests.deca_model.synthetic import make_manifest

STAGES = ("pretrain", "coarse", "detail")


def test_batches_that_do_not_fit_are_named_for_all_stages_before_anything_is_written(tmp_path: Path):
    manifest = make_manifest(tmp_path, (2, 2, 3))
    with pytest.raises(UsageError) as raised:
        train(load_config("open"), manifest, None, tmp_path / "run")
    told = str(raised.value)
    # seven photos of three persons
    assert "pretrain.subjects=64: a batch needs that many groups of 1 photos of a person" in told
    assert "the manifest gives 7; set pretrain.subjects to 7 or less" in told
    assert "the manifest gives 3; set coarse.subjects to 3 or less" in told
    assert "the manifest gives 3; set detail.subjects to 3 or less" in told
    assert not (tmp_path / "run").exists()


def test_a_number_of_processes_that_does_not_fit_is_said_for_all_stages(tmp_path: Path):
    table = open_table([make_manifest(tmp_path, (4, 4, 4, 4))])
    small = [f"{stage}.{name}" for stage in STAGES for name in ("subjects=4", "images=1")]
    check_batches(load_config("open", small), STAGES, table, 4)
    with pytest.raises(UsageError) as raised:
        check_batches(load_config("open", [*small, "detail.subjects=6"]), STAGES, table, 4)
    assert str(raised.value) == (
        "detail.subjects=6 x 4 processes: a batch needs that many groups of 1 photos of a person, and the "
        "manifest gives 16; set detail.subjects to 4 or less, or add photos."
    )


@pytest.mark.parametrize("preset", ["open", "cpu"])
def test_losses_without_a_licensed_file_are_off_and_named_in_one_line(preset: str):
    weights = load_config(preset).loss
    line = left_out(weights, network_losses(STAGES))
    assert line is not None
    assert line.count("\n") == 0
    assert "identity (give VGGFace2's resnet50_ft_weight.pkl with --set loss.identity_weights=FILE)" in line
    assert "id_mrf (give torchvision's vgg19-dcbb9e9d.pth with --set loss.vgg_weights=FILE)" in line
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
