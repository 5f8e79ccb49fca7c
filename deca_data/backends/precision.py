"""The number type in which the networks of the torch backends compute.

On a CUDA device it is float16, with half the bytes of float32 and exact enough for a largest class, a largest
peak, or the direction of a vector. Everything after the networks is float32. On a CPU all is float32.
"""

from __future__ import annotations

import torch


def network_type(device: str) -> torch.dtype:
    """The number type on a device such as ``cpu``, ``cuda`` or ``cuda:1``."""
    return torch.float16 if torch.device(device).type == "cuda" else torch.float32


def reduced(device: str) -> torch.autocast:
    """The context in which a network runs; on a CPU it changes nothing."""
    kind = network_type(device)
    return torch.autocast(torch.device(device).type, kind, enabled=kind != torch.float32)
