"""The device of the tests that need a GPU; `make gpu DRY=1` runs the same tests on the CPU."""

from __future__ import annotations

import os

import pytest
import torch

DRY = bool(os.environ.get("DECA_GPU_DRY"))
"""`make gpu DRY=1` sets it."""

DEVICE = "cpu" if DRY else "cuda"

needs_gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(not DRY and not torch.cuda.is_available(), reason="needs a CUDA device"),
]
