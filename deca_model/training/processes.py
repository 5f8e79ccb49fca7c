"""One process, or several that ``torchrun`` started: plain data parallelism."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from manifests.errors import UsageError


@dataclass(frozen=True)
class Processes:
    """This process's rank, the number of processes, and its device."""

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes the files and shows the progress."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module with its gradients averaged over the processes."""
        if self.world == 1:
            return module
        if self.device.type == "cuda":
            module = nn.SyncBatchNorm.convert_sync_batchnorm(module)
        # The head and the albedo space are large buffers that never change: do not send them in every step.
        return DistributedDataParallel(module, broadcast_buffers=False)

    def mean(self, values: Tensor) -> Tensor:
        """The mean over the processes."""
        if self.world > 1:
            dist.all_reduce(values)
            values = values / self.world
        return values

    def wait(self) -> None:
        """Wait until all processes have reached this call."""
        if self.world > 1:
            dist.barrier()

    def first_says(self, value: Any) -> Any:
        """The first process's ``value``, in all of them."""
        if self.world == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0, device=self.device)
        return values[0]

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        if self.world == 1:
            return flag
        return bool(self.mean(torch.tensor([float(flag)], device=self.device)).item() > 0)


def is_first() -> bool:
    """Whether this is the only process of the run, or the first of those that ``torchrun`` started."""
    return os.environ.get("WORLD_SIZE", "1") in ("", "1") or os.environ.get("RANK") == "0"


@contextmanager
def processes(device: torch.device) -> Iterator[Processes]:
    """Join the processes that ``torchrun`` started, if any: NCCL between GPUs, gloo between CPUs.

    Raises:
        UsageError: WORLD_SIZE says that there are several, but the variables by which they meet do not fit.
    """
    world = _world()
    if world == 1:
        yield Processes(0, 1, device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(dist.get_rank(), world, device)
    finally:
        dist.destroy_process_group()


def _world() -> int:
    """How many processes the environment announces; other programs than ``torchrun`` set parts of it."""
    named = {name: os.environ.get(name, "") for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK")}
    if named["WORLD_SIZE"] in ("", "1"):
        return 1
    wrong = [name for name, text in named.items() if not text.isascii() or not text.isdecimal()]
    wrong += [name for name in ("MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if wrong:
        raise UsageError(
            f"WORLD_SIZE={named['WORLD_SIZE']}: this asks for several processes, but {', '.join(wrong)} is "
            "not set or no number; start them with `torchrun`, or unset WORLD_SIZE for a single one."
        )
    world, rank = int(named["WORLD_SIZE"]), int(named["RANK"])
    if rank >= world:  # the others would be waited for
        raise UsageError(
            f"RANK={rank}: with WORLD_SIZE={world} the ranks are 0 to {world - 1}; start the processes with "
            "`torchrun`, or unset WORLD_SIZE for a single one."
        )
    return world


@contextmanager
def stop_requested() -> Iterator[Callable[[], bool]]:
    """Yield a function that tells whether Ctrl-C or SIGTERM came; a second signal stops immediately."""
    asked = threading.Event()

    def ask(number: int, _: object) -> None:
        if asked.is_set():
            signal.default_int_handler(number, None)
        asked.set()

    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
