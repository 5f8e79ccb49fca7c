"""How much emotion the codes contain: a small network predicts valence, arousal and expression from them.

As in Danecek et al. 2022 ("EMOCA", section 5): a network of four layers is trained on the codes of labelled
faces, and its predictions for other faces are compared with their labels. Its input is what an animator gets:
the expression code and the jaw pose, and the detail code if details are wanted.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

from deca_model.data.manifest_faces import face_table
from deca_model.networks.model import Deca
from deca_model.training.validation import HeldOut
from manifests.errors import UsageError
from manifests.reading import NEEDED, open_manifest

CLASSES = 8
"""AffectNet's expressions 0 to 7; 8 to 10 are no emotion, uncertain and no face."""
_LABELS = ("valence", "arousal", "expression")
_HIDDEN, _LAYERS, _EPOCHS, _BATCH, _RATE, _DECAY = 256, 4, 40, 128, 1e-3, 1e-2


class Labels(NamedTuple):
    """Labels or predictions of N faces."""

    affect: np.ndarray  # (N, 2) valence and arousal, -1 to 1
    expression: np.ndarray  # (N,) int64, 0 to 7; -1 if there is none


class Labelled(NamedTuple):
    """Labelled faces and their codes."""

    features: np.ndarray  # (N, D)
    labels: Labels


def encode_labelled(
    model: Deca, size: int, manifest: Path, roots: dict[str, Path], details: bool
) -> Labelled:
    """The codes of a manifest's faces that have valence and arousal.

    Args:
        model: in evaluation mode.
        size: side of its crops.
        manifest: a manifest with AffectNet's labels.
        roots: folders that moved since the manifest was made, by name.
        details: whether to add the detail code.

    Raises:
        UsageError: no face has these labels.
    """
    opened = open_manifest(manifest, roots, needed=(*NEEDED, *_LABELS))
    rows = _labelled_rows(opened.table, manifest)
    table = face_table([dataclasses.replace(opened, table=rows)])
    held_out = HeldOut(table, size, len(table), scale=model.crop_scale)
    features = []
    for batch in held_out.batches():
        photos = batch.to(model.head.template.device).faces()
        with torch.no_grad():
            codes = model.encode(photos)
            parts = [codes.expression, codes.pose[:, 3:]]
            if details:
                parts.append(model.encode_detail(photos))
        features.append(torch.cat(parts, dim=1).float().cpu().numpy())
    return Labelled(np.concatenate(features), _labels(rows))


def read_labels(manifest: Path) -> tuple[list[str], Labels]:
    """The names and labels of a manifest's faces that have valence and arousal.

    Raises:
        UsageError: the file is no manifest, or no face has these labels.
    """
    opened = open_manifest(manifest, needed=(*NEEDED, *_LABELS), check_roots=False)
    rows = _labelled_rows(opened.table, manifest)
    return rows["sample_id"].to_pylist(), _labels(rows)


def fit_and_read(known: Labelled, asked: np.ndarray, seed: int = 0) -> Labels:  # (M, D) codes
    """Train the network on known faces and predict the labels of the asked ones; the seed fixes the result.

    Raises:
        UsageError: there is only one known face.
    """
    if len(known.features) < 2:
        raise UsageError("one labelled face is too few to learn from; give more with --fit.")
    middle, spread = known.features.mean(0), known.features.std(0) + 1e-6

    def tensor(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy((values - middle) / spread).float()

    inputs, affect = tensor(known.features), torch.from_numpy(known.labels.affect).float()
    classes = torch.from_numpy(known.labels.expression)
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _network(inputs.shape[1])
    optimizer = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=_DECAY)
    for _ in range(_EPOCHS):
        for rows in torch.randperm(len(inputs), generator=generator).split(_BATCH):
            if len(rows) < 2:  # batch norm needs two faces
                continue
            answers = network(inputs[rows])
            loss = mse_loss(answers[:, :2], affect[rows])
            if (classes[rows] >= 0).any():
                loss = loss + 0.1 * cross_entropy(answers[:, 2:], classes[rows], ignore_index=-1)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
    network.eval()
    with torch.no_grad():
        answers = network(tensor(asked)).double().numpy()
    return Labels(answers[:, :2].clip(-1, 1), answers[:, 2:].argmax(axis=1))


