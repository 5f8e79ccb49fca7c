"""Builds the open head's array file: ``python -m benchmarks.build_head [FILE | --check]``.

It joins the two halves of the project: the head comes from `deca_model.heads.building`, and the landmarks in
its renders are found as those of photos are, by `deca_data`. Needs the extras ``head`` and ``data``.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from deca_data.backends.mediapipe.landmarks import ibug_landmarks
from deca_model.heads.building.mesh import load_source
from deca_model.heads.building.open_head import build, differences
from deca_model.heads.open_head import OPEN_HEAD, load_open_head, save_open_head


def main() -> None:
    """Build the head and write it, or with ``--check`` compare it with the file in the package."""
    built = build(load_source(), ibug_landmarks)
    if sys.argv[1:] == ["--check"]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / OPEN_HEAD.name
            save_open_head(built, path)
            found = differences(load_open_head(path), load_open_head())
        print("\n".join(found) or f"{OPEN_HEAD.name}: the new build is equal")
        sys.exit(1 if found else 0)
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else OPEN_HEAD
    save_open_head(built, path)
    print(f"{path}: {path.stat().st_size / 2**20:.2f} MiB")


if __name__ == "__main__":
    main()
