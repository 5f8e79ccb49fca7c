"""The Triton kernels: in Triton's interpreter against the references, compiled for GPUs, when used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from deca_model.render import rasterize
from deca_model.render.rasterizers import tensor, triton_found
from deca_model.render.rasterizers.triton_found import triton_works

ROOT = Path(__file__).resolve().parents[3]
COMPILE = """if True:
    import sys
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    from deca_model.render.rasterizers import triton_kernels

    WHOLE = ("vertex_count", "face_count", "height", "width")
    INDEX = ("index", "faces", "keys")

    def compiled(kernel, real, generation, **options):
        kind = {"block": "constexpr", **dict.fromkeys(WHOLE, "i32"), **dict.fromkeys(INDEX, "*i64")}
        signature = {name: kind.get(name, f"*{real}") for name in kernel.arg_names}
        block = {(kernel.arg_names.index("block"),): 32}
        source = ASTSource(fn=kernel, signature=signature, constexprs=block)
        return triton.compile(source, target=GPUTarget("cuda", generation, 32), options=options)

    for generation in (80, 90):
        drawn = compiled(triton_kernels.draw, "fp32", generation, num_warps=1, enable_fp_fusion=False)
        assert "fma." not in drawn.asm["ptx"]
        assert "min.s64" in drawn.asm["ptx"]
        assert "div.rn.f32" in drawn.asm["ptx"]
        assert drawn.asm["cubin"]
    for real in ("fp32", "fp64"):
        assert compiled(triton_kernels.locate, real, 90).asm["cubin"]
        assert compiled(triton_kernels.locate_gradient, real, 90).asm["cubin"]
    """


def start(words: list[str], **names: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **names}
    return subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600
    )


def test_the_kernels_equal_the_references_in_tritons_interpreter() -> None:
    pytest.importorskip("triton", reason="torch brings Triton only on Linux")
    file = str(Path(__file__).with_name("triton_checks.py"))
    done = start(
        ["-m", "pytest", "-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib", file],
        TRITON_INTERPRET="1",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 passed" in done.stdout


def test_the_kernels_compile_for_gpus_without_one(tmp_path: Path) -> None:
    pytest.importorskip("triton", reason="torch brings Triton only on Linux")
    (tmp_path / "compile.py").write_text(COMPILE)
    done = start(
        [str(tmp_path / "compile.py")], TRITON_CACHE_DIR=str(tmp_path / "cache"), TRITON_INTERPRET="0"
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_gpu_gets_triton_where_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("triton", reason="torch brings Triton only on Linux")
    from deca_model.render.rasterizers import triton_mesh

    gpu, other = torch.device("cuda"), torch.device("mps")
    for works, kernel in ((True, triton_mesh), (False, tensor)):
        monkeypatch.setattr(rasterize, "triton_works", lambda works=works: works)
        assert rasterize.kernels("builtin", gpu) is kernel
        assert rasterize.kernels("builtin", other) is tensor


@pytest.mark.parametrize("missing", ["nothing", "triton", "compiler", "headers", "cache"])
def test_triton_needs_a_compiler_headers_and_a_cache(
    missing: str, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    (tmp_path / "Python.h").touch()
    headers = tmp_path / "none" if missing == "headers" else tmp_path
    compiler = None if missing == "compiler" else "/usr/bin/gcc"
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(
        triton_found.importlib.util, "find_spec", lambda _: None if missing == "triton" else 1
    )
    monkeypatch.setattr(triton_found.shutil, "which", lambda _: compiler)
    monkeypatch.setattr(triton_found.sysconfig, "get_paths", lambda scheme: {"include": str(headers)})
    (tmp_path / "file").touch()
    monkeypatch.setenv(
        "TRITON_CACHE_DIR", str(tmp_path / ("file" if missing == "cache" else "new") / "cache")
    )
    triton_works.cache_clear()
    try:
        assert triton_works() == (missing == "nothing")
    finally:
        triton_works.cache_clear()
