"""A manifest without masks: the losses that would compare nothing are named before the first step."""

from __future__ import annotations

from pathlib import Path

import pytest

from deca_model.data.faces import open_table
from deca_model.settings.reading import load_config
from deca_model.training.headline import headline
from deca_model.training.usable_losses import usable_losses
from pipelines.share.pack import pack
from pipelines.share.pack_rows import CropSettings
from tests.deca_model.synthetic import make_manifest

ALL_STAGES = ("pretrain", "coarse", "detail")


def said(path: Path, stages: tuple[str, ...] = ALL_STAGES, *settings: str) -> list[str]:
    _, lines = usable_losses(load_config("cpu", list(settings)), stages, open_table([path]))
    return [line for line in lines if "mask" in line]


def test_losses_that_need_masks_are_named_where_there_are_none(tmp_path: Path) -> None:
    bare = make_manifest(tmp_path / "bare", (2, 2), unmasked=(0, 1))
    (line,) = said(bare)
    assert line.startswith(
        "no face has a mask, so loss.photometric and loss.detail_photometric compare nothing"
    )
    assert "`deca-data masks`" in line
    assert said(bare, ("pretrain",)) == []
    assert said(bare, ("expression",), "loss.photometric_mask=rendered") == []
    assert said(make_manifest(tmp_path / "some", (2, 2), unmasked=(0,))) == []


def test_packs_are_asked_too(tmp_path: Path) -> None:
    for name, unmasked, lines in (("bare", (0, 1), 1), ("some", (1,), 0)):
        manifest = make_manifest(tmp_path / name, (2, 2), unmasked=unmasked)
        pack([manifest], tmp_path / f"{name}-packed", CropSettings(), quiet=True)
        assert len(said(tmp_path / f"{name}-packed/train.json")) == lines


@pytest.mark.parametrize(("gain", "shown"), [(-0.001, "by 0.0 %"), (-0.26, "by -0.3 %"), (7.66, "by 7.7 %")])
def test_no_negative_zero(gain: float, shown: str) -> None:
    assert headline({"faces": 3, "landmark_error_median": 5.0, "detail_gain": gain}).endswith(shown)
