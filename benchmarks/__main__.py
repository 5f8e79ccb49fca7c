"""Runs the benchmarks one after the other: `python -m benchmarks [--photos FOLDER] [--labels FOLDER]`.

Those that need photos use the demo's where no folder is given; the one that needs hand-made labels is
left out without them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from pipelines.demo.portraits import make_photos


def main() -> int:
    """Runs them all; returns 1 if one failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="all benchmarks, as tables")
    parser.add_argument("--photos", type=Path, help="a folder of face photos, such as CFP")
    parser.add_argument("--labels", type=Path, help="photos with hand-made labels, as FASSEG's frontal02")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        photos = given.photos
        if photos is None:
            photos = Path(folder) / "vggface2"
            make_photos(photos)
        manifest = _manifest(photos, Path(folder))
        calls = [
            ["landmarks", "--photos", str(photos)],
            ["throughput", "--photos", str(photos)],
            ["scale", "--rows", "10000", "100000"],
            ["large", "--photos", str(photos)],
            ["memory", "--photos", str(photos), "--counts", "100", "400"],
            ["rasterizer"],
            ["loader", "--manifest", str(manifest), "--pack", str(manifest.parent / "packed")],
            ["training", "--manifest", str(manifest), "--preset", "cpu"],
        ]
        calls += [["masks", "--labels", str(given.labels)]] if given.labels else []
        calls += [["planted", "--photos", str(photos)]] if given.photos else []
        return max(_run(call) for call in calls)


def _manifest(photos: Path, folder: Path) -> Path:
    """A manifest and a pack of the photos, made by the commands."""
    tool = str(Path(sys.executable).parent / "deca-data")
    for words in (["run", str(photos)], ["build-manifest", "--recipe", "keep-all"], ["pack"]):
        subprocess.run([tool, *words, "--quiet"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return folder / "train.parquet"


def _run(call: list[str]) -> int:
    print(f"\n$ python -m benchmarks.{' '.join(call)}", flush=True)
    return min(1, subprocess.run([sys.executable, "-m", f"benchmarks.{call[0]}", *call[1:]]).returncode)


if __name__ == "__main__":
    sys.exit(main())
