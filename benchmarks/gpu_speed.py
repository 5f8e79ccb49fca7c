"""Measures on a CUDA device, and writes the tables into BENCHMARKS.md.

    python -m benchmarks.gpu_speed            # as `make bench-gpu`
    python -m benchmarks.gpu_speed --dry      # the smallest inputs, on the CPU; writes into a copy

Needs what `benchmarks.gpu_checks` needs. A table that cannot be made keeps its old content; its benchmark is
named at the end, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

from benchmarks.gpu_checks import DOCUMENT, check_packages, dry_document
from benchmarks.runner import Job, run_all
from manifests.errors import UsageError


class Measure(NamedTuple):
    """The module of a benchmark, its options on a GPU, and those of a trial on the CPU."""

    module: str
    words: str
    trial: str


TINY = " ".join(
    f"--set {name}"
    for name in (
        *("data.size=64", "data.workers=1", "model.render_size=64", "model.uv_size=64"),
        *("pretrain.subjects=2", "coarse.subjects=1", "coarse.images=2", "detail.subjects=1"),
    )
)
"""Settings for the smallest training."""

MEASURES = {
    "gpu_training": Measure("gpu_training", "", "--device cpu --preset cpu --steps 1 --most 1 " + TINY),
    "gpu_rasterizer": Measure(
        "rasterizer", "--device cuda --images 32 --repeats 20", "--images 1 --repeats 1"
    ),
    "gpu_stages": Measure("gpu_stages", "", "--device cpu --photos 4 --batches 2 --networks arcface"),
}


def main() -> int:
    """Returns 1 if a benchmark failed, 2 if none can run here."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dry", action="store_true", help="smallest inputs, on the CPU")
    parser.add_argument("--document", type=Path, help="write into this file, which has the markers")
    parser.add_argument("--only", nargs="+", choices=MEASURES, metavar="NAME", help=", ".join(MEASURES))
    given = parser.parse_args()
    try:
        check_packages()
        if not given.dry:
            _check_device()
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    document = given.document or (dry_document() if given.dry else DOCUMENT)
    failed = run_all([job(name, given.dry) for name in given.only or MEASURES], document)
    print(f"written: {document}", file=sys.stderr)
    if failed:
        print(f"failed, their old tables stay: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def job(name: str, dry: bool) -> Job:
    """The benchmark as a process."""
    measure = MEASURES[name]
    words = ["-m", f"benchmarks.{measure.module}", *(measure.trial if dry else measure.words).split()]
    return Job(name, f"python {' '.join(words)}", [sys.executable, *words])


def _check_device() -> None:
    import torch

    if not torch.cuda.is_available():
        raise UsageError(
            "torch sees no CUDA device here; on a machine without one, `make bench-gpu DRY=1` tries the same "
            "benchmarks on the CPU."
        )


if __name__ == "__main__":
    sys.exit(main())
