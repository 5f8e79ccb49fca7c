"""Runs the tests that need a CUDA device, and writes their results into BENCHMARKS.md.

    python -m benchmarks.gpu_checks            # as `make gpu`
    python -m benchmarks.gpu_checks --dry      # the same tests on the CPU; writes into a copy of the document

Needs Python with torch, the extra `train`, pytest, psutil and scikit-image. What needs more (facexlib,
face-alignment, two GPUs) is skipped, and the table says why. The table is written even if a test fails; then
the exit code is 1.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.tables import markdown, write_table
from manifests.errors import UsageError, WorkFailed

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "BENCHMARKS.md"
TESTS = (
    "tests/deca_model/render/test_gpu_rasterizer.py",
    "tests/deca_model/training/test_gpu_steps.py",
    "tests/deca_data/backends/test_gpu_backends.py",
)
NEEDED = {
    **{"torch": "torch", "torchvision": "torchvision", "numba": "numba", "tensorboard": "tensorboard"},
    **{"cv2": "opencv-python", "PIL": "pillow", "ruamel.yaml": "ruamel.yaml"},
    **{
        name: name for name in ("numpy", "pandas", "pyarrow", "pydantic", "rich", "typer", "psutil", "pytest")
    },
    "skimage": "scikit-image",
}
"""Modules, and the packages that have them."""

LIMIT = 25 * 60
"""Seconds for all tests."""


def main() -> int:
    """Returns 1 if a test failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dry", action="store_true", help="run the tests on the CPU")
    parser.add_argument("--document", type=Path, help="write into this file, which has the markers")
    parser.add_argument("--only", default="", metavar="EXPRESSION", help="pytest's -k")
    given = parser.parse_args()
    try:
        check_packages()
        document = given.document or (dry_document() if given.dry else DOCUMENT)
        with tempfile.TemporaryDirectory() as folder:
            results = run_tests(Path(folder) / "results.xml", given.dry, given.only)
            failed, table = summary(results)
        write_table(
            document, "gpu_checks", f"`make gpu{' DRY=1' if given.dry else ''}`\n\n{table}\n\n{where()}"
        )
    except (UsageError, WorkFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    print(table)
    print(f"written: {document}", file=sys.stderr)
    return 1 if failed else 0


def check_packages() -> None:
    """Make sure that the tests can be imported.

    Raises:
        UsageError: names the packages that this Python lacks.
    """
    missing = [package for module, package in NEEDED.items() if not _found(module)]
    if missing:
        raise UsageError(
            f"{sys.executable} has no {', '.join(missing)}; `make setup` makes an environment with "
            f"everything, or install them there: {sys.executable} -m pip install {' '.join(missing)}"
        )


def dry_document() -> Path:
    """A copy of the document, for tables that say nothing about a GPU."""
    copy = ROOT / "build" / "BENCHMARKS-dry.md"
    copy.parent.mkdir(exist_ok=True)
    if not copy.is_file():
        shutil.copyfile(DOCUMENT, copy)
    return copy


def run_tests(results: Path, dry: bool, only: str = "") -> Path:
    """Run the tests; ``results`` becomes pytest's report in JUnit's format.

    Raises:
        UsageError: there is no CUDA device.
        WorkFailed: the tests could not be run, or took too long.
    """
    import torch

    if not dry and not torch.cuda.is_available():
        raise UsageError(
            "torch sees no CUDA device here; on a machine without one, `make gpu DRY=1` runs the same tests "
            "on the CPU."
        )
    words = ["-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider", f"--junitxml={results}", *TESTS]
    environment = {**os.environ, **({"DECA_GPU_DRY": "1"} if dry else {})}
    try:
        subprocess.run(
            [sys.executable, *words, *(["-k", only] if only else [])],
            cwd=ROOT, env=environment, stdout=sys.stderr, timeout=LIMIT,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise WorkFailed(f"the tests took more than {LIMIT // 60} minutes and were stopped.") from None
    if not results.is_file():
        raise WorkFailed("pytest wrote no results; its messages are above.")
    return results


def summary(results: Path) -> tuple[bool, str]:
    """Whether a test failed or none ran, and the table of all."""
    rows, failed, passed = [], False, False
    for case in ElementTree.parse(results).getroot().iter("testcase"):
        properties = case.findall("properties/property")
        said = "; ".join(each.attrib["value"] for each in properties if each.attrib["name"] == "figure")
        outcome, reason = "passed", said
        if (skipped := case.find("skipped")) is not None:
            outcome, reason = "skipped", skipped.attrib.get("message", "")
        for kind in ("failure", "error"):
            if (bad := case.find(kind)) is not None:
                outcome, reason = "failed", bad.attrib.get("message", "")
        failed, passed = failed or outcome == "failed", passed or outcome == "passed"
        name = (
            case.attrib["name"].removeprefix("test_").replace("_", " ").replace("[", " (").replace("]", ")")
        )
        text = " ".join(reason.split()).replace("|", "/")[:160]
        rows.append([name, outcome, f"{float(case.attrib['time']):.1f}", text])
    return failed or not passed, markdown(["check", "result", "seconds", "figures"], rows)


def where() -> str:
    """The line of machine, versions and commit."""
    from benchmarks.provenance import provenance

    return provenance(ROOT)


def _found(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of the package around it
        return False


if __name__ == "__main__":
    sys.exit(main())
