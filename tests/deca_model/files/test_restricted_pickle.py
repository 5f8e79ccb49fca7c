"""No pickle from outside is executed; the real formats are read."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from deca_model.files.restricted_pickle import as_array, load_restricted
from manifests.errors import UsageError

Foreign = Callable[..., Any]
CHUMPY_STATE = {
    **{"_dirty_vars": set(), "_itr": None, "_make_dense": False, "_make_sparse": False},
    **{"_depends_on_deps": {}, "dr_lookup": {((4, 3, 2), None): 1}},
}
"""What every chumpy object has besides its terms."""


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> Foreign:
    """Makes an object of a library that is not installed, from the full name of its class and its state."""

    classes: dict[str, type] = {}
    made: dict[str, ModuleType] = {}

    def make(name: str, **state: Any) -> Any:
        module, _, kind = name.rpartition(".")
        for end in range(1, module.count(".") + 1):
            place = ".".join(module.split(".")[:end])
            monkeypatch.setitem(sys.modules, place, sys.modules.get(place) or ModuleType(place))
        if name not in classes:
            classes[name] = type(kind, (), {"__module__": module})
            if module not in made:
                made[module] = ModuleType(module)
                monkeypatch.setitem(sys.modules, module, made[module])
            setattr(made[module], kind, classes[name])
        value = classes[name]()
        value.__dict__ |= state
        return value

    return make


class Command:
    """A pickle that runs a command when it is loaded."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def _attacks(mark: Path) -> list[Any]:
    return [
        Command(os.system, f"touch {mark}"),
        Command(eval, f"open({str(mark)!r}, 'w')"),
        Command(getattr, np.ndarray, "tofile"),
        Command(torch.load, str(mark)),
        Command(Path, str(mark)),
        Command(np.load, str(mark)),
    ]


@pytest.mark.parametrize("attack", range(6))
@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.reliability("hostile model files (pickles)")
def test_attacks_are_refused_and_not_executed(tmp_path: Path, attack: int, protocol: int) -> None:
    mark, path = tmp_path / "executed", tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"v_template": _attacks(mark)[attack]}, protocol))
    with pytest.raises(UsageError, match=r"model\.pkl asks for .* no model file needs"):
        load_restricted(path)
    assert not mark.exists()


@pytest.mark.reliability("hostile model files (pickles)", tried=2)
def test_attack_inside_an_npy_and_inside_a_storage(tmp_path: Path) -> None:
    mark, path = tmp_path / "executed", tmp_path / "embedding.npy"
    np.save(path, np.array({"a": Command(os.system, f"touch {mark}")}, dtype=object), allow_pickle=True)
    with pytest.raises(UsageError, match="no model file needs"):
        load_restricted(path)
    inner = tmp_path / "inner.pth"
    torch.save(Command(os.system, f"touch {mark}"), inner, _use_new_zipfile_serialization=False)
    load_storage = torch.storage._load_from_bytes  # type: ignore[attr-defined]
    path.write_bytes(pickle.dumps(Command(load_storage, inner.read_bytes()), 2))
    with pytest.raises(UsageError, match="no model file needs"):
        load_restricted(path)
    assert not mark.exists()