def compare(predicted: Labels, truth: Labels) -> dict[str, float]:
    """The published figures; expression accuracy over the faces that have a class on both sides."""
    figures = emotion_figures(predicted.affect, truth.affect)
    both = (predicted.expression >= 0) & (truth.expression >= 0)
    if both.any():
        figures["expression_accuracy"] = expression_accuracy(
            predicted.expression[both], truth.expression[both]
        )
    return {**figures, "faces": len(truth.affect)}


def emotion_figures(
    predicted: np.ndarray,  # (N, 2) valence, arousal
    truth: np.ndarray,  # (N, 2)
) -> dict[str, float]:
    """PCC, CCC, RMSE and SAGR of valence and arousal, as in EMOCA's table.

    They are computed over the whole set. EMOCA's code takes means of batches, which are biased.
    CCC (Lin 1989) = 2 cov / (var + var + (difference of means)^2); SAGR is the share of equal signs.
    """
    figures = {}
    for column, name in enumerate(("valence", "arousal")):
        ours, theirs = (np.asarray(values, np.float64)[:, column] for values in (predicted, truth))
        covariance = np.mean((ours - ours.mean()) * (theirs - theirs.mean()))
        spread = ours.std() * theirs.std()
        gap = (ours.mean() - theirs.mean()) ** 2
        figures[f"{name}_pcc"] = float(covariance / spread) if spread > 0 else float("nan")
        figures[f"{name}_ccc"] = float(2 * covariance / max(ours.var() + theirs.var() + gap, 1e-12))
        figures[f"{name}_rmse"] = float(np.sqrt(np.mean((ours - theirs) ** 2)))
        figures[f"{name}_sagr"] = float(np.mean(np.sign(ours) == np.sign(theirs)))
    return figures


def expression_accuracy(predicted: np.ndarray, truth: np.ndarray) -> float:  # (N,), (N,) classes
    """Share of correct classes."""
    return float(np.mean(np.asarray(predicted) == np.asarray(truth)))


def read_predictions(path: Path, sample_ids: list[str]) -> Labels:
    """Predictions of another program from a CSV: sample_id, valence, arousal and optionally expression.

    Raises:
        UsageError: the file or a column is missing, a value is no number, or a face has no prediction.
    """
    import pandas as pd

    try:
        frame = pd.read_csv(path, dtype={"sample_id": str})
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: this is not a readable CSV file ({error}).") from error
    missing = [name for name in ("sample_id", "valence", "arousal") if name not in frame.columns]
    if missing:
        raise UsageError(f"{path}: it lacks the columns {', '.join(missing)}.")
    frame = frame.drop_duplicates("sample_id", keep="last").set_index("sample_id")
    absent = [name for name in sample_ids if name not in frame.index]
    if absent:
        raise UsageError(f"{path}: {len(absent)} faces of the manifest are not in it, such as {absent[0]}.")
    frame = frame.loc[sample_ids]
    try:
        affect = frame[["valence", "arousal"]].to_numpy(np.float64)
        classes = frame["expression"].fillna(-1).to_numpy(np.int64) if "expression" in frame else None
    except (TypeError, ValueError) as error:
        raise UsageError(f"{path}: a value is no number ({error}).") from error
    if not np.isfinite(affect).all():
        raise UsageError(f"{path}: a valence or arousal is empty or not finite.")
    return Labels(affect, np.full(len(affect), -1) if classes is None else classes)


def _labelled_rows(table: pa.Table, manifest: Path) -> pa.Table:
    """The usable rows that have valence and arousal."""
    usable = pc.equal(table["status"], "ok")  # type: ignore[attr-defined]
    for name in ("landmarks", "valence", "arousal"):
        usable = pc.and_(usable, pc.is_valid(table[name]))  # type: ignore[attr-defined]
    rows = table.filter(usable)
    if rows.num_rows == 0:
        raise UsageError(f"{manifest}: no face has valence and arousal; build it from AffectNet.")
    return rows


def _labels(rows: pa.Table) -> Labels:
    affect = np.stack([rows[name].to_numpy() for name in _LABELS[:2]], axis=1).astype(np.float64)
    classes = rows["expression"].fill_null(-1).to_numpy().astype(np.int64)
    classes[(classes < 0) | (classes >= CLASSES)] = -1
    return Labels(affect, classes)


def _network(inputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    width = inputs
    for _ in range(_LAYERS - 1):
        layers += [nn.Linear(width, _HIDDEN), nn.BatchNorm1d(_HIDDEN), nn.LeakyReLU(0.2)]
        width = _HIDDEN
    return nn.Sequential(*layers, nn.Linear(width, 2 + CLASSES))
