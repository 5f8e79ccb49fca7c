"""Runs the benchmarks and writes their tables into BENCHMARKS.md.

    python -m benchmarks --sets FOLDER [--only NAME ...]
    python -m benchmarks --photos FOLDER --labels FOLDER ... [--only NAME ...]
    python -m benchmarks --trial FILE

FOLDER of `--sets` holds the development sets under the names in `SETS`; an option that names its own folder
goes before it. A benchmark that needs an option that is not given is left out. One that fails keeps its old
table; it is named at the end, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from benchmarks.runner import ROOT, Job, run_all
from pipelines.demo.portraits import make_photos

DOCUMENT = ROOT / "BENCHMARKS.md"


class Benchmark(NamedTuple):
    """How a benchmark is called.

    Attributes:
        words: its options; words in capitals are places for what is given or made.
        trial: options for the smallest input; they come last, so that they replace others.
        one_thread: run it with `OMP_NUM_THREADS=1`.
    """

    words: str
    trial: str = ""
    one_thread: bool = False


BENCHMARKS = {
    "landmarks": Benchmark("--photos PHOTOS"),
    "fit_landmark_map": Benchmark("--landmarks LANDMARKS"),
    "head_pose": Benchmark("--angles ANGLES"),
    "fit_likeness": Benchmark("--people PHOTOS --animals ANIMALS"),
    "masks": Benchmark("--labels LABELS"),
    "large": Benchmark("--photos PHOTOS --every 50", "--every 16", one_thread=True),
    "fitting": Benchmark("--photos PHOTOS --landmarks LANDMARKS --every 10", "--every 50", one_thread=True),
    "carried": Benchmark("--drivers PHOTOS --every 10", "--every 200", one_thread=True),
    "fitting_outline": Benchmark(
        "--photos PHOTOS --angles ANGLES", "--persons 1 --rendered 1", one_thread=True
    ),
    "redetection": Benchmark("", "--persons 5"),
    "rasterizer": Benchmark("--images 2 --repeats 3", "--images 1 --repeats 1", one_thread=True),
    "loader": Benchmark("--manifest MANIFEST --pack PACK --faces 200", "--faces 8"),
    "training": Benchmark("--manifest MANIFEST --preset cpu --steps 4", "--steps 1", one_thread=True),
    "training_run": Benchmark(
        "--manifest MANIFEST --landmarks LANDMARKS",
        "--set pretrain.steps=3 coarse.steps=3 detail.steps=3",
        one_thread=True,
    ),
    "moved": Benchmark("--photos PHOTOS", "--draws 2"),
    "planted": Benchmark("--photos PHOTOS --seed 0 1 2 3 4 5", "--seed 0"),
    "throughput": Benchmark("--photos PHOTOS --rounds 5 --plain-every 40", "--rounds 1 --plain-every 16"),
    "embedded_networks": Benchmark("--photos PHOTOS --count 200", "--count 2 --rounds 1", one_thread=True),
    "scale": Benchmark("--manifest MANIFEST --rows 10000 100000 1000000 10000000", "--rows 1000"),
    "manifest_memory": Benchmark("--rows 100000 1000000", "--rows 1000"),
    "memory": Benchmark("--photos PHOTOS", "--counts 16 32"),
    "unchanged": Benchmark("--against COMMIT --photos PHOTOS --count 200", "--count 1"),
}

NEEDS = {
    **{"PHOTOS": "photos", "MANIFEST": "photos", "LABELS": "labels", "COMMIT": "against"},
    **{"LANDMARKS": "landmarks", "ANGLES": "angles", "ANIMALS": "animals"},
}
"""The option that a place depends on."""

SETS = {
    "photos": ("cfp",),
    "labels": ("parsing", "parsing_angles"),
    "landmarks": ("landmarks68",),
    "angles": ("parsing_angles",),
    "animals": ("animals",),
}
"""The folders below that of `--sets` which stand for an option; those that are not there are left out."""


def main() -> int:
    """Returns 1 if a benchmark failed."""
    given = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        if given.trial is not None:
            given.trial.write_bytes(DOCUMENT.read_bytes())
            given.photos = given.photos or _demo_photos(Path(folder))
        missing = {name: _missing(name, given) for name in given.only or BENCHMARKS}
        places = _places(given, [name for name in missing if not missing[name]], Path(folder))
        jobs = [_job(name, places, given.trial is not None) for name in missing if not missing[name]]
        failed = run_all(jobs, given.trial or DOCUMENT)
    for name, options in missing.items():
        if options:
            print(f"{name}: left out; it needs {' and '.join(options)}", file=sys.stderr)
    if failed:
        print(f"failed, their old tables stay: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", type=Path, help="a folder of all the sets below: cfp, parsing, ...")
    parser.add_argument("--photos", type=Path, help="face photos, a folder per person, such as CFP")
    parser.add_argument("--labels", type=Path, nargs="+", help="photos with hand-made labels, as FASSEG's")
    parser.add_argument("--landmarks", type=Path, help="folders of photos with hand-made 68 points")
    parser.add_argument("--angles", type=Path, help="heads at known angles, as FASSEG V3")
    parser.add_argument("--animals", type=Path, help="photos of animals")
    parser.add_argument("--against", help="the commit that `unchanged` compares with")
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument(
        "--trial",
        type=Path,
        metavar="FILE",
        help="smallest inputs (default: the demo's photos); tables go into FILE, a copy of BENCHMARKS.md",
    )
    given = parser.parse_args()
    if given.sets is not None:
        _take_sets(given, parser)
    return given


def _take_sets(given: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Fills the options that are not given from the folder of all sets."""
    for option, names in SETS.items():
        there = [given.sets / name for name in names if (given.sets / name).is_dir()]
        if there and getattr(given, option) is None:
            setattr(given, option, there if option == "labels" else there[0])
    if all(getattr(given, option) is None for option in SETS):
        known = ", ".join(dict.fromkeys(name for names in SETS.values() for name in names))
        parser.error(f"--sets {given.sets}: none of the folders {known} is there")