@pytest.mark.parametrize("protocol", [0, 2, 3, 4, 5])
def test_numbers_of_every_protocol(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "numbers.pkl"
    content = {
        "a": np.arange(6.0).reshape(2, 3),
        "f": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "s": np.float32(3),
        "e": np.zeros(0),
    }
    path.write_bytes(pickle.dumps(content, protocol))
    loaded = load_restricted(path)
    assert all(np.array_equal(loaded[key], value) for key, value in content.items())


@pytest.mark.parametrize("old", [b"numpy.core", b"numpy._core"])
def test_both_names_of_numpys_core(tmp_path: Path, old: bytes) -> None:
    path = tmp_path / "numbers.pkl"
    data = pickle.dumps(np.arange(3), 2).replace(b"numpy._core", b"numpy.core").replace(b"numpy.core", old)
    path.write_bytes(data)
    assert load_restricted(path).tolist() == [0, 1, 2]


@pytest.mark.parametrize("form", ["csc", "csr", "coo"])
@pytest.mark.parametrize("kind", ["matrix", "array"])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_scipys_sparse_matrices(tmp_path: Path, form: str, kind: str, protocol: int) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    dense = np.diag([1.0, 2, 3])[:2] + np.eye(2, 3, 1)
    made = getattr(sparse, f"{form}_{kind}")(dense)
    path = tmp_path / "sparse.pkl"
    path.write_bytes(pickle.dumps(made, protocol))
    assert np.array_equal(as_array(load_restricted(path), "J_regressor", path), dense)


def test_the_coordinate_matrix_of_old_scipy(tmp_path: Path, foreign: Foreign) -> None:
    """Before scipy 1.13: rows and columns have names of their own, and the module is ``coo``."""
    state = {
        **{"_shape": (2, 3), "maxprint": 50, "data": np.array([1.0, 2, 3])},
        **{"row": np.array([0, 1, 1], np.int32), "col": np.array([2, 0, 0], np.int32)},
    }
    path = tmp_path / "sparse.pkl"
    path.write_bytes(pickle.dumps(foreign("scipy.sparse.coo.coo_matrix", **state), 2))
    assert as_array(load_restricted(path), "J_regressor", path).tolist() == [[0, 0, 1], [5, 0, 0]]


@pytest.mark.parametrize(
    "change",
    [
        {"indices": np.array([0, 9])},
        {"indptr": np.array([0, 1, 1])},
        {"indptr": np.array([0, 3, 1, 2])},
        {"_shape": (2**40, 2**40)},
        {"_shape": (-1, 3)},
        {"data": np.array(["a", "b"], dtype=object)},
        {"data": "text"},
    ],
)
def test_a_damaged_sparse_matrix_is_one_sentence(tmp_path: Path, foreign: Foreign, change: Any) -> None:
    state = {
        "_shape": (2, 3),
        "data": np.ones(2),
        "indices": np.array([0, 1]),
        "indptr": np.array([0, 1, 1, 2]),
    }
    path = tmp_path / "sparse.pkl"
    path.write_bytes(pickle.dumps({"J": foreign("scipy.sparse.csc.csc_matrix", **state)}, 2))
    assert as_array(load_restricted(path)["J"], "J", path).tolist() == [[1, 0, 0], [0, 0, 1]]
    path.write_bytes(pickle.dumps({"J": foreign("scipy.sparse.csc.csc_matrix", **state | change)}, 2))
    with pytest.raises(UsageError, match=r"'J' in .* is no array of numbers|no model file needs"):
        as_array(load_restricted(path)["J"], "J", path)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_chumpys_expressions(tmp_path: Path, foreign: Foreign, protocol: int) -> None:
    """The objects have the states that chumpy gives its own."""
    numbers = np.arange(24.0).reshape(4, 3, 2)
    whole = foreign("chumpy.ch.Ch", x=numbers, **CHUMPY_STATE)

    def expression(name: str, **terms: Any) -> Any:
        return foreign(f"chumpy.reordering.{name}", **terms, **CHUMPY_STATE)

    first = np.arange(24).reshape(4, 3, 2)[..., :1]
    select = expression("Select", a=whole, idxs=first.ravel(), preferred_shape=first.shape)
    joined = expression("Concatenate", dterms=["m0", "m1"], m0=select, m1=whole, axis=2)
    content = {
        "whole": (whole, numbers),
        "select": (select, numbers[..., :1]),
        "flat": (expression("Select", a=whole, idxs=np.array([3, 3])), [3, 3]),
        "joined": (joined, np.concatenate([numbers[..., :1], numbers], axis=2)),
        "reshaped": (expression("Reshape", a=joined, newshape=(6, -1)), None),
        "turned": (expression("transpose", a=whole, axes=(2, 0, 1)), numbers.transpose(2, 0, 1)),
        "reversed": (expression("transpose", a=whole), numbers.T),
        "swapped": (expression("swapaxes", a=whole, axis1=0, axis2=2), numbers.swapaxes(0, 2)),
        "deep": (expression("AtleastNd", x=foreign("chumpy.ch.Ch", x=np.float64(3)), ndims=2), [[3.0]]),
    }
    content["reshaped"] = (content["reshaped"][0], content["joined"][1].reshape(6, -1))
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({key: value for key, (value, _) in content.items()}, protocol))
    loaded = load_restricted(path)
    for key, (_, expected) in content.items():
        assert np.array_equal(as_array(loaded[key], key, path), expected), key


