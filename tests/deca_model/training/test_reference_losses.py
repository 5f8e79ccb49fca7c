"""Reference losses of the first steps: a refactor must give the same numbers.

The tolerance is for other versions of torch and of the JPEG decoder. If a change is meant to alter the
numbers, write the new ones here and say why in the commit.
"""

from __future__ import annotations

import pytest
import torch

from deca_model.settings.reading import load_config
from deca_model.training.loop import train
from deca_model.training.records import read_metrics
from tests.deca_model.synthetic import make_manifest

SETTINGS = [
    "stage=all", "data.size=64", "data.workers=0", "model.uv_size=64", "model.render_size=64",
    "model.input_size=null", "model.encoder={backbone: resnet18}",
    "optimizer.warmup_steps=0", "optimizer.decay=none",
    "log.pictures_every=1000", "loss.displacement=0.005", "loss.symmetry=0.005",
    *(f"{stage}.{rest}" for stage in ("pretrain", "coarse", "detail") for rest in (
        "steps=2", "subjects=2", "images=2", "learning_rate=1e-4")),
]  # fmt: skip

REFERENCE: dict[str, list[dict[str, float]]] = {
    "pretrain": [
        {"landmark": 0.074031, "eye": 0.0082909, "lip": 0.090643, "shape_prior": 0.0069892, "total": 0.12771},
        {"landmark": 0.098593, "eye": 0.008319, "lip": 0.050938, "shape_prior": 0.011536, "total": 0.13252},
    ],
    "coarse": [
        {
            "landmark": 0.079079,
            "eye": 0.0054305,
            "lip": 0.021745,
            "photometric": 0.085364,
            "shape_prior": 0.030319,
            "texture_prior": 0.0049652,
            "light_prior": 3.4079e-05,
            "total": 0.26658,
            "without_mask": 0.5,
        },
        {
            "landmark": 0.093759,
            "eye": 0.0080738,
            "lip": 0.032507,
            "photometric": 0.083016,
            "shape_prior": 0.037595,
            "texture_prior": 0.011722,
            "light_prior": 6.9212e-05,
            "total": 0.2847,
            "without_mask": 0.5,
        },
    ],
    "detail": [
        {
            "detail_photometric": 0.080012,
            "displacement": 1.4341e-05,
            "smoothness": 6.3464e-06,
            "symmetry": 1.1955e-05,
            "total": 0.16002,
            "without_mask": 0.5,
            "smooth_photometric": 0.080012,
        },
        {
            "detail_photometric": 0.079882,
            "displacement": 1.4513e-05,
            "smoothness": 6.0509e-06,
            "symmetry": 1.447e-05,
            "total": 0.15976,
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
