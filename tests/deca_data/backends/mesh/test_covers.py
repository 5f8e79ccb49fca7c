"""The mesh parser on photos with a drawn fringe, hair, cap or shadow."""

from __future__ import annotations

import numpy as np
import pytest

from deca_data.backends.mesh.outline import FaceRegions, find_regions
from tests.deca_data.backends.test_mesh_parser import Face, Models, astronaut, hopper, overlap


@pytest.fixture(scope="module")
def models() -> Models:
    return Models()


@pytest.fixture(scope="module", params=[astronaut, hopper], ids=["astronaut", "hopper"])
def face(request: pytest.FixtureRequest, models: Models) -> Face:
    return Face(request.param(), models)


def hair_like(color: tuple, shape: tuple[int, int], contrast: float = 14) -> np.ndarray:
    """Vertical strands of one colour, (H, W, 3) float."""
    lines = np.random.default_rng(4).normal(0, contrast, (1, shape[1], 1))
    return np.array(color, np.float32) + np.repeat(lines, shape[0], axis=0)


def covered_by(face: Face, models: Models, place: np.ndarray, paint: np.ndarray) -> np.ndarray:
    """The mask of the photo with ``paint`` in ``place``."""
    shown = np.where(place[..., None], paint, face.image).clip(0, 255).astype(np.uint8)
    return models.parser.parse([shown], [face.box], [face.landmarks], meshes=[face.mesh])[0]


def face_frame(face: Face) -> FaceRegions:
    return find_regions(face.mesh, face.mask.shape, 0.26, 0.106)


@pytest.mark.parametrize("color", [(70, 52, 40), (150, 112, 84)], ids=["brown", "fair"])
def test_drawn_fringe_is_cut_away(face: Face, models: Models, color: tuple) -> None:
    regions = face_frame(face)
    fringe = (regions.up > regions.brow_up + 0.06) & (np.abs(regions.right) < 0.62) & (regions.up < 1.1)
    mask = covered_by(face, models, fringe, hair_like(color, face.mask.shape))
    assert (mask[regions.outline & fringe] > 0).mean() < 0.06
    below = (face.mask > 0) & (regions.up < regions.brow_up)
    assert (mask[below] > 0).mean() > 0.95


@pytest.mark.parametrize("side", [-1, 1])
def test_drawn_hair_over_temple_and_cheek_is_cut_away(face: Face, models: Models, side: int) -> None:
    regions = face_frame(face)
    curtain = (side * regions.right > 0.30) & (side * regions.right < 0.62)
    curtain &= (regions.up > -0.05) & (regions.up < 1.1)
    mask = covered_by(face, models, curtain, hair_like((70, 52, 40), face.mask.shape))
    covered = regions.outline & curtain
    assert covered.sum() > 0.02 * regions.height**2
    assert (mask[covered] > 0).mean() < 0.15
    elsewhere = (face.mask > 0) & ~curtain
    assert (mask[elsewhere] > 0).mean() > 0.93


@pytest.mark.parametrize("color", [(40, 60, 110), (225, 225, 220)], ids=["blue", "white"])
def test_drawn_cap_is_cut_away(face: Face, models: Models, color: tuple) -> None:
    regions = face_frame(face)
    cap = (regions.up > regions.brow_up + 0.08) & (np.abs(regions.right) < 0.7) & (regions.up < 1.2)
    mask = covered_by(face, models, cap, np.full(face.image.shape, color, np.float32))
    assert (mask[regions.outline & cap] > 0).mean() < 0.06
    below = (face.mask > 0) & (regions.up < regions.brow_up)
    assert (mask[below] > 0).mean() > 0.95


@pytest.mark.parametrize("side", [-1, 1])
def test_shadow_on_one_half_is_face(face: Face, models: Models, side: int) -> None:
    regions = face_frame(face)
    lit = 0.725 + 0.275 * np.tanh(side * regions.right / 0.08)  # down to 0.45
    shown = (face.image * lit[..., None]).astype(np.uint8)
    mask = models.parser.parse([shown], [face.box], [face.landmarks], meshes=[face.mesh])[0]
    assert (mask[face.mask > 0] > 0).mean() > 0.97
    assert overlap(mask, face.mask) > 0.88


def test_shadow_of_a_brim_is_face(models: Models) -> None:
    """The forehead below the cap is darker than the cheeks."""
    hat = Face(hopper(), models)
    regions = face_frame(hat)
    shade = 0.825 - 0.175 * np.tanh((regions.up - regions.brow_up - 0.02) / 0.04)  # down to 0.65
    shown = (hat.image * shade[..., None]).astype(np.uint8)
    mask = models.parser.parse([shown], [hat.box], [hat.landmarks], meshes=[hat.mesh])[0]
    assert overlap(mask, hat.mask) > 0.93
