"""The boundary of the visible face, on drawn log odds."""

from __future__ import annotations

import numpy as np
import pytest

from deca_data.backends.mesh.boundary import BoundarySettings, _best_ends, enclosed
from deca_data.backends.mesh.outline import FaceRegions

HEIGHT, WIDTH, FACE = 120, 90, 80.0  # rows, columns, and the face's height in pixels
SETTINGS = BoundarySettings()
X, Y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))


@pytest.fixture
def regions() -> FaceRegions:
    """An oval face from row 10 to row 110, with the brows at row 50."""
    up = ((80 - Y) / FACE).astype(np.float32)
    none = np.zeros((HEIGHT, WIDTH), bool)
    outline = ((X - 45) / 32) ** 2 + ((Y - 60) / 50) ** 2 < 1
    return FaceRegions(
        face=outline & (Y >= 30),
        forehead=outline & (Y < 30),
        features=none,
        lids=none,
        sockets=(none, none),
        eyes=none,
        lips=none,
        inner_cheeks=none,
        height=FACE,
        right=np.zeros((HEIGHT, WIDTH), np.float32),
        up=up,
        brow_up=30 / FACE,
        forehead_up=0.2,
        turned=False,
    )


def odds(regions: FaceRegions, other: np.ndarray) -> np.ndarray:
    return np.where(other, -2.0, np.where(regions.outline, 2.0, -20.0)).astype(np.float32)


def share(area: np.ndarray, kept: np.ndarray) -> float:
    return float(kept[area].mean())


def test_a_face_without_anything_over_it_is_kept(regions):
    kept = enclosed(odds(regions, regions.face & False), regions, SETTINGS)
    assert share(regions.outline, kept) > 0.98


@pytest.mark.parametrize(
    "hair",
    [Y < 40, X < 25, (X > 64) & (Y < 90), Y < 10 + 0.8 * X],
    ids=["fringe", "temple and cheek", "other temple", "parted to one side"],
)
def test_hair_is_outside_and_nothing_else(regions, hair):
    kept = enclosed(odds(regions, hair), regions, SETTINGS)
    assert share(regions.outline & hair, kept) < 0.1
    assert share(regions.outline & ~hair, kept) > 0.95


def test_skin_seen_through_a_fringe_is_not_left_standing_above_it(regions):
    fringe = Y < 40
    gap = fringe & (np.abs(X - 45) < 2)
    kept = enclosed(odds(regions, fringe & ~gap), regions, SETTINGS)
    assert share(regions.outline & fringe & (Y < 36), kept) < 0.05


def test_a_speck_inside_does_not_move_the_boundary(regions):
    speck = (np.abs(X - 45) < 4) & (np.abs(Y - 35) < 4)
    kept = enclosed(odds(regions, speck), regions, SETTINGS)
    assert share(regions.outline, kept) > 0.98


def test_mirrored_odds_give_the_mirrored_boundary(regions):
    hair = (X < 25) & (Y < 70)
    kept = enclosed(odds(regions, hair), regions, SETTINGS)
    mirrored = enclosed(np.ascontiguousarray(odds(regions, hair)[:, ::-1]), regions, SETTINGS)
    # The oval's centre is column 45, the crop's 44.5.
    assert (kept[:, 1:][:, ::-1] != mirrored[:, :-1])[:, 1:].mean() < 0.03


def test_no_face_below_the_brows_keeps_everything(regions):
    bare = regions._replace(face=regions.face & False)
    assert enclosed(odds(bare, bare.face), bare, SETTINGS).all()


def test_best_ends_equal_the_plain_dynamic_program():
    gains = np.random.default_rng(0).normal(0, 1, (9, 7))
    jump = 0.7
    ends = _best_ends(gains, jump)
    totals = np.pad(np.cumsum(gains, 1), ((0, 0), (1, 0)))
    best = totals[0]
    for total in totals[1:]:
        places = np.arange(len(best))
        best = (best - jump * np.abs(places[:, None] - places)).max(1) + total
    reached = totals[np.arange(9), ends].sum() - jump * np.abs(np.diff(ends)).sum()
    assert reached == pytest.approx(best.max())
