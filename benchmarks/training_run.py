"""What a training run of three stages learns: losses at its beginning and end, and held-out figures.

    python -m benchmarks.training_run --manifest train.parquet [--preset cpu] [--set NAME=VALUE ...]
        [--landmarks FOLDER]

`deca train --stage all` runs on the manifest, with the held-out faces of `val.parquet` beside it. The figures
are those of the run's own `metrics.jsonl`: means over the first and the last 20 steps, and the held-out
figures of the last step. LANDMARKS holds photos with hand-made 68 points (NAME.txt beside NAME.jpg), which no
part of the training has seen: there the model's landmarks are compared with a person's.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

import manifests
from benchmarks.cost import measure
from benchmarks.fitting import ANOTHER_FACE, HEADER, relative, row
from benchmarks.tables import markdown
from deca_model.training.records import read_metrics
from deca_model.use.inference import load_model, reconstruct
from pipelines.photo_faces import FaceFinder, list_photos

STAGES = ("pretrain", "coarse", "detail")
STEPS = 20
TURNED = 30  # degrees
NO_FIGURE = {
    "kind",
    "step",
    "epoch",
    "learning_rate",
    "faces_per_step",
    "images_per_second",
    "waiting_share",
    "gradient_norm",
}
NO_LOSS = {*NO_FIGURE, "without_mask"}
LOSSES = ["stage", "loss", "first step", f"first {STEPS}", f"last {STEPS}", f"last {STEPS} over first step"]

Records = Sequence[Mapping[str, float]]


def main() -> None:
    """Prints two Markdown tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--preset", default="cpu")
    parser.add_argument("--set", dest="settings", nargs="+", default=[], metavar="NAME=VALUE")
    parser.add_argument("--landmarks", type=Path, help="folders of photos with hand-made 68 points")
    given = parser.parse_args()
    tool = str(Path(sys.executable).parent / "deca")
    line = [tool, "train", "--manifest", str(given.manifest.resolve()), "--stage", "all"]
    line += ["--preset", given.preset, "--out", "run", "--quiet"]
    for setting in ["log.every=1", *given.settings]:
        line += ["--set", setting]
    with tempfile.TemporaryDirectory() as folder:
        cost = measure(line, Path(folder))
        records = {stage: read_metrics(Path(folder) / "run" / stage / "metrics.jsonl") for stage in STAGES}
        by_hand = [] if given.landmarks is None else [_by_hand(Path(folder) / "run", given.landmarks)]
    losses = [row for stage in STAGES for row in _loss_rows(stage, _of_kind("train", records[stage]))]
    print(markdown(LOSSES, losses))
    print("\nOn the held-out faces, after the last step of each stage:\n")
    print(
        markdown(["figure", *STAGES], _held_out([_of_kind("validation", records[stage]) for stage in STAGES]))
    )
    if by_hand:
        print("\nOn photos with hand-made landmarks, after the last stage:\n")
        print(markdown(HEADER, by_hand))
    print(f"\n{_photos(given.manifest)}; {cost.clock / 60:.1f} minutes, {cost.cpu / 60:.1f} CPU minutes.")


def _of_kind(kind: str, records: Sequence[Mapping]) -> Records:
    return [record for record in records if record["kind"] == kind]


def _loss_rows(stage: str, records: Records) -> list[list[str]]:
    rows = []
    for name in (name for name in records[0] if name not in NO_LOSS):
        values = np.array([record[name] for record in records])
        first, last = values[:STEPS].mean(), values[-STEPS:].mean()
        ratio = f"{last / values[0]:.2f}" if values[0] else ""
        rows.append([stage, name, *(f"{each:.3g}" for each in (values[0], first, last)), ratio])
    return rows


def _held_out(stages: Sequence[Records]) -> list[list[str]]:
    """A row for each figure, a column for each stage; empty without held-out faces."""
    last = [records[-1] if records else {} for records in stages]
    names = dict.fromkeys(name for record in last for name in record if name not in NO_FIGURE)
    return [[name, *(f"{each[name]:.4g}" if name in each else "" for each in last)] for name in names]


def _by_hand(run: Path, folder: Path) -> list[object]:
    """The reconstruction's landmarks against those that a person made."""
    model, size = load_model(run, torch.device("cpu"))
    files = [file for file in list_photos([folder]) if file.path.with_suffix(".txt").is_file()]
    found, reference, seconds = [], [], 0.0
    for face in FaceFinder().find(files):
        truth = np.loadtxt(face.path.with_suffix(".txt"))
        if relative(face.landmarks[None], truth[None])[0].mean() > ANOTHER_FACE:
            continue
        start = time.process_time()
        found.append(reconstruct(model, size, [face.image], [face.landmarks]).landmarks()[0])
        seconds += time.process_time() - start
        reference.append(truth)
    return row("hand-made points", "by hand", np.stack(found), np.stack(reference), seconds / len(found))


def _photos(manifest: Path) -> str:
    """How many photos there are to train on, and the share of turned heads."""
    faces = manifests.read(manifest)
    yaw = faces.loc[faces["status"] == "ok", "yaw"].to_numpy(dtype=float, na_value=np.nan)
    share = np.mean(np.abs(yaw) > TURNED)
    return f"{len(yaw):,} photos, {share:.0%} of them turned by more than {TURNED} degrees"


if __name__ == "__main__":
    main()
