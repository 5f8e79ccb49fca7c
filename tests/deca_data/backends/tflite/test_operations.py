"""Each operation against plain loops or numpy, as the reference kernels of TensorFlow Lite have it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from deca_data.backends.tflite.file import Graph, Operation
from deca_data.backends.tflite.network import TorchNetwork
from manifests.errors import UsageError

RANDOM = np.random.default_rng(3)
SAME, VALID = 0, 1
MASKS = ("BeginMask", "EndMask", "EllipsisMask", "NewAxisMask", "ShrinkAxisMask", "Offset")


def images(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=shape).astype(np.float32)


def run(
    name: str, made: tuple[int, ...], given: np.ndarray, constants: Any = (), **options: Any
) -> np.ndarray:
    """The output of one operation for a batch; ``made`` is the output's shape for one image."""
    arrays = dict(enumerate(map(np.asarray, constants), 1))
    shapes = [(1, *given.shape[1:]), *(array.shape for array in arrays.values()), made]
    operation = Operation(name, tuple(range(len(shapes) - 1)), (len(shapes) - 1,), options)
    graph = Graph("trial", shapes, arrays, [operation], (0,), (len(shapes) - 1,))
    (found,) = TorchNetwork(graph)(torch.from_numpy(given))
    assert found.shape == (len(given), *made[1:])
    return found.numpy()


def convolution(stride: int, padding: int, activation: int = 0, **more: int) -> dict[str, int]:
    strides = {"StrideH": stride, "StrideW": stride, "DilationHFactor": 1, "DilationWFactor": 1}
    return {**strides, "Padding": padding, "FusedActivationFunction": activation, **more}


def window(
    given: np.ndarray, y: int, x: int, size: tuple[int, int], stride: int, before: tuple[int, ...]
) -> Any:
    """The pixels below a kernel, with zeros around the image, and which of them are in the image."""
    part = np.zeros((len(given), *size, given.shape[3]))
    inside = np.zeros(size, bool)
    for row in range(size[0]):
        for column in range(size[1]):
            top, left = y * stride + row - before[0], x * stride + column - before[1]
            if 0 <= top < given.shape[1] and 0 <= left < given.shape[2]:
                part[:, row, column], inside[row, column] = given[:, top, left], True
    return part, inside


