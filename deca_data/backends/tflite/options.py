"""The options of the operations that are known here."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import tflite
from flatbuffers import flexbuffers

from deca_data.backends.tflite.constants import Damaged

NAMES: dict[int, str] = {
    number: name for name, number in vars(tflite.BuiltinOperator).items() if isinstance(number, int)
}
"""The names of the operations in the schema by their numbers."""

_CONVOLUTION = (
    "Padding",
    "StrideH",
    "StrideW",
    "DilationHFactor",
    "DilationWFactor",
    "FusedActivationFunction",
)
_POOL = ("Padding", "StrideH", "StrideW", "FilterHeight", "FilterWidth", "FusedActivationFunction")
_SLICE = ("BeginMask", "EndMask", "EllipsisMask", "NewAxisMask", "ShrinkAxisMask", "Offset")

_OPTIONS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "CONV_2D": (tflite.Conv2DOptions, _CONVOLUTION),
    "DEPTHWISE_CONV_2D": (tflite.DepthwiseConv2DOptions, (*_CONVOLUTION, "DepthMultiplier")),
    "MAX_POOL_2D": (tflite.Pool2DOptions, _POOL),
    "AVERAGE_POOL_2D": (tflite.Pool2DOptions, _POOL),
    "ADD": (tflite.AddOptions, ("FusedActivationFunction",)),
    "MUL": (tflite.MulOptions, ("FusedActivationFunction",)),
    "CONCATENATION": (tflite.ConcatenationOptions, ("Axis", "FusedActivationFunction")),
    "RESIZE_BILINEAR": (tflite.ResizeBilinearOptions, ("AlignCorners", "HalfPixelCenters")),
    "DEPTH_TO_SPACE": (tflite.DepthToSpaceOptions, ("BlockSize",)),
    "STRIDED_SLICE": (tflite.StridedSliceOptions, _SLICE),
}

_WHOLE = ("left_rotation_idx", "right_rotation_idx", "output_height", "output_width")
_FRACTIONS = ("scale_x", "scale_y", "target_rotation_radians")


def read_options(name: str, operator: Any) -> dict[str, Any]:
    """The options of an operation by their names in the schema; empty where it has none.

    Raises:
        Damaged: they are missing.
    """
    if name == "Landmarks2TransformMatrix":
        return _matrix_options(_custom(operator))
    if name == "Convolution2DTransposeBias":
        raw = _custom(operator)
        if len(raw) < 12:
            raise Damaged(f"an operation {name} has no options")
        # numbers of the C structure TfLiteTransposeConvParams; its paddings begin with "unknown"
        padding, width, height = struct.unpack_from("<3i", raw)
        return {"Padding": padding - 1, "StrideH": height, "StrideW": width}
    if name not in _OPTIONS:
        return {}
    kind, wanted = _OPTIONS[name]
    table = operator.BuiltinOptions()
    if table is None:
        raise Damaged(f"an operation {name} has no options")
    options = kind()
    options.Init(table.Bytes, table.Pos)
    return {each: getattr(options, each)() for each in wanted}


def _custom(operator: Any) -> bytes:
    raw = operator.CustomOptionsAsNumpy()
    return raw.tobytes() if isinstance(raw, np.ndarray) else b""


def _matrix_options(raw: bytes) -> dict[str, Any]:
    """Those of Landmarks2TransformMatrix, a map in the format FlexBuffers."""
    found = flexbuffers.GetRoot(bytearray(raw)).AsMap
    options: dict[str, Any] = {name: int(found[name].AsInt) for name in _WHOLE}
    options |= {name: float(found[name].AsFloat) for name in _FRACTIONS}
    points = found["subset_idxs"].AsTypedVector
    if not 0 < len(points) <= 4096:
        raise Damaged("an operation Landmarks2TransformMatrix uses no points")
    return options | {"subset_idxs": [int(each.AsInt) for each in points]}
