"""EMOCA's emotion readout: an MLP learns valence, arousal and expression from the codes of labelled faces.

The protocol is EmoDECA's, by which the emotion table of Danecek et al. 2022 ("EMOCA", section 5) was made.
Its sources are in EMOCA's repository; the released configuration is
``gdl_apps/EmotionRecognition/training/emoca_coarse.yaml``, here "yaml":

- input: shape, expression and jaw pose, as they are (yaml: use_identity, use_expression, use_jaw_pose), and
  the detail code for the rows "with details" (use_detail_code);
- network: four hidden layers of 2048 (yaml: num_mlp_layers, mlp_dim), each linear, batch norm
  (mlp_norm_layer) and leaky ReLU of slope 0.2, then a linear layer (``gdl/models/MLP.py``); its outputs are
  the logits of 8 expressions (n_expression), valence and arousal, without an activation (v_activation,
  a_activation; ``gdl/models/EmoDECA.py``);
- loss: see ``readout_loss`` (``gdl/models/EmotionRecognitionModuleBase.py``);
- faces: each is drawn with a probability of one over the number of faces of its expression, with
  replacement, as many as there are faces in an epoch (yaml: sampler balanced_expr;
  ``make_class_balanced_sampler`` in ``gdl/datasets/AffectNetDataModule.py``); batches of 64, and a smaller
  last batch is left out (batch_size_train, drop_last);
- training: Adam, learning rate 1e-4 without a schedule, at most 50 epochs (optimizer, learning_rate,
  max_epochs); five times per epoch the loss of the validation faces is measured (val_check_interval 0.2),
  after ten measurements without a lower loss the training stops (early_stopping.patience), and the weights
  of the lowest loss are used (checkpoint_after_training: best).

One thing is different: EMOCA's list of validation faces is not published with its code. A tenth of the
labelled faces, drawn at random, is used for validation.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from deca_model.evaluation.emotion_figures import Labels
from deca_model.evaluation.emotion_labels import CLASSES, Labelled
from manifests.errors import UsageError


@dataclass(frozen=True)
class ReadoutSettings:
    """EMOCA's settings; other values are for tests and for short trials."""

    layers: int = 4
    width: int = 2048
    batch: int = 64
    learning_rate: float = 1e-4
    epochs: int = 50
    checks: int = 5  # per epoch
    patience: int = 10  # checks
    held_out: float = 0.1  # share of the faces that are for validation


class Readout(NamedTuple):
    """A trained network."""

    network: nn.Sequential
    learnt: int  # number of faces
    held_out: int  # number of validation faces
    epochs: int  # finished ones
    loss: float  # lowest loss of the validation faces


EMOCA_READOUT = ReadoutSettings()


def fit_readout(
    known: Labelled,
    settings: ReadoutSettings = EMOCA_READOUT,
    seed: int = 0,
    device: torch.device | str = "cpu",
    done: Callable[[int], None] = lambda _: None,
) -> Readout:
    """Train the network on labelled faces.

    Args:
        known: the faces' codes and labels.
        settings: of network and training.
        seed: for the weights, the draws and the validation faces.
        device: where to train.
        done: called with 1 after each epoch.

    Raises:
        UsageError: there are fewer than four faces.
    """
    if len(known.features) < 4:
        raise UsageError("fewer than four labelled faces are too few to learn from; give more with --fit.")
    generator = torch.Generator().manual_seed(seed)
    inputs, affect, classes = _tensors(known, device)
    order = torch.randperm(len(inputs), generator=generator)
    chosen, held_out = order.tensor_split([len(order) - max(2, round(settings.held_out * len(order)))])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = readout_network(inputs.shape[1], settings).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    best, weights, waited, epochs = float("inf"), network.state_dict(), 0, 0
    for rows, check, last in _steps(chosen, classes.cpu(), settings, generator):
        shares = torch.rand(4, generator=generator)
        loss = readout_loss(network(inputs[rows]), affect[rows], classes[rows], shares / shares.sum())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if check:
            found, waited = _validation_loss(network, inputs, affect, classes, held_out, settings), waited + 1
            if found < best:
                best, weights, waited = found, copy.deepcopy(network.state_dict()), 0
        if last:
            epochs += 1
            done(1)
        if waited == settings.patience:
            break
    network.load_state_dict(weights)
    return Readout(network.eval(), len(chosen), len(held_out), epochs, best)


