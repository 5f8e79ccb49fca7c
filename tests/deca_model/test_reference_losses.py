"""Losses of the first steps, as they were when this was written: a refactor proves identical numbers.

The tolerance is for other versions of torch and of the JPEG decoder; where a change is meant to alter the
numbers, write the new ones here and say why in the commit.
"""

from __future__ import annotations

import pytest
import torch

from deca_model.configfile import load_config
from deca_model.logs import read_metrics
from deca_model.training import train
from tests.deca_model.synthetic import make_manifest

SETTINGS = [
    "stage=all", "data.size=64", "data.workers=0", "model.uv_size=64", "model.render_size=64",
    "model.input_size=null", "optimizer.warmup_steps=0", "optimizer.decay=none",
    "log.pictures_every=1000",
    *(f"{stage}.{rest}" for stage in ("pretrain", "coarse", "detail") for rest in (
        "steps=2", "subjects=2", "images=2", "learning_rate=1e-4")),
]  # fmt: skip

REFERENCE: dict[str, list[dict[str, float]]] = {
    "pretrain": [
        {"landmark": 0.071955, "eye": 0.008419, "lip": 0.093225, "shape_prior": 0.0017547, "total": 0.127},
        {"landmark": 0.10041, "eye": 0.0088867, "lip": 0.074189, "shape_prior": 0.0031785, "total": 0.14643},
    ],
    "coarse": [
        {
            "landmark": 0.069537,
            "eye": 0.0068164,
            "lip": 0.054573,
            "photometric": 0.088021,
            "shape_prior": 0.0095839,
            "texture_prior": 0.0011659,
            "light_prior": 7.5476e-06,
            "total": 0.2798,
            "without_mask": 0.5,
        },
        {
            "landmark": 0.096815,
            "eye": 0.0074792,
            "lip": 0.031945,
            "photometric": 0.083916,
            "shape_prior": 0.014046,
            "texture_prior": 0.0030914,
            "light_prior": 1.6095e-05,
            "total": 0.28832,
            "without_mask": 0.5,
        },
    ],
    "detail": [
        {
            "detail_photometric": 0.080822,
            "displacement": 5.3851e-06,
            "smoothness": 3.15e-06,
            "symmetry": 4.2561e-07,
            "total": 0.16164,
            "without_mask": 0.5,
        },
        {
            "detail_photometric": 0.080993,
            "displacement": 4.3225e-06,
            "smoothness": 3.1341e-06,
            "symmetry": 4.7498e-07,
            "total": 0.16199,
            "without_mask": 0.5,
        },
    ],
}


def test_the_first_losses_are_what_they_were(tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    manifest = make_manifest(tmp_path / "faces", (4, 4), unmasked=(1,))
    train(load_config("cpu", SETTINGS), manifest, None, tmp_path / "run")
    torch.set_num_threads(threads)
    for stage, steps in REFERENCE.items():
        records = read_metrics(tmp_path / "run" / stage / "metrics.jsonl")
        for record, expected in zip(records, steps, strict=True):
            for name, value in expected.items():
                assert record[name] == pytest.approx(value, rel=5e-3, abs=1e-7), (stage, record["step"], name)
