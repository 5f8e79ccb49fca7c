"""Skin against hair by colour and texture, on drawn pixels."""

from __future__ import annotations

import cv2
import numpy as np

from deca_data.backends.mesh.appearance import (
    AppearanceSettings,
    Samples,
    _fit,
    _rarity,
    _two_groups,
    features,
    second_look,
)
from deca_data.backends.mesh.outline import FaceRegions

SIDE = 96
SETTINGS = AppearanceSettings()
SKIN = (205, 160, 135)
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE]
KNOWN_SKIN, KNOWN_HAIR = ROWS > 70, ROWS < 26
LEFT, RIGHT = (ROWS > 34) & (ROWS < 62) & (COLUMNS < 40), (ROWS > 34) & (ROWS < 62) & (COLUMNS > 56)


def look(photo: np.ndarray) -> np.ndarray:
    """The ratio where the first evidence says nothing."""
    none = np.zeros((SIDE, SIDE), bool)
    flat = np.zeros((SIDE, SIDE), np.float32)
    every = ~none
    regions = FaceRegions(
        every, none, none, none, (none, none), none, none, none, 80.0, flat, flat, 0.4, 0.2, False
    )
    found = features(photo)
    return second_look(flat, found, Samples(KNOWN_SKIN, KNOWN_HAIR), regions, SETTINGS)


def photo(hair: np.ndarray) -> np.ndarray:
    """Skin, with ``hair`` at the top and at the left."""
    noise = np.random.default_rng(1).normal(0, 2, (SIDE, SIDE, 1))
    skin = np.array(SKIN, np.float32) + noise
    shown = np.where((KNOWN_HAIR | LEFT)[..., None], hair, skin)
    return np.clip(shown, 0, 255).astype(np.uint8)


def strands(color: tuple[int, int, int], contrast: float) -> np.ndarray:
    lines = np.random.default_rng(2).normal(0, contrast, (1, SIDE, 1))
    return np.array(color, np.float32) + np.repeat(lines, SIDE, axis=0)


def test_dark_hair_is_not_skin():
    ratio = look(photo(strands((60, 45, 38), 12)))
    assert (ratio[LEFT] < 0).mean() > 0.97
    assert (ratio[RIGHT] > 0).mean() > 0.97


def test_fair_hair_differs_by_its_texture():
    """Its colour is nearly that of the skin."""
    ratio = look(photo(strands((200, 158, 128), 18)))
    assert (ratio[LEFT] < 0).mean() > 0.95
    assert (ratio[RIGHT] > 0).mean() > 0.95


def test_skin_in_half_shadow_is_skin():
    shown = photo(strands((60, 45, 38), 12)).astype(np.float32)
    shade = np.where(COLUMNS > 76, 0.6, 1.0)[..., None]  # half of the known skin, and of the right patch
    ratio = look((shown * cv2.GaussianBlur(shade, (0, 0), 3)[..., None]).astype(np.uint8))
    assert (ratio[RIGHT] > 0).mean() > 0.9


def test_what_is_like_nothing_around_is_not_skin():
    shown = photo(strands((60, 45, 38), 12))
    shown[RIGHT] = (20, 60, 200)
    inner = RIGHT & (COLUMNS > 62) & (ROWS > 40) & (ROWS < 56)
    assert (look(shown)[inner] < 0).all()


def test_two_groups_are_the_dark_and_the_light_rows():
    rows = np.zeros((300, 5), np.float32)
    rows[:200, 0], rows[200:, 0] = 50, 200
    rows += np.random.default_rng(3).normal(0, 1, rows.shape).astype(np.float32)
    dark, light = _two_groups(rows)
    assert sorted([len(dark), len(light)]) == [100, 200]
    assert dark[:, 0].max() < light[:, 0].min()


def test_equal_rows_are_one_group_with_a_density():
    rows = np.full((50, 5), 7, np.float32)
    assert len(_two_groups(rows)) == 1
    groups = _fit(rows, SETTINGS)
    near, far = _rarity(np.array([[7] * 5, [90] * 5], np.float32), groups, SETTINGS)
    assert np.isfinite([near, far]).all()
    assert 10 * near < far