def test_other_expressions_fail_only_where_they_are_used(tmp_path: Path, foreign: Foreign) -> None:
    product = foreign("chumpy.ch_ops.dot", a=np.ones(3), b=np.ones(3))
    endless = foreign("chumpy.reordering.Reshape", newshape=(1,))
    endless.a = endless
    path = tmp_path / "model.pkl"
    content = {"J": product, "loop": endless, "f": np.arange(3)}
    path.write_bytes(pickle.dumps(content, 2))
    loaded = load_restricted(path)
    assert loaded["f"].tolist() == [0, 1, 2]
    with pytest.raises(UsageError, match=r"'J' in .*asks for the chumpy expression 'dot'"):
        as_array(loaded["J"], "J", path)
    with pytest.raises(UsageError, match=r"'loop' in .*RecursionError"):
        as_array(loaded["loop"], "loop", path)


def dtype_payload(code: str, state: Any) -> Any:
    """A dictionary with an array of eight raw bytes, whose ``numpy.dtype`` gets a state from the file."""

    class Type:
        def __reduce__(self) -> Any:
            return np.dtype, (code, False, True), state

    class Array:
        def __reduce__(self) -> Any:
            reconstruct = np.empty(0).__reduce__()[0]
            return reconstruct, (np.ndarray, (0,), b"b"), (1, (1,), Type(), False, b"A" * 8)

    return {"v_template": Array()}


@pytest.mark.parametrize("code", ["f8", "V8", "O8", "i8", "S8", "c16", "M8", "f16", "U2"])
@pytest.mark.parametrize("flags", [63, 0, 1])
@pytest.mark.reliability("hostile model files (pickles)")
def test_an_array_of_objects_is_never_filled_from_raw_bytes(tmp_path: Path, code: str, flags: int) -> None:
    """With the flag of objects, numpy would read the eight bytes as the address of an object."""
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(dtype_payload(code, (3, "<", None, None, None, -1, -1, flags)), 2))
    if (code, flags) in (("f8", 0), ("i8", 0)):
        assert load_restricted(path)["v_template"] == np.frombuffer(b"A" * 8, f"<{code}")
        return
    with pytest.raises(
        UsageError, match=r"^\S+model\.pkl asks for an array .*, which no model file needs: .*$"
    ):
        load_restricted(path)


@pytest.mark.parametrize(
    "value", [np.array([{}, []], dtype=object), np.array(["text"]), np.array([1j]), np.zeros(2, "f4,i4")]
)
@pytest.mark.reliability("hostile model files (pickles)")
def test_arrays_of_other_things_than_numbers_are_refused(tmp_path: Path, value: np.ndarray) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"a": value}, 2))
    with pytest.raises(UsageError, match=r"model\.pkl asks for an array .* no model file needs"):
        load_restricted(path)


@pytest.mark.parametrize("code", ["?", "<i2", ">i4", "<u8", ">f4", "<f2", "f8"])
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_every_type_of_number(tmp_path: Path, code: str, protocol: int) -> None:
    value = np.array([[0, 1, 2], [3, 100, 5]]).astype(code)
    path = tmp_path / "model.pkl"
    content = {"c": value, "f": np.asfortranarray(value), "one": value[1, 1], "flat": value.ravel()[::2]}
    path.write_bytes(pickle.dumps(content, protocol))
    loaded = load_restricted(path)
    for key, expected in content.items():
        assert np.array_equal(loaded[key], expected), key
        assert loaded[key].dtype == expected.dtype.newbyteorder("="), key


@pytest.mark.reliability("hostile model files (pickles)")
def test_a_deep_key_does_not_end_the_process(tmp_path: Path) -> None:
    """Python's hash of a tuple that is nested so deep overflows the stack."""
    path = tmp_path / "model.pkl"
    path.write_bytes(b"\x80\x02})" + b"\x85" * 3_000_000 + b"K\x01s.")
    assert load_restricted(path) == {}


def test_tensors_as_in_the_published_embedding(tmp_path: Path) -> None:
    path = tmp_path / "embedding.npy"
    tensor = torch.arange(12).view(3, 4)[1:, ::2]
    np.save(path, np.array({"t": tensor}, dtype=object), allow_pickle=True)
    assert np.array_equal(load_restricted(path)["t"], tensor.numpy())


@pytest.mark.parametrize("content", [b"", b"plain text", pickle.dumps(np.arange(99))[:-40]])
def test_damaged_files_are_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="not an intact pickle"):
        load_restricted(path)
    with pytest.raises(UsageError, match="does not exist"):
        load_restricted(tmp_path / "missing.pkl")


def test_text_is_no_array() -> None:
    with pytest.raises(UsageError, match=r"'weights' in model\.pkl is no array"):
        as_array("lbs", "weights", Path("model.pkl"))
