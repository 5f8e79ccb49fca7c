"""No pickle from outside is executed; the real formats are read."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deca_model.files.restricted_pickle import as_array, load_restricted
from manifests.errors import UsageError


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
def test_attacks_are_refused_and_not_executed(tmp_path: Path, attack: int, protocol: int) -> None:
    mark, path = tmp_path / "executed", tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"v_template": _attacks(mark)[attack]}, protocol))
    with pytest.raises(UsageError, match=r"model\.pkl asks for .* no model file needs"):
        load_restricted(path)
    assert not mark.exists()


def test_attack_inside_an_npy_and_inside_a_storage(tmp_path: Path) -> None:
    mark, path = tmp_path / "executed", tmp_path / "embedding.npy"
    np.save(path, np.array({"a": Command(os.system, f"touch {mark}")}, dtype=object), allow_pickle=True)
    with pytest.raises(UsageError, match="no model file needs"):
        load_restricted(path)
    inner = tmp_path / "inner.pth"
    torch.save(Command(os.system, f"touch {mark}"), inner, _use_new_zipfile_serialization=False)
    load_storage = torch.storage._load_from_bytes  # type: ignore[attr-defined]
    path.write_bytes(pickle.dumps(Command(load_storage, inner.read_bytes()), 2))
    with pytest.raises(UsageError, match="not an intact pickle"):
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


@pytest.mark.parametrize("kind", ["csc_matrix", "csr_matrix"])
def test_scipys_sparse_matrices(tmp_path: Path, kind: str) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    dense = np.diag([1.0, 2, 3])[:2] + np.eye(2, 3, 1)
    path = tmp_path / "sparse.pkl"
    path.write_bytes(pickle.dumps(getattr(sparse, kind)(dense), 2))
    assert np.array_equal(as_array(load_restricted(path), "J_regressor", path), dense)


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
