"""Torch files of other programs: tensors are read, everything else is ignored and never run."""

from __future__ import annotations

import io
import pickle
import sys
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from deca_model.files.torch_files import Foreign, read_torch_file
from manifests.errors import UsageError


def lightning_checkpoint(path: Path, state: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A file as Lightning 1.4.9 writes it, of classes that are gone then: callbacks, settings."""
    classes = []
    for module, name, base in (
        ("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint", object),
        ("omegaconf.dictconfig", "DictConfig", object),
        ("pytorch_lightning.utilities.parsing", "AttributeDict", dict),
    ):
        made = type(name, (base,), {"__module__": module})
        for end in range(1, module.count(".") + 2):
            place = ".".join(module.split(".")[:end])
            monkeypatch.setitem(sys.modules, place, sys.modules.get(place) or ModuleType(place))
        setattr(sys.modules[module], name, made)
        classes.append(made)
    callback, config, attributes = classes
    settings = config()
    settings._content = {"backbone": "resnet50"}
    content = {
        **{"epoch": 1, "global_step": 7, "pytorch-lightning_version": "1.4.9", "state_dict": state},
        **{"callbacks": {callback: {"best_model_score": torch.tensor(1.5), "best": np.float64(1.5)}}},
        "hyper_parameters": attributes(config=settings, seed=1),
    }
    torch.save(content, path)
    monkeypatch.undo()


def test_a_lightning_checkpoint_gives_its_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4).half())
    state: dict[str, Any] = {**network.state_dict(), "view": torch.arange(12.0).view(3, 4).T[1:]}
    lightning_checkpoint(tmp_path / "a.ckpt", state, monkeypatch)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "a.ckpt", weights_only=True)
    content = read_torch_file(tmp_path / "a.ckpt", "")
    assert content["state_dict"].keys() == state.keys()
    for name, value in content["state_dict"].items():
        assert value.dtype == state[name].dtype
        assert torch.equal(value, state[name])
    assert content["callbacks"][Foreign]["best_model_score"] == 1.5
    assert content["hyper_parameters"] == {}
    assert content["epoch"] == 1


def test_parameters_empty_tensors_and_numpy_numbers(tmp_path: Path):
    parameter = torch.nn.Parameter(torch.ones(2))
    torch.save({"p": parameter, "none": torch.empty(0, 3), "step": np.int64(3)}, tmp_path / "model.tar")
    content = read_torch_file(tmp_path / "model.tar", "")
    assert torch.equal(content["p"], torch.ones(2))
    assert content["none"].shape == (0, 3)


@pytest.mark.parametrize("legacy", [False, True])
def test_foreign_code_never_runs(tmp_path: Path, legacy: bool):
    class Payload:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    path = tmp_path / "a.pt"
    torch.save({"w": torch.ones(1), "x": Payload()}, path, _use_new_zipfile_serialization=not legacy)
    if legacy:
        with pytest.raises(UsageError, match=r"a\.pt is not an intact torch file .*: give another"):
            read_torch_file(path, "give another")
    else:
        assert read_torch_file(path, "")["w"] == 1
    assert not (tmp_path / "ran").exists()


def test_damaged_and_foreign_files_are_one_sentence(tmp_path: Path):
    torch.save({"w": torch.ones(1000)}, tmp_path / "good.pt")
    data = (tmp_path / "good.pt").read_bytes()
    packed = io.BytesIO()
    with zipfile.ZipFile(tmp_path / "good.pt") as good, zipfile.ZipFile(packed, "w") as archive:
        for entry in good.infolist():
            archive.writestr(entry.filename, good.read(entry), zipfile.ZIP_DEFLATED)
    for damaged in (
        data[: len(data) // 2],
        data.replace(b"FloatStorage", b"FloatXtorage"),
        packed.getvalue(),
    ):
        (tmp_path / "bad.pt").write_bytes(damaged)
        with pytest.raises(UsageError, match=r"bad\.pt is not an intact torch file"):
            read_torch_file(tmp_path / "bad.pt", "give another")
    with pytest.raises(UsageError, match=r"no\.pt does not exist: give another"):
        read_torch_file(tmp_path / "no.pt", "give another")


class Attack:
    def __reduce__(self):
        return print, ("code of the file ran",)


def test_torchs_advice_to_trust_a_file_is_not_passed_on(tmp_path, capsys):
    from deca_model.losses.id_mrf import load_vgg_features
    from deca_model.networks.encoder import _load_backbone

    path = tmp_path / "weights.pth"
    torch.save({"weight": Attack()}, path)
    doors = [
        lambda: load_vgg_features(path),
        lambda: _load_backbone(torch.nn.Linear(1, 1), path, "resnet50"),
    ]
    for door in doors:
        with pytest.raises(
            UsageError, match=r"weights\.pth .*it is damaged, or holds more than tensors"
        ) as raised:
            door()
        assert "weights_only" not in str(raised.value)
    assert capsys.readouterr().out == ""
