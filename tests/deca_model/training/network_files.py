"""Files of random weights, in the publishers' formats, for the losses that compare features of networks."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from deca_model.losses.id_mrf import vgg19_layers
from deca_model.losses.vggface2 import caffe_resnet50
from tests.deca_model.conftest import Python2Pickler


class Files(NamedTuple):
    """Weight files in the formats in which they are published."""

    identity: Path  # VGGFace2's pickle of arrays, written by Python 2
    emotion: Path  # EMOCA's Lightning checkpoint
    id_mrf: Path  # torchvision's state dict, with the classifier

    def settings(self) -> list[str]:
        """The settings that name the files."""
        names = ("identity_weights", "emotion_weights", "vgg_weights")
        return [f"loss.{name}={path}" for name, path in zip(names, self, strict=True)]


def write_network_files(folder: Path) -> Files:
    """Write the three files."""
    found = Files(folder / "resnet50_ft_weight.pkl", folder / "emotion.ckpt", folder / "vgg19-dcbb9e9d.pth")
    torch.manual_seed(0)
    faces = {k: v.numpy() for k, v in _settled(caffe_resnet50()).items() if "num_batches" not in k}
    faces |= {"fc.weight": np.zeros((8631, 2048), np.float32), "fc.bias": np.zeros(8631, np.float32)}
    with open(found.identity, "wb") as file:
        Python2Pickler(file, protocol=2).dump(faces)
    emotion = {f"model.backbone.{k}": v for k, v in _settled(caffe_resnet50()).items()}
    emotion |= {"model.linear.0.weight": torch.zeros(10, 2048)}
    torch.save({"state_dict": emotion, "epoch": 3, "global_step": 7, "hyper_parameters": {}}, found.emotion)
    vgg = {f"features.{k}": v for k, v in vgg19_layers().state_dict().items()}
    torch.save(vgg | {"classifier.6.bias": torch.zeros(1000)}, found.id_mrf)
    return found


def _settled(network: nn.Module) -> dict[str, Tensor]:
    """Random weights, with the batch-norm statistics that belong to them."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.rand(2, 3, 128, 128) * 255 - 110)
    return network.state_dict()