@torch.no_grad()
def read_emotion(readout: Readout, features: np.ndarray) -> Labels:  # (N, D) codes
    """Predict valence, arousal and expression of faces."""
    place = next(readout.network.parameters()).device
    answers = readout.network(torch.from_numpy(features).float().to(place)).double().cpu().numpy()
    return Labels(answers[:, CLASSES:], answers[:, :CLASSES].argmax(axis=1))


def readout_network(inputs: int, settings: ReadoutSettings = EMOCA_READOUT) -> nn.Sequential:
    """The MLP: (B, inputs) codes to (B, 10), the logits of the expressions, valence and arousal."""
    layers: list[nn.Module] = []
    width = inputs
    for _ in range(settings.layers):
        layers += [nn.Linear(width, settings.width), nn.BatchNorm1d(settings.width), nn.LeakyReLU(0.2)]
        width = settings.width
    return nn.Sequential(*layers, nn.Linear(width, CLASSES + 2))


def readout_loss(
    answers: Tensor,  # (B, 10) of the network
    affect: Tensor,  # (B, 2) valence, arousal
    classes: Tensor,  # (B,) int64 expression
    weights: Tensor | tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0),
) -> Tensor:
    """EmoDECA's loss of a batch.

    It is the sum of MSE of valence, MSE of arousal, 1 - mean PCC, 1 - mean CCC, with these four ``weights``,
    and of the negative log-likelihood of the expression, with weight 1. In training, the weights are drawn
    from U(0, 1) for a step and divided by their sum (yaml: va_loss_scheme shake), in validation they are 1.
    The correlations are those of the batch, with unbiased deviations; they are 0 where they are not defined.
    """
    predicted = answers[:, CLASSES:]
    loss = cross_entropy(answers[:, :CLASSES], classes)
    loss = loss + weights[0] * mse_loss(predicted[:, 0], affect[:, 0])
    loss = loss + weights[1] * mse_loss(predicted[:, 1], affect[:, 1])
    if len(answers) < 2:
        return loss
    pearson, concordance = zip(*(_correlations(predicted[:, k], affect[:, k]) for k in (0, 1)), strict=True)
    loss = loss + weights[2] * (1 - (pearson[0] + pearson[1]) / 2)
    return loss + weights[3] * (1 - (concordance[0] + concordance[1]) / 2)


def balanced_draws(classes: Tensor, generator: torch.Generator) -> Tensor:  # (N,) int64 -> (N,) int64
    """Rows, drawn with replacement so that every class is equally probable."""
    shares = 1 / torch.bincount(classes).double()
    return torch.multinomial(shares[classes], len(classes), replacement=True, generator=generator)


def _correlations(predicted: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:  # (B,), (B,)
    """Pearson's and the concordance correlation."""
    covariance = ((predicted - predicted.mean()) * (truth - truth.mean())).sum() / (len(truth) - 1)
    a, b = predicted.std(), truth.std()
    if a == 0 or b == 0:
        return torch.zeros_like(a), torch.zeros_like(a)
    gap = predicted.mean() - truth.mean()
    return covariance / (a * b), 2 * covariance / (a**2 + b**2 + gap**2)


def _steps(
    chosen: Tensor, classes: Tensor, settings: ReadoutSettings, generator: torch.Generator
) -> Iterator[tuple[Tensor, bool, bool]]:
    """The rows, whether to measure the validation loss, and whether the epoch ends, for each step."""
    batch = min(settings.batch, len(chosen))
    steps = len(chosen) // batch
    every = max(1, steps // settings.checks)
    for _ in range(settings.epochs):
        drawn = chosen[balanced_draws(classes[chosen], generator)]
        for step, rows in enumerate(drawn[: steps * batch].split(batch), 1):
            yield rows, step % every == 0, step == steps


@torch.no_grad()
def _validation_loss(
    network: nn.Sequential,
    inputs: Tensor,
    affect: Tensor,
    classes: Tensor,
    held_out: Tensor,
    settings: ReadoutSettings,
) -> float:
    """Mean over the validation faces of their batch's loss."""
    network.eval()
    total = 0.0
    for rows in held_out.split(settings.batch):
        total += len(rows) * float(readout_loss(network(inputs[rows]), affect[rows], classes[rows]))
    network.train()
    return total / len(held_out)


def _tensors(known: Labelled, device: torch.device | str) -> tuple[Tensor, Tensor, Tensor]:
    """Codes, affect and expression."""
    features, labels = known
    affect, classes = torch.from_numpy(labels.affect).float(), torch.from_numpy(labels.expression)
    return torch.from_numpy(features).float().to(device), affect.to(device), classes.to(device)
