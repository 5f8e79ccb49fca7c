"""Checking that the weights of a file fit a network."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from manifests.errors import UsageError


def check_state(
    state: Mapping[str, Tensor], network: nn.Module, what: str, hint: str = "give a matching file"
) -> None:
    """Check that a state dict has all arrays of a network in the right shapes.

    Files of old torch versions lack batch norm's counters, and files of others lack ``gains``.

    Raises:
        UsageError: names ``what``, the first array that does not fit, and the hint.
    """
    for key, value in network.state_dict().items():
        if key.endswith("num_batches_tracked") or key == "gains":
            continue
        if key not in state:
            raise UsageError(f"{what} lacks '{key}': {hint}")
        if state[key].shape != value.shape:
            found, wanted = tuple(state[key].shape), tuple(value.shape)
            raise UsageError(f"{what} has '{key}' in shape {found}, not {wanted}: {hint}")
