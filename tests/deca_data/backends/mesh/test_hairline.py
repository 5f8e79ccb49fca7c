"""Pixels above a fringe are not face: on drawn masks, and on a real fringe."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deca_data.backends import load_backend
from deca_data.backends.mesh.hairline import HairlineSettings, under_hairline
from deca_data.backends.mesh.outline import FaceRegions, find_regions

HEIGHT, WIDTH, FACE = 120, 90, 80.0  # rows, columns, and the face's height in pixels
SETTINGS = HairlineSettings()


@pytest.fixture
def regions() -> FaceRegions:
    """A face 60 columns wide whose brows are at row 50 and whose forehead ends at row 10."""
    up = np.repeat((80 - np.arange(HEIGHT, dtype=np.float32))[:, None] / FACE, WIDTH, axis=1)
    right = np.zeros((HEIGHT, WIDTH), np.float32)
    none = np.zeros((HEIGHT, WIDTH), bool)
    face, forehead, eye, other = (none.copy() for _ in range(4))
    face[30:110, 15:75], forehead[10:30, 15:75] = True, True
    eye[52:62, 20:40], other[52:62, 50:70] = True, True
    return FaceRegions(face, forehead, none, none, (eye, other), none, none, none, FACE, right, up, 30 / FACE)


def seen(regions: FaceRegions) -> np.ndarray:
    return np.where(regions.face | regions.forehead, 0.9, 0.0).astype(np.float32)


def test_nothing_is_left_above_a_fringe(regions):
    before = seen(regions)
    before[34:42] = 0.1
    after = under_hairline(before, regions, SETTINGS)
    slack = round(SETTINGS.slack * FACE)
    assert (after[: 40 - slack, 15:75] == 0).all()
    assert np.array_equal(after[42 - slack :], before[42 - slack :])
    assert after.dtype == np.float32


def test_a_strand_leaves_the_forehead_as_it_is(regions):
    before = seen(regions)
    before[12:42, 40:48] = 0.1
    assert np.array_equal(under_hairline(before, regions, SETTINGS), before)


def test_a_thin_wrinkle_is_no_hair(regions):
    before = seen(regions)
    before[40] = 0.4
    assert np.array_equal(under_hairline(before, regions, SETTINGS), before)


def test_half_a_fringe_hides_half_of_the_forehead(regions):
    before = seen(regions)
    before[34:42, :45] = 0.1
    after = under_hairline(before, regions, SETTINGS)
    assert (after[:30, 15:42] == 0).all()
    assert np.array_equal(after[:, 48:], before[:, 48:])


@pytest.mark.parametrize("eye", [0, 1])
def test_dark_glasses_are_no_hair(regions, eye):
    before = seen(regions)
    before[34:48] = 0.1  # a frame that reaches above the brows
    before[regions.sockets[eye]] = 0.1
    assert np.array_equal(under_hairline(before, regions, SETTINGS), before)


def test_nothing_above_the_brows_to_hide(regions):
    low = regions._replace(face=regions.face & (regions.up < 0.3), forehead=regions.forehead & False)
    before = seen(low)
    assert np.array_equal(under_hairline(before, low, SETTINGS), before)


def test_a_fair_fringe_is_not_face(astronaut):
    box = np.array([177.0, 82.0, 272.0, 178.0])
    mesh: Any = load_backend("landmarker", "mediapipe").mesh(astronaut, box)
    mask = load_backend("parser", "mesh").mask(astronaut, mesh)
    regions = find_regions(mesh, mask.shape, 0.22, 0.09)
    fringe = (regions.forehead | regions.face) & (regions.up > regions.brow_up + 0.25)
    between_brows_and_fringe = regions.face & (np.abs(regions.up - regions.brow_up) < 0.03)
    assert (mask[fringe] > 0).mean() < 0.2
    assert (mask[between_brows_and_fringe] > 0).mean() > 0.9
