"""A CUDA device that is only pretended: tensors have shapes and devices, but no numbers.

torch's fake tensors follow a whole training step without a GPU. They raise ``DataDependentOutputException``
or ``DynamicOutputShapeException`` where the host would read a number back, and an error where tensors of two
devices meet. ``NoTransfers`` adds what they let pass: copies between host and device.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from deca_model.render import constants

CUDA = torch.device("cuda", 0)
_CONSTANTS = {torch.tensor, torch.as_tensor, torch.from_numpy, torch.asarray, Tensor.new_tensor}
_COPIES = {torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default}
# These take a number of the host as a tensor, and copy it to the device.
_COPY_SCALARS = {torch.ops.aten.where.self}


class Transfer(AssertionError):
    """A step made a constant on the host, or copied a tensor between host and device."""


class _NoConstants(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _CONSTANTS:
            raise Transfer(f"{func.__name__} makes a constant on the host")
        return func(*args, **(kwargs or {}))


class _NoCopies(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        devices = {tensor.device.type for tensor in tensors}
        if func in _COPIES and kwargs.get("device") is not None:
            devices.add(torch.device(kwargs["device"]).type)
        if len(devices) > 1 and (func in _COPIES or not _only_numbers(func, tensors)):
            raise Transfer(f"{func} copies between {' and '.join(sorted(devices))}")
        return func(*args, **kwargs)


def _only_numbers(func: Any, tensors: list[Tensor]) -> bool:
    """Whether all tensors of the host are single numbers, which a pointwise kernel takes as arguments."""
    pointwise = torch.Tag.pointwise in func.tags and func not in _COPY_SCALARS
    return pointwise and all(tensor.dim() == 0 for tensor in tensors if tensor.device.type == "cpu")


@contextmanager
def pretended_cuda(monkeypatch: Any) -> Iterator[None]:
    """Within it tensors can be made on ``CUDA``; they are fake. Modules can move there."""
    # autocast looks for a GPU when it is made
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: True)
    # The engine of autograd looks for the GPU's streams.
    monkeypatch.setattr(Tensor, "backward", backward)
    monkeypatch.setattr(nn.Module, "to", _to)
    constants.forget()
    try:
        with FakeTensorMode():
            yield
    finally:
        constants.forget()


def _to(
    module: nn.Module,
    where: torch.device | torch.dtype = CUDA,
    *,
    memory_format: torch.memory_format | None = None,
) -> nn.Module:
    """What ``Module.to`` does: parameters and buffers change. Torch's own cannot make them fake."""
    for part in module.modules():
        for name, value in part._parameters.items():
            if value is not None:
                fake = _fake(value, where)
                if memory_format is not None and value.dim() == 4:
                    fake = fake.contiguous(memory_format=memory_format)
                part._parameters[name] = nn.Parameter(fake, value.requires_grad)
        for name, value in part._buffers.items():
            if value is not None:
                part._buffers[name] = _fake(value, where)
    return module


def _fake(value: Tensor, where: torch.device | torch.dtype) -> Tensor:
    kind, device = (where, value.device) if isinstance(where, torch.dtype) else (value.dtype, where)
    kind = kind if value.dtype.is_floating_point else value.dtype
    return torch.empty_strided(value.shape, value.stride(), dtype=kind, device=device)


@contextmanager
def no_transfers() -> Iterator[None]:
    """Raise ``Transfer`` at each constant made on the host, and at each copy between host and device."""
    with ExitStack() as stack:
        stack.enter_context(_NoConstants())
        stack.enter_context(_NoCopies())
        yield


def backward(loss: Tensor) -> None:
    """The backward pass, node by node, without autograd's engine."""
    assert loss.grad_fn is not None
    arrived: dict[Any, list[Tensor | None]] = {loss.grad_fn: [torch.ones_like(loss)]}
    for node in _sorted(loss.grad_fn):
        gradients = arrived.pop(node, None)
        if gradients is None:
            continue
        if hasattr(node, "variable"):
            leaf, found = node.variable, gradients[0]
            leaf.grad = found if leaf.grad is None else leaf.grad + found
            continue
        with torch.no_grad():
            given = _given(node, gradients)
        given = given if isinstance(given, tuple) else (given,)
        for (following, place), gradient in zip(node.next_functions, given, strict=True):
            if following is None or gradient is None:
                continue
            wanted = following._input_metadata
            gradient = gradient.sum_to_size(wanted[place].shape).to(wanted[place].dtype)  # as the engine does
            places = arrived.setdefault(following, [None] * len(wanted))
            before = places[place]
            places[place] = gradient if before is None else before + gradient


def _given(node: Any, gradients: list[Tensor | None]) -> Any:
    """What a node gives to those before it. A function written in Python gets zeros where nothing arrived."""
    full = zip(gradients, node._input_metadata, strict=True)
    if not isinstance(node, torch.autograd.function.BackwardCFunction):
        return node(*gradients)
    given = node.apply(
        *(
            torch.zeros(meta.shape, dtype=meta.dtype, device=meta.device) if gradient is None else gradient
            for gradient, meta in full
        )
    )
    tensors = len(node.next_functions)
    assert all(gradient is None for gradient in given[tensors:])  # of arguments that are no tensors
    return given[:tensors]


def _sorted(root: Any) -> list[Any]:
    """The nodes of a graph, each before those that it gives gradients to."""
    done: list[Any] = []
    seen, stack = {root}, [(root, iter(root.next_functions))]
    while stack:
        node, rest = stack[-1]
        following = next((f for f, _ in rest if f is not None and f not in seen), None)
        if following is None:
            done.append(node)
            stack.pop()
        else:
            seen.add(following)
            stack.append((following, iter(following.next_functions)))
    return done[::-1]
