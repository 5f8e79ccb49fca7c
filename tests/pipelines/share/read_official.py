"""Reads an export with the official code's own loaders; a program, because each has its own imports.

    python read_official.py deca|emoca|emoca_affectnet|smirk CHECKOUT ARGUMENT...

prints JSON: by name of dataset, the shape of its first sample and the number of samples that were read.
"""

# The official code is on the path only when this program runs.
# pyright: reportMissingImports=false

from __future__ import annotations

import builtins
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np


def read_all(dataset: Any) -> dict[str, Any]:
    """Reads every sample; checks the ranges of images, landmarks and masks."""
    first = dataset[0]
    for number in range(len(dataset)):
        sample = dataset[number]
        image, points, mask = (sample[key].numpy() for key in ("image", "landmark", "mask"))
        assert image.min() >= 0
        assert image.max() <= 1
        assert np.abs(points[..., :2]).max() < 1.2
        assert 0.05 < mask.mean() < 0.95
    return {"count": len(dataset), **{key: list(first[key].shape) for key in ("image", "landmark", "mask")}}


def deca(settings: str) -> dict[str, Any]:
    from decalib.datasets import build_datasets
    from decalib.utils.config import get_cfg_defaults, update_cfg

    config = update_cfg(get_cfg_defaults(), settings).dataset
    every = [*build_datasets.build_train(config).datasets, *build_datasets.build_val(config).datasets]
    names = ["vox2", "vggface2", "ethnicity"]
    named = [name for name in names if name in config.training_data] + [
        f"{name} val" for name in config.eval_data
    ]
    return {name: read_all(dataset) for name, dataset in zip(named, every, strict=True)}


def emoca(settings: str, names: str) -> dict[str, Any]:
    from gdl.datasets.DecaDataModule import DecaDataModule
    from omegaconf import OmegaConf

    data = OmegaConf.merge(
        OmegaConf.load(settings),
        {"scale_min": 1.4, "scale_max": 1.8, "trans_scale": 0.0, "n_train": 10_000_000, "num_workers": 0},
        {"split_ratio": 0.9, "split_style": "random"},
    )
    learning = {"train_K": 3, "batch_size_train": 2, "batch_size_val": 2, "batch_size_test": 1}
    found = {}
    for name in names.split(","):
        config = OmegaConf.create({"data": data, "learning": learning, "model": {"image_size": 224}})
        config.data.training_datasets = [name]
        module = DecaDataModule(config)
        module.setup()
        found[name] = read_all(module.training_set.dataset)
    return found


def emoca_affectnet(folder: str) -> dict[str, Any]:
    for name in ("bool", "float", "int"):  # the official code is for numpy before 1.24, which had them
        if name not in vars(np):
            setattr(np, name, getattr(builtins, name))
    from gdl.datasets.AffectNetDataModule import AffectNetDataModule, AffectNetEmoNetSplitModule

    found = {}
    for kind, invalid in ((AffectNetDataModule, True), (AffectNetEmoNetSplitModule, "like_emonet")):
        module = kind(folder, folder, "processed", ignore_invalid=invalid)
        assert not module.is_processed or module.prepare_data() is None  # nothing is prepared again
        assert module.is_processed
        module.setup()
        found[kind.__name__] = {
            "training": read_all(module.training_set),
            "validation": read_all(module.validation_set),
            "test": read_all(module.test_set),
            "labels": {
                Path(sample["path"]).name: [sample["affectnetexp"].item(), *sample["va"].tolist()]
                for sample in map(module.training_set.__getitem__, range(len(module.training_set)))
            },
        }
    return found


def smirk(*settings: str) -> dict[str, Any]:
    from datasets.data_utils import load_dataloaders
    from omegaconf import OmegaConf

    config = OmegaConf.merge(
        OmegaConf.load("configs/config_pretrain.yaml"),
        OmegaConf.from_dotlist([*settings, "train.num_workers=0", "train.batch_size=2"]),
        OmegaConf.from_dotlist(["train.samples_per_epoch=4"]),
    )
    training, validation = load_dataloaders(config)
    celeba = next(each for each in training.dataset.datasets if getattr(each, "name", "") == "CelebA")
    for number in range(len(celeba)):
        assert celeba.__getitem_aux__(number) is not None
    batches = list(training)
    keys = ("img", "landmarks_fan", "landmarks_mp", "img_mica")
    return {
        "celeba": {"count": len(celeba), **{key: list(batches[0][key].shape) for key in keys}},
        "batches": len(batches),
        "validation": len(validation),
    }


if __name__ == "__main__":
    which, checkout, *rest = sys.argv[1:]
    sys.path[:0] = [str(Path(checkout).resolve())]
    readers = {"deca": deca, "emoca": emoca, "emoca_affectnet": emoca_affectnet, "smirk": smirk}
    print(json.dumps(readers[which](*rest)))
