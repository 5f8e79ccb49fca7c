"""model.tar in the official layout."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from deca_model.networks.detail import DetailDecoder
from deca_model.networks.encoder import ImageEncoder, coarse_encoder, detail_encoder
from deca_model.networks.official_checkpoint import load_official, save_official
from deca_model.settings.groups import EncoderSettings
from manifests.errors import UsageError

OFFICIAL_KEYS = ("E_flame", "E_detail", "D_detail", "opt", "global_step", "batch_size")
CAMERA = torch.tensor([8.0, 0.0, 0.0])


@pytest.fixture(scope="module")
def networks() -> tuple[ImageEncoder, ImageEncoder, DetailDecoder]:
    torch.manual_seed(0)
    settings = EncoderSettings()
    return coarse_encoder(settings, CAMERA).eval(), detail_encoder(settings).eval(), DetailDecoder().eval()


@pytest.fixture(scope="module")
def official(networks: tuple[ImageEncoder, ImageEncoder, DetailDecoder]) -> dict[str, Any]:
    """A checkpoint as the official trainer writes it, with an optimiser state and plain numbers."""
    coarse, detail, decoder = networks
    generator = torch.Generator().manual_seed(1)
    parts: tuple[nn.Module, ...] = (coarse, detail, decoder)
    states = [{key: _noise(value, generator) for key, value in _weights(part).items()} for part in parts]
    optimiser = torch.optim.Adam([nn.Parameter(torch.zeros(2))])
    content: dict[str, Any] = dict(zip(("E_flame", "E_detail", "D_detail"), states, strict=True))
    return content | {"opt": optimiser.state_dict(), "global_step": 7, "batch_size": 2}


def _noise(value: Tensor, generator: torch.Generator) -> Tensor:
    if not value.is_floating_point():
        return value
    return value + 0.01 * torch.rand(value.shape, generator=generator)


def test_official_weights_give_the_official_codes(
    networks: Any, official: dict[str, Any], tmp_path: Path
) -> None:
    coarse, detail, decoder = networks
    torch.save(official, tmp_path / "model.tar")
    assert load_official(tmp_path / "model.tar", coarse, detail, decoder) == [
        "E_flame",
        "E_detail",
        "D_detail",
    ]
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        hidden = coarse.layers[:2](coarse.encoder(images))
        last = official["E_flame"]["layers.2.weight"], official["E_flame"]["layers.2.bias"]
        assert torch.allclose(coarse(images), hidden @ last[0].T + last[1], rtol=1e-4, atol=1e-4)
    for part, name in ((detail, "E_detail"), (decoder, "D_detail")):
        assert all(torch.equal(value, official[name][key]) for key, value in _weights(part).items())


def test_export_and_import_keep_everything(networks: Any, official: dict[str, Any], tmp_path: Path) -> None:
    coarse, detail, decoder = networks
    torch.save(official, tmp_path / "model.tar")
    load_official(tmp_path / "model.tar", coarse, detail, decoder)
    save_official(tmp_path / "again.tar", coarse, detail, decoder)
    again = torch.load(tmp_path / "again.tar", weights_only=True)
    assert set(again) == {*official, "untrained"}
    for name in ("E_flame", "E_detail", "D_detail"):
        assert set(again[name]) == set(official[name])
        for key, value in again[name].items():
            assert torch.allclose(value, official[name][key], rtol=1e-6, atol=0), key


def test_a_file_of_a_coarse_run_has_all_official_keys(networks: Any, tmp_path: Path) -> None:
    """The official code stops with a KeyError at a missing key."""
    coarse, detail, decoder = networks
    before = torch.get_rng_state()
    told = save_official(tmp_path / "model.tar", coarse, step=7, subjects=2)
    assert told == ["E_detail", "D_detail"]
    assert torch.equal(torch.get_rng_state(), before)
    content = torch.load(tmp_path / "model.tar", weights_only=True)
    assert list(content) == [
        "E_flame",
        "E_detail",
        "D_detail",
        "opt",
        "global_step",
        "batch_size",
        "untrained",
    ]
    assert (content["global_step"], content["batch_size"]) == (7, 2)
    for part, name in ((detail, "E_detail"), (decoder, "D_detail")):
        assert {key: value.shape for key, value in content[name].items()} == {
            key: value.shape for key, value in _weights(part).items()
        }
    assert load_official(tmp_path / "model.tar", coarse, detail, decoder) == ["E_flame"]
    optimiser = torch.optim.Adam(coarse.parameters())
    optimiser.load_state_dict(content["opt"])
    assert optimiser.param_groups[0]["lr"] == 1e-4
    assert save_official(tmp_path / "model.tar", coarse, detail, decoder) == []
    content = torch.load(tmp_path / "model.tar", weights_only=True)
    torch.optim.Adam([*detail.parameters(), *decoder.parameters()]).load_state_dict(content["opt"])


def test_numpy_numbers_are_no_obstacle(networks: Any, official: dict[str, Any], tmp_path: Path) -> None:
    numbers = {"global_step": np.int64(7), "loss": np.float64(0.5), "E_detail": {"note": np.float32(1)}}
    torch.save({"E_flame": official["E_flame"], **numbers}, tmp_path / "model.tar")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "model.tar", weights_only=True)
    assert load_official(tmp_path / "model.tar", networks[0]) == ["E_flame"]
    with pytest.raises(UsageError, match=r"'E_detail' in .* lacks 'encoder\.conv1\.weight'"):
        load_official(tmp_path / "model.tar", networks[0], networks[1])


def test_coarse_only(networks: Any, official: dict[str, Any], tmp_path: Path) -> None:
    coarse, detail, decoder = networks
    torch.save({"E_flame": official["E_flame"]}, tmp_path / "model.tar")
    assert load_official(tmp_path / "model.tar", coarse, detail, decoder) == ["E_flame"]
    torch.save({"D_detail": official["D_detail"]}, tmp_path / "model.tar")
    assert load_official(tmp_path / "model.tar", decoder=decoder) == ["D_detail"]
    with pytest.raises(UsageError, match="lacks 'E_flame'"):
        load_official(tmp_path / "model.tar", coarse)


def test_what_does_not_fit_is_one_sentence(networks: Any, official: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "model.tar"
    with pytest.raises(UsageError, match="does not exist"):
        load_official(path)
    torch.save({"model": 1}, path)
    with pytest.raises(UsageError, match="none of E_flame"):
        load_official(path)
    path.write_bytes(b"text")
    with pytest.raises(UsageError, match="not an intact torch file"):
        load_official(path)
    broken = {key: value for key, value in official["D_detail"].items() if key != "l1.0.bias"}
    torch.save({"D_detail": broken}, path)
    with pytest.raises(UsageError, match=r"lacks 'l1\.0\.bias'"):
        load_official(path, decoder=networks[2])
    small = coarse_encoder(EncoderSettings(backbone="resnet18"), CAMERA)
    torch.save({"E_flame": official["E_flame"]}, path)
    with pytest.raises(UsageError, match=r"E_flame in .* is a resnet50: give --set model\.encoder\.backbone"):
        load_official(path, small)
    with pytest.raises(UsageError, match="not a resnet50"):
        save_official(path, small)
    with pytest.raises(UsageError, match="not a resnet50"):  # it has as many features as a resnet50
        save_official(path, coarse_encoder(EncoderSettings(backbone="small"), CAMERA))
    for setting in ("mirror", "framed"):
        other = EncoderSettings.model_validate({setting: True})
        with pytest.raises(UsageError, match=rf"encoder\.{setting}"):
            save_official(path, coarse_encoder(other, CAMERA))
    with pytest.raises(UsageError, match="maps of 128 texels"):
        save_official(path, networks[0], networks[1], DetailDecoder(128))


def test_a_malicious_file_is_not_executed(tmp_path: Path) -> None:
    class Command:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path / 'executed'}",)

    torch.save({"E_flame": Command()}, tmp_path / "model.tar")
    with pytest.raises(UsageError):
        load_official(tmp_path / "model.tar")
    assert not (tmp_path / "executed").exists()


def _weights(part: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The state dict without our gains, which the official code does not have."""
    return {key: value for key, value in part.state_dict().items() if key != "gains"}