def _demo_photos(folder: Path) -> Path:
    make_photos(folder / "vggface2")
    return folder / "vggface2" / "train"


def _missing(name: str, given: argparse.Namespace) -> list[str]:
    """The options that a benchmark needs and that are not given."""
    words = BENCHMARKS[name].words.split()
    options = {option for place, option in NEEDS.items() if place in words}
    return [f"--{option}" for option in sorted(options) if getattr(given, option) is None]


def _places(given: argparse.Namespace, names: list[str], folder: Path) -> dict[str, list[str]]:
    """What each word in capitals stands for; a manifest and a pack are made if a benchmark needs them."""
    made = {"MANIFEST"}  # below, from the photos
    places = {place: getattr(given, option) for place, option in NEEDS.items() if place not in made}
    if any("MANIFEST" in BENCHMARKS[name].words for name in names):
        tool = str(Path(sys.executable).parent / "deca-data")
        recipe = "deca-paper" if given.trial is None else "keep-all"  # the demo has few photos without faults
        run = ["run", str(given.photos.resolve()), "--dataset", "folder", "--dense"]
        for words in (run, ["build-manifest", "--recipe", recipe], ["pack"]):
            print(f"$ deca-data {words[0]}", file=sys.stderr, flush=True)
            subprocess.run([tool, *words, "--quiet"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        places |= {"MANIFEST": folder / "train.parquet", "PACK": folder / "packed" / "train.json"}
    return {
        place: [str(each) for each in (value if isinstance(value, list) else [value])]
        for place, value in places.items()
    }


def _job(name: str, places: dict[str, list[str]], trial: bool) -> Job:
    benchmark = BENCHMARKS[name]
    words = [
        "-m",
        f"benchmarks.{name}",
        *benchmark.words.split(),
        *(benchmark.trial.split() if trial else []),
    ]
    variable = "OMP_NUM_THREADS=1 " if benchmark.one_thread else ""
    command = [sys.executable, *(each for word in words for each in places.get(word, [word]))]
    return Job(name, f"{variable}python {' '.join(words)}", command, benchmark.one_thread)


if __name__ == "__main__":
    sys.exit(main())
