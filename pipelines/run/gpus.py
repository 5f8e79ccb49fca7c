"""One worker process a GPU, for stages whose backend runs on CUDA."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from distributed import Worker, WorkerPlugin

VISIBLE = "CUDA_VISIBLE_DEVICES"


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them; none without CUDA."""
    count = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    return (named or [str(number) for number in range(count)])[:count]


class OneGpu(WorkerPlugin):
    """Shows each worker of a local cluster one GPU only, also one that takes a dead one's place.

    It comes before the worker's first task, and CUDA reads the variable when it is first used.

    Args:
        gpus: as from ``visible_gpus``; where there are more workers, they share them in turns.
    """

    name = "one-gpu"

    def __init__(self, gpus: Sequence[str]) -> None:
        self.gpus = list(gpus)

    def setup(self, worker: Worker) -> None:
        """Called by Dask in the worker's process; the workers of a local cluster are called 0, 1, 2, ..."""
        os.environ[VISIBLE] = self.gpus[int(str(worker.name)) % len(self.gpus)]
