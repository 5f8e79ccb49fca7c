"""EMOCA's emotion readout, against values of EMOCA's own code."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deca_model.evaluation.emotion_figures import Labels, compare
from deca_model.evaluation.emotion_labels import Labelled
from deca_model.evaluation.emotion_readout import (
    ReadoutSettings,
    balanced_draws,
    fit_readout,
    read_emotion,
    readout_loss,
    readout_network,
)
from manifests.errors import UsageError

SMALL = ReadoutSettings(width=64, learning_rate=1e-3)


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Answers, affect and classes of twelve faces."""
    numbers = torch.arange(12, dtype=torch.float64)
    answers = torch.sin(torch.arange(120, dtype=torch.float64) * 1.7).reshape(12, 10)
    affect = torch.stack([torch.cos(numbers), torch.sin(2 * numbers) / 2], dim=1)
    return answers, affect, torch.arange(12) * 3 % 8


def test_the_loss_is_emodecas():
    """The values are the total of EmotionRecognitionModuleBase's terms for these numbers."""
    answers, affect, classes = batch()
    assert float(readout_loss(answers, affect, classes)) == pytest.approx(4.919573044064831, abs=1e-12)
    shaken = readout_loss(answers, affect, classes, (0.1, 0.2, 0.3, 0.4))
    assert float(shaken) == pytest.approx(2.932411513487268, abs=1e-12)
    only_expression = readout_loss(answers, affect, classes, (0.0, 0.0, 0.0, 0.0))
    assert float(only_expression) == pytest.approx(2.3069781398488853, abs=1e-12)


def test_correlations_that_are_not_defined_count_as_none():
    answers, affect, classes = batch()
    answers[:, 8:] = 0.25
    answers.requires_grad_()
    loss = readout_loss(answers, affect, classes, (0.0, 0.0, 1.0, 1.0))
    nothing = readout_loss(answers, affect, classes, (0.0, 0.0, 0.0, 0.0))
    assert (loss - nothing).item() == pytest.approx(2)
    loss.backward()
    assert answers.grad is not None
    assert answers.grad.isfinite().all()
    assert readout_loss(answers[:1], affect[:1], classes[:1]).isfinite()  # one face has no correlation


def test_the_network_is_emodecas():
    """The values are those of EMOCA's MLP with the same weights."""
    assert sum(each.numel() for each in readout_network(153).parameters()) == 12941322
    network = readout_network(5, ReadoutSettings(width=16)).double()
    start = 0
    with torch.no_grad():
        for each in network.parameters():
            numbers = torch.arange(start, start + each.numel(), dtype=torch.float64)
            each.copy_(torch.sin(numbers * 0.9).reshape(each.shape))
            start += each.numel()
        codes = torch.cos(torch.arange(20, dtype=torch.float64) * 1.3).reshape(4, 5)
        first = network.train()(codes)[0]
        later = network.eval()(codes)[0]
    expected = [-1.6149782600816285, -6.612041875373828, 5.387437164448276, 5.3772676202642815]
    np.testing.assert_allclose(first[:4], expected, rtol=1e-9)
    np.testing.assert_allclose(first[8:], [-5.598770656024845, 6.783929930230127], rtol=1e-9)
    np.testing.assert_allclose(later[8:], [69.46807874399151, 55.34189284539281], rtol=1e-9)


def test_the_training_has_emocas_settings():
    """As in the released emoca_coarse.yaml."""
    settings = ReadoutSettings()
    assert (settings.layers, settings.width, settings.batch, settings.learning_rate) == (4, 2048, 64, 1e-4)
    assert (settings.epochs, settings.checks, settings.patience) == (50, 5, 10)


def test_every_expression_is_drawn_as_often():
    classes = torch.tensor([0] * 9000 + [1] * 900 + [7] * 100)
    drawn = balanced_draws(classes, torch.Generator().manual_seed(0))
    assert len(drawn) == 10000
    counts = torch.bincount(classes[drawn], minlength=8)
    np.testing.assert_allclose(counts[[0, 1, 7]] / 10000, 1 / 3, atol=0.02)
    assert len(drawn.unique()) < 6000  # with replacement


def faces(count: int) -> tuple[np.ndarray, Labels]:
    """Codes, and labels that depend on them."""
    codes = np.random.default_rng(0).normal(size=(count, 53))
    affect = np.tanh(codes[:, :2] * [0.5, -0.5] + 0.2 * codes[:, 2:4])
    return codes, Labels(affect, np.argmax(codes[:, 4:12], axis=1))


def test_emotion_is_read_from_codes_that_hold_it_and_not_from_noise():
    codes, labels = faces(700)
    known = Labelled(codes[:500], Labels(labels.affect[:500], labels.expression[:500]))
    truth = Labels(labels.affect[500:], labels.expression[500:])
    readout = fit_readout(known, SMALL)
    assert (readout.learnt, readout.held_out) == (450, 50)
    assert 2 < readout.epochs < 50  # the validation loss gets no lower
    good = compare(read_emotion(readout, codes[500:]), truth)
    assert good["valence_pcc"] > 0.8
    assert good["arousal_ccc"] > 0.7
    assert good["expression_accuracy"] > 0.4
    assert good["faces"] == 200
    again = read_emotion(fit_readout(known, SMALL), codes[500:])
    np.testing.assert_array_equal(again.affect, read_emotion(readout, codes[500:]).affect)
    noise = np.random.default_rng(1).normal(size=(200, 53))
    assert abs(compare(read_emotion(readout, noise), truth)["valence_pcc"]) < 0.3


def test_training_stops_and_takes_the_best_weights():
    codes, labels = faces(128)
    shuffled = Labels(labels.affect[::-1].copy(), labels.expression[::-1].copy())  # nothing can be learnt
    finished: list[int] = []
    readout = fit_readout(Labelled(codes, shuffled), ReadoutSettings(width=16), done=finished.append)
    assert sum(finished) == readout.epochs < 50
    held_out = torch.randperm(128, generator=torch.Generator().manual_seed(0))[-readout.held_out :].numpy()
    with torch.no_grad():
        answers = readout.network(torch.from_numpy(codes[held_out]).float())
    affect, classes = (torch.from_numpy(values[held_out]) for values in shuffled)
    assert float(readout_loss(answers, affect, classes)) == pytest.approx(readout.loss, rel=1e-5)


def test_few_faces_are_refused():
    codes, labels = faces(3)
    with pytest.raises(UsageError, match="give more with --fit"):
        fit_readout(Labelled(codes, labels), SMALL)