def before(size: int, kernel: int, stride: int) -> int:
    """Zeros before an image with the padding SAME: half of what is missing, rounded down."""
    return max((-(-size // stride) - 1) * stride + kernel - size, 0) // 2


@pytest.mark.parametrize(
    ("side", "kernel", "stride"), [(8, 3, 1), (8, 3, 2), (9, 3, 2), (8, 5, 2), (7, 2, 2), (6, 3, 3)]
)
def test_convolution_pads_as_tensorflow(side, kernel, stride):
    given, weights, bias = images(2, side, side + 1, 3), images(4, kernel, kernel, 3), images(4)
    rows, columns = -(-side // stride), -(-(side + 1) // stride)
    found = run("CONV_2D", (1, rows, columns, 4), given, (weights, bias), **convolution(stride, SAME))
    pads = before(side, kernel, stride), before(side + 1, kernel, stride)
    for y in range(rows):
        for x in range(columns):
            part, _ = window(given, y, x, (kernel, kernel), stride, pads)
            expected = np.einsum("byxc,oyxc->bo", part, weights) + bias
            assert np.allclose(found[:, y, x], expected, atol=1e-4)


@pytest.mark.parametrize(("kernel", "stride", "activation"), [(3, 2, 0), (5, 2, 1), (3, 1, 3)])
def test_depthwise_convolution_and_its_activation(kernel, stride, activation):
    given, weights, bias = 9 * images(2, 8, 8, 5), images(1, kernel, kernel, 5), images(5)
    side = -(-8 // stride)
    options = convolution(stride, SAME, activation, DepthMultiplier=1)
    found = run("DEPTHWISE_CONV_2D", (1, side, side, 5), given, (weights, bias), **options)
    pads = (before(8, kernel, stride),) * 2
    for y in range(side):
        for x in range(side):
            part, _ = window(given, y, x, (kernel, kernel), stride, pads)
            expected = (part * weights).sum((1, 2)) + bias
            expected = [expected, expected.clip(0), None, expected.clip(0, 6)][activation]
            assert np.allclose(found[:, y, x], expected, atol=1e-4)


def test_a_pad_before_a_convolution():
    given, weights, bias = images(2, 6, 6, 3), images(4, 3, 3, 3), images(4)
    pads = np.array([[0, 0], [1, 1], [1, 2], [0, 0]], np.int32)
    shapes = [(1, 6, 6, 3), (4, 2), (4, 3, 3, 3), (4,), (1, 8, 9, 3), (1, 3, 4, 4)]
    pad = Operation("PAD", (0, 1), (4,), {})
    after = Operation("CONV_2D", (4, 2, 3), (5,), convolution(2, VALID))
    graph = Graph("trial", shapes, {1: pads, 2: weights, 3: bias}, [pad, after], (0,), (5,))
    network = TorchNetwork(graph)
    (found,) = network(torch.from_numpy(given))
    apart = graph._replace(outputs=(4, 5))  # so that the PAD stays an operation
    padded, also = TorchNetwork(apart)(torch.from_numpy(given))
    assert np.array_equal(padded.numpy(), np.pad(given, pads))
    assert torch.allclose(found, also, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "side"), [("MAX_POOL_2D", 8), ("MAX_POOL_2D", 7), ("AVERAGE_POOL_2D", 8), ("AVERAGE_POOL_2D", 7)]
)
def test_pools_count_only_pixels_of_the_image(name, side):
    given = images(2, side, side, 3) - 5  # all below zero, so that padded zeros would win
    rows = -(-side // 2)
    options = {"FilterHeight": 2, "FilterWidth": 3, "StrideH": 2, "StrideW": 2, "Padding": SAME}
    found = run(name, (1, rows, rows, 3), given, **options, FusedActivationFunction=0)
    pads = before(side, 2, 2), before(side, 3, 2)
    for y in range(rows):
        for x in range(rows):
            part, inside = window(given, y, x, (2, 3), 2, pads)
            pixels = part[:, inside]
            expected = pixels.max(1) if name == "MAX_POOL_2D" else pixels.mean(1)
            assert np.allclose(found[:, y, x], expected, atol=1e-5)


@pytest.mark.parametrize("corners", [False, True])
def test_resize_bilinear(corners):
    given = images(2, 4, 5, 3)
    options = {"AlignCorners": corners, "HalfPixelCenters": not corners}
    found = run("RESIZE_BILINEAR", (1, 8, 7, 3), given, (np.array([8, 7], np.int32),), **options)
    for y in range(8):
        for x in range(7):
            if corners:
                place_y, place_x = y * 3 / 7, x * 4 / 6
            else:
                place_y, place_x = max((y + 0.5) * 4 / 8 - 0.5, 0), max((x + 0.5) * 5 / 7 - 0.5, 0)
            top, left = int(place_y), int(place_x)
            down, right = min(top + 1, 3), min(left + 1, 4)
            share_y, share_x = place_y - top, place_x - left
            upper = given[:, top, left] * (1 - share_x) + given[:, top, right] * share_x
            lower = given[:, down, left] * (1 - share_x) + given[:, down, right] * share_x
            assert np.allclose(found[:, y, x], upper * (1 - share_y) + lower * share_y, atol=1e-5)


def test_depth_to_space():
    given = images(2, 3, 4, 12)
    found = run("DEPTH_TO_SPACE", (1, 6, 8, 3), given, BlockSize=2)
    for y in range(6):
        for x in range(8):
            first = 3 * (2 * (y % 2) + x % 2)
            assert np.array_equal(found[:, y, x], given[:, y // 2, x // 2, first : first + 3])


def test_transposed_convolution_with_bias():
    given, weights, bias = images(2, 3, 4, 5), images(2, 2, 2, 5), images(2)
    options = {"StrideH": 2, "StrideW": 2, "Padding": SAME}
    found = run("Convolution2DTransposeBias", (1, 6, 8, 2), given, (weights, bias), **options)
    for y in range(6):
        for x in range(8):
            expected = given[:, y // 2, x // 2] @ weights[:, y % 2, x % 2].T + bias
            assert np.allclose(found[:, y, x], expected, atol=1e-5)


def test_functions():
    given = 4 * images(2, 3, 3, 4)
    shape, slope = (1, 3, 3, 4), images(1, 1, 4)
    assert np.allclose(run("PRELU", shape, given, (slope,)), np.where(given < 0, given * slope, given))
    assert np.allclose(run("RELU", shape, given), given.clip(0))
    assert np.allclose(run("LOGISTIC", shape, given), 1 / (1 + np.exp(-given)), atol=1e-6)
    assert np.allclose(run("HARD_SWISH", shape, given), given * (given + 3).clip(0, 6) / 6, atol=1e-6)
    assert np.allclose(run("ADD", shape, given, (slope,), FusedActivationFunction=1), (given + slope).clip(0))
    assert np.allclose(run("MUL", shape, given, (slope,), FusedActivationFunction=0), given * slope)


def test_shapes_are_those_of_the_file():
    given = images(2, 3, 4, 6)
    assert np.array_equal(run("RESHAPE", (1, 24, 3), given), given.reshape(2, 24, 3))
    assert np.array_equal(run("RESHAPE", (1, 2, 4, 9), given), given.reshape(2, 2, 4, 9))
    joined = run("CONCATENATION", (1, 3, 4, 6), given, Axis=3, FusedActivationFunction=0)
    assert np.array_equal(joined, given)
    pads = np.array([[0, 0], [1, 0], [0, 2], [0, 3]], np.int32)
    assert np.array_equal(run("PAD", (1, 4, 6, 9), given, (pads,)), np.pad(given, pads))
    parts = [np.array(each, np.int32) for each in ((0, 1, 0, 2), (1, 3, 4, 6), (1, 1, 2, 3))]
    masks = dict.fromkeys(MASKS, 0)
    assert np.array_equal(run("STRIDED_SLICE", (1, 2, 2, 2), given, parts, **masks), given[:, 1:3, ::2, 2::3])


@pytest.mark.parametrize(
    ("name", "made", "constants", "options"),
    [
        ("CONV_2D", (1, 4, 4, 4), ((4, 3, 3, 3), (4,)), convolution(0, SAME)),
        ("CONV_2D", (1, 4, 4, 4), ((4, 3, 3, 2), (4,)), convolution(1, SAME)),
        ("CONV_2D", (1, 4, 4, 4), ((4, 3, 3, 3), (5,)), convolution(1, SAME)),
        ("CONV_2D", (1, 4, 4, 4), ((4, 3, 3, 3), (4,)), convolution(1, SAME, 4)),
        ("CONV_2D", (1, 4, 4, 4), ((4, 3, 3, 3),), convolution(1, SAME)),
        ("CONV_2D", (1, 4, 4, 4), ((4, 3, 3), (4,)), convolution(1, SAME)),
        ("CONV_2D", (1, 4, 4, 4), ((4,), (4,)), convolution(1, SAME)),
        ("PRELU", (1, 4, 4, 3), ((1, 4, 1),), {}),
        ("RESHAPE", (1, 47), (), {}),
        ("RESIZE_BILINEAR", (1, 8, 8, 3), ((2,),), {"AlignCorners": False, "HalfPixelCenters": False}),
        ("DEPTH_TO_SPACE", (1, 8, 8, 1), (), {"BlockSize": 2}),
        ("ADD", (1, 4, 4, 3), ((1, 1, 1, 1, 3),), {"FusedActivationFunction": 0}),
    ],
)  # fmt: skip
def test_options_that_do_not_fit_are_refused(name, made, constants, options):
    arrays = [np.ones(shape, np.float32) for shape in constants]
    with pytest.raises(UsageError, match=r"^trial cannot be used as a network: [^\n]*$"):
        run(name, made, images(1, 4, 4, 3), arrays, **options)
