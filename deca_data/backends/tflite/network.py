"""A network from a `.tflite` file as a torch module that takes any number of images at once."""

from __future__ import annotations

from collections import Counter
from itertools import chain

import tflite
import torch
from torch import Tensor, nn

from deca_data.backends.tflite import attention
from deca_data.backends.tflite.common import Pads, inner, outer
from deca_data.backends.tflite.constants import Damaged
from deca_data.backends.tflite.file import Graph
from deca_data.backends.tflite.operations import Step, make_step
from deca_data.backends.tflite.shaping import zero_pads
from manifests.errors import UsageError

_UNFIT = (RuntimeError, ValueError, IndexError, KeyError, TypeError)
"""What Python and torch raise where shapes have other axes than an operation needs."""


class TorchNetwork(nn.Module):
    """Runs the operations of a file one after the other.

    A PAD before a convolution without padding becomes the convolution's own padding.

    Args:
        graph: the file's content, with one input (1, height, width, channels).

    Raises:
        UsageError: an operation is not known here, or does not make the shape that the file states.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        try:
            if len(graph.inputs) != 1 or any(graph.shapes[number][:1] != (1,) for number in graph.outputs):
                raise Damaged("it does not have one input, and outputs for one image")
            steps, self._made = _steps(graph)
            self._modules_in_order = nn.ModuleList(step.module for step in steps)
            self._inputs = [step.inputs for step in steps]
            self._check()
        except Damaged as error:
            raise UsageError(f"{graph.name} cannot be used as a network: {error}.") from error
        self._unused_after = _last_uses(self._inputs, graph.outputs)

    def forward(self, images: Tensor) -> list[Tensor]:
        """The outputs for (B, height, width, channels) float32 images, in the file's order of axes."""
        values = {self.graph.inputs[0]: inner(images)}
        for module, inputs, made, unused in zip(
            self._modules_in_order, self._inputs, self._made, self._unused_after, strict=True
        ):
            values[made] = module(*[values[number] for number in inputs])
            for number in unused:
                del values[number]
        return [outer(values[number]) for number in self.graph.outputs]

    def _check(self) -> None:
        """Runs a batch of two zeros, and compares every shape with the file's.

        Meta tensors would need no work, but torch's compiler, which takes a second to import.

        Raises:
            Damaged: they differ, or torch refuses an operation.
        """
        shape = self.graph.shapes[self.graph.inputs[0]]
        values = {self.graph.inputs[0]: inner(torch.zeros(2, *shape[1:]))}
        for module, inputs, made in zip(self._modules_in_order, self._inputs, self._made, strict=True):
            try:
                with torch.no_grad():
                    values[made] = module(*[values[number] for number in inputs])
            except _UNFIT as error:
                said = str(error).splitlines()[0] if str(error) else type(error).__name__
                raise Damaged(f"its operations do not fit together ({said})") from error
            expected = (2, *self.graph.shapes[made][1:])
            if outer(values[made]).shape != expected:
                raise Damaged(
                    f"an operation makes the shape {tuple(outer(values[made]).shape)}, not {expected}"
                )


def _steps(graph: Graph) -> tuple[list[Step], list[int]]:
    """The modules in their order, and the number of the tensor that each makes."""
    pads = _pads_of_convolutions(graph)
    done = {operation.inputs[0] for operation in graph.operations if operation.outputs[0] in pads}
    steps, made = [], []
    for operation in graph.operations:
        number = operation.outputs[0]
        if number in done:
            continue
        try:
            if operation.name in attention.NAMES:
                step = attention.make_attention_step(graph, operation)
            elif number in pads:
                source, around = pads[number]
                step = make_step(graph, operation._replace(inputs=(source, *operation.inputs[1:])), around)
            else:
                step = make_step(graph, operation)
        except _UNFIT as error:
            raise Damaged(f"its operation {operation.name} has shapes that do not fit together") from error
        steps.append(step)
        made.append(number)
    return steps, made


def _pads_of_convolutions(graph: Graph) -> dict[int, tuple[int, Pads]]:
    """For the output of a convolution after a PAD that nothing else uses: the PAD's input, and its zeros."""
    makers = {operation.outputs[0]: operation for operation in graph.operations}
    uses = Counter((*graph.outputs, *chain.from_iterable(each.inputs for each in graph.operations)))
    found: dict[int, tuple[int, Pads]] = {}
    for operation in graph.operations:
        if not operation.name.endswith("CONV_2D") or operation.options["Padding"] != tflite.Padding.VALID:
            continue
        pad = makers.get(operation.inputs[0]) if operation.inputs else None
        if pad is None or pad.name != "PAD" or uses[pad.outputs[0]] > 1:
            continue
        top, bottom, left, right, *channels = zero_pads(graph, pad)
        if not any(channels) and top <= bottom and left <= right:
            found[operation.outputs[0]] = pad.inputs[0], ((top, bottom), (left, right))
    return found


def _last_uses(inputs: list[tuple[int, ...]], outputs: tuple[int, ...]) -> list[list[int]]:
    """For each step, the tensors that no later step uses."""
    last = {number: place for place, used in enumerate(inputs) for number in used}
    unused: list[list[int]] = [[] for _ in inputs]
    for number, place in last.items():
        if number not in outputs:
            unused[place].append(number)
    return unused
