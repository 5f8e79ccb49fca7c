"""Files that MediaPipe's wheel carries are read; damaged and hostile ones are refused in one sentence."""

from __future__ import annotations

import struct
import zipfile
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import tflite

from deca_data.backends.mediapipe.models import model_file
from deca_data.backends.tflite.file import LARGEST_FILE, read_file, read_graph
from deca_data.backends.tflite.network import TorchNetwork
from manifests.errors import UsageError


@pytest.fixture(scope="module")
def short() -> bytes:
    return model_file("short").read_bytes()


def test_a_network_is_read_with_its_weights_unpacked(short):
    graph = read_graph(short, "short")
    assert [graph.shapes[number] for number in (*graph.inputs, *graph.outputs)] == [
        *((1, 128, 128, 3), (1, 896, 16), (1, 896, 1))
    ]
    first = graph.operations[0]
    assert (first.name, first.options["StrideH"], first.options["Padding"]) == ("CONV_2D", 2, 0)
    weights = graph.constants[first.inputs[1]]
    assert weights.shape == (24, 5, 5, 3)
    assert weights.dtype == np.float32  # stored in half precision
    assert np.array_equal(weights, weights.astype(np.float16))
    assert np.ptp(weights) > 0
    assert {operation.name for operation in graph.operations}.isdisjoint(("DEQUANTIZE", "DENSIFY"))


def test_sparse_weights_become_dense():
    graph = read_file(model_file("full"))
    model: Any = tflite.Model.GetRootAs(model_file("full").read_bytes(), 0)
    tensors = [model.Subgraphs(0).Tensors(number) for number in range(len(graph.shapes))]
    sparse = [tensor for tensor in tensors if tensor.Sparsity() is not None]
    assert len(sparse) == 46
    for tensor in sparse[:5]:
        rows = tensor.Sparsity().DimMetadata(3)  # compressed: all channels of a row that are not 0
        ends, columns = (_numbers(table) for table in (rows.ArraySegments(), rows.ArrayIndices()))
        stored = np.frombuffer(model.Buffers(tensor.Buffer()).DataAsNumpy().tobytes(), np.float16)
        expected = np.zeros((len(ends) - 1, 1, 1, tensor.Shape(3)), np.float32)
        for row, (start, end) in enumerate(pairwise(ends)):
            for place in range(start, end):
                expected[row, 0, 0, columns[place]] = stored[place]
        assert (expected == 0).any()
        found = [each for each in graph.constants.values() if each.shape == expected.shape]
        assert any(np.array_equal(each, expected) for each in found)


def _numbers(table: Any) -> list[int]:
    vector: Any = tflite.Uint8Vector()
    vector.Init(table.Bytes, table.Pos)
    return vector.ValuesAsNumpy().tolist()


def test_a_network_is_read_out_of_a_task_archive(short, tmp_path):
    archive = tmp_path / "face.task"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("face_detector.tflite", short)
    assert read_file(archive, "face_detector.tflite").shapes == read_graph(short, "short").shapes
    with pytest.raises(UsageError, match=r"face\.task has no entry 'other\.tflite'"):
        read_file(archive, "other.tflite")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UsageError, match=r"none\.tflite cannot be read"):
        read_file(tmp_path / "none.tflite")
    (tmp_path / "no.task").write_bytes(b"no archive")
    with pytest.raises(UsageError, match=r"no\.task, x cannot be read"):
        read_file(tmp_path / "no.task", "x")
    with zipfile.ZipFile(tmp_path / "bomb.task", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x", bytes(LARGEST_FILE + 1))
    assert (tmp_path / "bomb.task").stat().st_size < 100_000
    with pytest.raises(UsageError, match="more than 64 MB"):
        read_file(tmp_path / "bomb.task", "x")


@pytest.mark.parametrize("length", [0, 3, 8, 20, 1000, 100_000])
def test_cut_files(short, length):
    with pytest.raises(UsageError, match=r"short (is damaged|cannot be used)"):
        read_graph(short[:length], "short")


def test_an_offset_beyond_the_file(short):
    with pytest.raises(UsageError, match="is damaged"):
        read_graph(struct.pack("<I", 0xFFFFFFF0) + short[4:], "short")


def test_changed_bytes_never_crash(short):
    """Most changes hit a weight and do nothing; all others end in one sentence."""
    random, said = np.random.default_rng(0), []
    for turn in range(30):
        data = bytearray(short)
        for place in random.integers(0, 3000, 4) if turn % 2 else len(data) - random.integers(1, 60_000, 4):
            data[place] = random.integers(256)
        try:
            read_graph(bytes(data), "short")
        except UsageError as error:
            said.append(str(error))
    assert len(said) >= 5
    assert all(one.startswith("short ") and len(one.splitlines()) == 1 for one in said)


def test_a_huge_tensor_is_refused_before_it_is_made(short):
    graph = read_graph(short, "short")
    shape = struct.pack("<4i", *graph.shapes[graph.inputs[0]])
    place = short.index(shape)
    for other in ((1, 1 << 20, 1 << 20, 3), (1, -1, 128, 3), (1, 0, 128, 3)):
        data = short[:place] + struct.pack("<4i", *other) + short[place + 16 :]
        with pytest.raises(UsageError, match="a tensor has the shape"):
            read_graph(data, "short")


def test_a_network_whose_shapes_do_not_fit_together_is_refused(short):
    graph = read_graph(short, "short")
    shape = struct.pack("<4i", *graph.shapes[graph.inputs[0]])
    place = short.index(shape)
    data = short[:place] + struct.pack("<4i", 1, 96, 96, 3) + short[place + 16 :]
    with pytest.raises(UsageError, match="short cannot be used as a network: an operation makes the shape"):
        TorchNetwork(read_graph(data, "short"))


def test_an_unknown_operation_is_named(short):
    graph = read_graph(short, "short")
    operations = [graph.operations[0]._replace(name="SVDF"), *graph.operations[1:]]
    with pytest.raises(
        UsageError, match="short cannot be used as a network: its operation SVDF is not known"
    ):
        TorchNetwork(graph._replace(operations=operations))


def test_a_long_name_with_line_breaks_is_shown_on_one_line():
    data = model_file("person").read_bytes()
    name = b"Convolution2DTransposeBias"
    assert data.count(name) == 1
    graph = read_graph(data.replace(name, b"Con\nvolution" + b"x" * 14), "person")
    with pytest.raises(UsageError, match=r"its operation Con\\nvolutionx+ is not known here\.$"):
        TorchNetwork(graph)
