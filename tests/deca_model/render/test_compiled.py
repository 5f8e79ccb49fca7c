"""Machine code is cached for the next process, but only where Python may write its bytecode."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from deca_model.render.rasterizers.compiled import keeps
from deca_model.render.rasterizers.cpu import draw_image

REPOSITORY = Path(__file__).resolve().parents[3]
PROGRAM = """if True:
    import torch
    from deca_model.render.rasterizers.cpu import compiled_kernel
    from deca_model.render.rasterize import rasterize
    square = torch.tensor([[[-1., -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]])
    seen = rasterize(square, torch.tensor([[0, 1, 2], [0, 2, 3]]), 8).face_index
    print(int(seen.sum()), sum(compiled_kernel().stats.cache_hits.values()))
    """


def run(folder: Path, **names: str) -> list[int]:
    """Pixels of the second triangle, and how many loops came from the cache."""
    kept = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    home = {"HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache"), "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env={**kept, **home, **names}, cwd=folder, capture_output=True,
        text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [int(word) for word in done.stdout.split()]


def test_the_second_process_finds_what_the_first_compiled(tmp_path: Path):
    place = str(tmp_path / "kept")
    assert run(tmp_path, NUMBA_CACHE_DIR=place) == [28, 0]
    assert any((tmp_path / "kept").rglob("*.nbi"))
    assert run(tmp_path, NUMBA_CACHE_DIR=place) == [28, 1]


def test_nothing_is_kept_where_python_must_not_write(tmp_path: Path, monkeypatch):
    before = sorted(REPOSITORY.glob("deca_model/**/*.nb?"))
    assert run(tmp_path, PYTHONDONTWRITEBYTECODE="1") == [28, 0]
    assert not list(tmp_path.iterdir())  # HOME is this folder
    assert sorted(REPOSITORY.glob("deca_model/**/*.nb?")) == before
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert not keeps(draw_image)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    assert keeps(draw_image) == os.access(REPOSITORY / "deca_model", os.W_OK)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert not keeps(draw_image)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert keeps(draw_image)
