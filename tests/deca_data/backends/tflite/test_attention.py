"""The operations of the mesh with attention, against plain loops over their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deca_data.backends.tflite.attention import CropFeatures, MatrixOfPoints, MovePoints
from deca_data.backends.tflite.constants import Damaged
from deca_data.backends.tflite.file import Operation

OPTIONS = {
    **{"left_rotation_idx": 0, "right_rotation_idx": 1, "target_rotation_radians": 0.2},
    **{"output_width": 8, "output_height": 4, "scale_x": 1.5, "scale_y": 1.25},
    "subset_idxs": [1, 2, 4],
}
POINTS = np.random.default_rng(5).uniform(0, 40, (3, 6, 3)).astype(np.float32)


def matrices() -> np.ndarray:
    operation = Operation("Landmarks2TransformMatrix", (0,), (1,), OPTIONS)
    return MatrixOfPoints(operation, 6)(torch.from_numpy(POINTS)).numpy()


def test_the_crop_encloses_the_points_and_levels_the_line_between_two():
    for points, matrix in zip(POINTS[..., :2], matrices(), strict=True):
        assert np.array_equal(matrix[2:], np.eye(4)[2:])
        assert not matrix[:2, 2].any()
        back = np.linalg.inv(matrix[[0, 1, 3]][:, [0, 1, 3]])
        in_crop = np.column_stack([points, np.ones(6)]) @ back[:2].T
        low, high = in_crop[[1, 2, 4]].min(0), in_crop[[1, 2, 4]].max(0)
        assert np.allclose(high - low, [8 / 1.5, 4 / 1.25], atol=1e-4)
        assert np.allclose((low + high) / 2, [4, 2], atol=1e-4)
        turned = matrix[:2, :2] / np.linalg.norm(matrix[:2, :2], axis=0)
        across = (points[1] - points[0]) @ turned  # in the crop's axes, in the unit of the points
        assert np.arctan2(across[1], across[0]) == pytest.approx(0.2, abs=1e-5)


def test_features_are_cut_out_bilinearly_and_are_0_outside():
    features = np.random.default_rng(6).normal(size=(3, 30, 35, 5)).astype(np.float32)
    given = torch.from_numpy(features).permute(0, 3, 1, 2)
    cut = CropFeatures(30, 35, 4, 8)(given, torch.from_numpy(matrices()))
    found = cut.permute(0, 2, 3, 1).numpy()
    outside = 0
    for image, matrix, crop in zip(features, matrices(), found, strict=True):
        for y in range(4):
            for x in range(8):
                place_x, place_y = (matrix[:2] @ [x + 0.5, y + 0.5, 0, 1]) - 0.5
                if not (0 <= place_x <= 34 and 0 <= place_y <= 29):
                    outside += 1
                    assert not crop[y, x].any()
                    continue
                left, top = int(place_x), int(place_y)
                right, down = min(left + 1, 34), min(top + 1, 29)
                a, b = place_x - left, place_y - top
                upper = image[top, left] * (1 - a) + image[top, right] * a
                lower = image[down, left] * (1 - a) + image[down, right] * a
                assert np.allclose(crop[y, x], upper * (1 - b) + lower * b, atol=1e-3)
    assert 5 < outside < 90


def test_points_are_moved():
    points = torch.from_numpy(POINTS[..., :2])
    moved = MovePoints()(points, torch.from_numpy(matrices())).numpy()
    for found, given, matrix in zip(moved, POINTS, matrices(), strict=True):
        assert np.allclose(found, given[:, :2] @ matrix[:2, :2].T + matrix[:2, 3], atol=1e-4)


@pytest.mark.parametrize("change", [{"subset_idxs": [1, 6]}, {"left_rotation_idx": -1}, {"output_width": 0}])
def test_numbers_of_points_that_are_not_there(change):
    operation = Operation("Landmarks2TransformMatrix", (0,), (1,), OPTIONS | change)
    with pytest.raises(Damaged, match="options that are not known"):
        MatrixOfPoints(operation, 6)
