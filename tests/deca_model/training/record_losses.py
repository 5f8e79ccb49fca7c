"""Trains two steps of each stage and writes every number of the records, for test_reference_losses.py.

It computes with kernels that are the same on every x86-64 processor: without those that torch, MKL, numpy and
OpenBLAS choose by the instruction set, and without oneDNN, which orders its sums by the sizes of the caches.

Run it as: python -m tests.deca_model.training.record_losses FILE.json
"""

import json
import os
import platform
import sys
import tempfile
from pathlib import Path

SETTINGS = [
    "stage=all", "data.size=64", "data.workers=0", "model.uv_size=64", "model.render_size=64",
    "model.input_size=null", "model.encoder={backbone: resnet18}",
    "model.detail_encoder={backbone: resnet18}", "model.detail_start=random",
    "model.detail_input_size=null",
    "optimizer.warmup_steps=0", "optimizer.decay=none",
    "log.pictures_every=1000", "loss.displacement=0.005", "loss.symmetry=0.005", "loss.ring=0.05",
    *(f"{stage}.{rest}" for stage in ("pretrain", "coarse", "detail") for rest in (
        "steps=2", "subjects=2", "images=2", "learning_rate=1e-4")),
]  # fmt: skip
KERNELS = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_CBWR": "COMPATIBLE",
    "OPENBLAS_CORETYPE": "Nehalem",
    "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL",
}
"""Switches that choose the kernels."""
LEFT_OUT = {"kind", "faces_per_step", "images_per_second", "waiting_share"}


def record(folder: Path) -> dict:
    """The platform, and the records of each stage of a run in the folder; not its speed."""
    os.environ |= KERNELS  # before torch and numpy are imported
    import torch

    from deca_model.settings.reading import load_config
    from deca_model.training.loop import train
    from deca_model.training.records import read_metrics
    from tests.deca_model.synthetic import make_manifest

    torch.set_num_threads(1)
    torch.backends.mkldnn.set_flags(False)
    manifest = make_manifest(folder / "faces", (4, 4), unmasked=(1,))
    train(load_config("cpu", SETTINGS), manifest, None, folder / "run")
    records = {
        stage: read_metrics(folder / "run" / stage / "metrics.jsonl")
        for stage in ("pretrain", "coarse", "detail")
    }
    return {
        "machine": platform.machine(),
        "torch": torch.__version__,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "records": {
            stage: [{name: value for name, value in each.items() if name not in LEFT_OUT} for each in steps]
            for stage, steps in records.items()
        },
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        Path(sys.argv[1]).write_text(json.dumps(record(Path(place)), indent=1) + "\n")
