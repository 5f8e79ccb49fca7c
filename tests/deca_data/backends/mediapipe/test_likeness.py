"""Whether animals and people are told apart."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from benchmarks.fit_likeness import AXES, Faces, gaussian, rarities
from deca_data.backends import load_backend
from deca_data.backends.mediapipe.face_frame import arrays
from deca_data.backends.mediapipe.landmark_maps import MESH_MIRROR
from deca_data.backends.mediapipe.likeness import LARGEST_YAW, LIKELY, UNLIKE, likeness, rarity
from pipelines.curate.recipe import load_recipe


def _confidences(paths) -> np.ndarray:
    detector, landmarker = load_backend("detector", "mediapipe"), load_backend("landmarker", "mediapipe")
    found = []
    for path in paths:
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)  # pyright: ignore
        faces = detector.detect([image])[0]
        result = landmarker.landmarks([image], [faces[0].box])[0] if faces else None
        found.append(0.0 if result is None else result.confidence)
    return np.array(found)


def test_deca_paper_keeps_no_animal_and_loses_no_person(faces):
    least = load_recipe("deca-paper").min_landmark_confidence
    assert least is not None
    assert _confidences(sorted((faces / "animals").glob("*.jpg"))).max() < least
    assert _confidences(sorted((faces / "cfp").glob("*/frontal/01.jpg"))).min() > least


def test_likeness_falls_between_its_bounds():
    assert [likeness(rare) for rare in (0.0, LIKELY, UNLIKE, 20.0)] == [1, 1, 0, 0]
    assert likeness((LIKELY + UNLIKE) / 2) == pytest.approx(0.5)


def test_a_usual_shape_is_not_rare_and_a_stretched_one_is():
    mean = arrays()["mean_mesh"] * 100
    assert rarity(mean, mean) < 3
    assert rarity(mean * (1.5, 0.7, 1.6), mean * (1.5, 0.7, 1.6)) > UNLIKE
    mirrored = mean[MESH_MIRROR] * (-1, 1, 1)
    assert rarity(mirrored, mirrored) == pytest.approx(rarity(mean, mean), abs=0.1)


def test_turned_heads_are_not_judged():
    cos, sin = np.cos(np.radians(LARGEST_YAW + 5)), np.sin(np.radians(LARGEST_YAW + 5))
    mesh = arrays()["mean_mesh"] * (1.5, 0.7, 1.6) @ np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    assert rarity(mesh, mesh) == 0


def test_the_gaussian_finds_what_lies_off_its_axes():
    rng = np.random.default_rng(0)
    usual = rng.normal(0, 1, (400, AXES + 20)) * np.r_[np.full(AXES, 0.3), np.full(20, 0.01)]
    model = gaussian(Faces(usual, -usual, []), np.ones(400, bool))
    odd = usual[:20] + np.r_[np.zeros(AXES), np.full(20, 0.5)]
    assert np.abs(rarities(model, usual)).max() < 6
    assert rarities(model, odd).min() > 20
