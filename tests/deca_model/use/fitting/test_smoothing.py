"""Codes of a clip: jitter goes, movements stay, and moving crops do not matter."""

from __future__ import annotations

import numpy as np

from deca_model.use.fitting.face_codes import FaceCodes
from deca_model.use.fitting.smoothing import smoothed
from manifests.images.crop import Square


def clip(count: int, jitter: float, seed: int = 0) -> tuple[list[FaceCodes], list[Square]]:
    """A head that nods once and stays at pixel (200, 150), seen through crops that move."""
    rng = np.random.default_rng(seed)
    codes, squares = [], []
    for n in range(count):
        square = Square(np.array([190.0 + rng.integers(20), 150.0]), np.asarray(100.0 + rng.integers(9)))
        scale = 800.0  # pixels per metre
        shift = (np.array([200.0, 150.0]) - square.center) / scale * [1, -1]
        pose = np.zeros(6)
        pose[0] = 0.3 * np.sin(np.pi * n / (count - 1)) + jitter * rng.normal()
        camera = np.array([scale / (float(square.side) / 2), *shift])
        codes.append(FaceCodes(np.arange(100.0), np.zeros(50), pose, camera))
        squares.append(square)
    return codes, squares


def test_jitter_goes_and_the_nod_stays() -> None:
    noisy, squares = clip(60, 0.02)
    clean, _ = clip(60, 0.0)
    found = smoothed(noisy, squares, 25.0)
    true, before, after = (np.array([code.pose[0] for code in part]) for part in (clean, noisy, found))
    assert np.abs(np.diff(after)).std() < 0.5 * np.abs(np.diff(before)).std()
    assert np.sqrt(((after - true) ** 2).mean()) < 0.7 * np.sqrt(((before - true) ** 2).mean())
    assert after.max() > 0.27
    assert all(np.array_equal(code.shape, np.arange(100.0)) for code in found)


def test_the_head_stays_where_it_is_in_the_photo() -> None:
    codes, squares = clip(20, 0.0)
    for code, square in zip(smoothed(codes, squares, 25.0), squares, strict=True):
        scale = code.camera[0] * float(square.side) / 2
        np.testing.assert_allclose(scale, 800.0, rtol=1e-9)
        place = square.center + scale * code.camera[1:] * [1, -1]
        np.testing.assert_allclose(place, [200.0, 150.0], atol=1e-6)


def test_the_smoother_solves_its_equations() -> None:
    """Against the dense matrix of the definition."""
    codes, squares = clip(12, 0.1)
    rows = np.array([code.pose[0] for code in codes])
    differences = np.diff(np.eye(12), axis=0)
    exact = np.linalg.solve(np.eye(12) + 4.0 * differences.T @ differences, rows)
    found = smoothed(codes, squares, 50.0)  # (0.04 * 50)^2 is 4
    np.testing.assert_allclose([code.pose[0] for code in found], exact, atol=1e-12)


def test_two_frames_stay_as_they_are() -> None:
    codes, squares = clip(2, 0.1)
    assert smoothed(codes, squares, 25.0) == codes
