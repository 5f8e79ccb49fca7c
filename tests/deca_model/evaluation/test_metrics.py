from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch

from deca_model.evaluation.emotion_figures import emotion_figures, expression_accuracy
from deca_model.training.validation import landmark_figures, shape_consistency


def test_emotion_figures_by_hand():
    truth = np.array([[0.5, -0.5], [-0.5, 0.5], [1.0, 0.0], [0.0, 1.0]])
    figures = emotion_figures(truth, truth)
    assert figures["valence_pcc"] == pytest.approx(1)
    assert figures["valence_ccc"] == pytest.approx(1)
    assert figures["arousal_rmse"] == 0
    assert figures["arousal_sagr"] == 1
    shifted = emotion_figures(truth + 0.25, truth)
    variance = truth[:, 0].var()
    assert shifted["valence_pcc"] == pytest.approx(1)
    assert shifted["valence_ccc"] == pytest.approx(2 * variance / (2 * variance + 0.0625))
    assert shifted["valence_rmse"] == pytest.approx(0.25)
    assert shifted["valence_sagr"] == 0.75  # 0 became positive
    assert expression_accuracy(np.array([1, 2, 3]), np.array([1, 2, 4])) == pytest.approx(2 / 3)


def test_emotion_figures_are_of_the_full_set_not_means_of_batches():
    random = np.random.default_rng(0)
    truth = random.normal(size=(64, 2)) + np.repeat([[0.0], [3.0]], 32, axis=0)
    predicted = truth + random.normal(size=(64, 2))
    whole = emotion_figures(predicted, truth)["valence_ccc"]
    halves = [emotion_figures(predicted[s], truth[s])["valence_ccc"] for s in (slice(32), slice(32, None))]
    assert abs(whole - np.mean(halves)) > 0.1


def test_the_landmark_error_is_a_share_of_the_eyes_distance():
    truth = torch.rand(2, 68, 2, generator=torch.Generator().manual_seed(0))
    truth[:, 36], truth[:, 45] = torch.tensor([0.0, 0.0]), torch.tensor([0.5, 0.0])
    figures = landmark_figures(truth + torch.tensor([0.03, 0.04]), truth)
    assert figures["landmark_error"] == pytest.approx(10, rel=1e-4)
    assert figures["landmark_error_median"] == pytest.approx(10, rel=1e-4)


def test_shape_consistency_is_small_when_a_person_keeps_the_shape():
    random = np.random.default_rng(1)
    people = np.repeat(np.arange(20), 4)
    own = random.normal(size=(20, 100))[people]
    noise = random.normal(size=(80, 100))
    assert shape_consistency(own + 0.1 * noise, people)["shape_consistency"] < 0.15
    assert shape_consistency(noise, people)["shape_consistency"] == pytest.approx(1, abs=0.05)
    assert shape_consistency(noise[:3], np.array([0, 1, 2])) == {}


def test_shape_consistency_is_that_of_all_pairs():
    generator = np.random.default_rng(0)
    shapes, people = generator.normal(3, 1, (40, 100)).astype(np.float32), generator.integers(0, 9, 40)
    squared = np.square(shapes[:, None] - shapes[None]).sum(axis=-1, dtype=np.float64)
    same = people[:, None] == people[None]
    within = squared[same & ~np.eye(40, dtype=bool)].mean()
    expected = np.sqrt(within / squared[~same].mean())
    assert shape_consistency(shapes, people)["shape_consistency"] == pytest.approx(expected, rel=1e-5)


def test_shape_consistency_of_many_faces_needs_little_memory():
    tracemalloc.start()
    shape_consistency(np.ones((20_000, 100), np.float32), np.arange(20_000) // 2)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200e6  # all pairs of 20,000 faces would take 160 GB
