from __future__ import annotations

import numpy as np
import pytest
import torch

from deca_model.networks.codes import Codes
from deca_model.use.films import head_turn
from deca_model.use.inference import load_model, reconstruct
from deca_model.use.transfer import transfer_expression
from manifests.errors import UsageError
from tests.deca_model.synthetic import ASTRONAUT


def test_the_model_comes_back_as_it_was_saved(run):
    first, size = load_model(run, torch.device("cpu"))
    second, _ = load_model(run / "checkpoints/step-00000001.pt", torch.device("cpu"))
    assert size == 64
    assert not first.training
    image = torch.rand(1, 3, 64, 64)
    assert torch.equal(first.encode(image).shape, second.encode(image).shape)
    with pytest.raises(UsageError, match="no such checkpoint"):
        load_model(run / "nowhere", torch.device("cpu"))
    (run / "empty").mkdir()
    with pytest.raises(UsageError, match="no checkpoint in this folder"):
        load_model(run / "empty", torch.device("cpu"))


def test_landmarks_come_back_in_pixels_of_the_photo(found):
    _, _, result = found
    points = result.landmarks()
    assert points.shape == (2, 68, 2)
    # in the crop and in the photo they are the same points
    square = result.squares[0]
    expected = (
        (result.posed.landmarks[0].numpy() + 1) / 2 * float(square.side) + square.center - square.side / 2
    )
    np.testing.assert_allclose(points[0], expected, atol=1e-3)
    middle = ASTRONAUT.reshape(-1, 2)
    centre = (middle.min(0) + middle.max(0)) / 2
    np.testing.assert_allclose(square.center, centre, atol=1)


def test_a_box_serves_where_there_are_no_landmarks(found, photo):
    model, size, result = found
    box = np.concatenate([ASTRONAUT.min(0), ASTRONAUT.max(0)])
    again = reconstruct(model, size, [photo], boxes=[box])
    assert torch.equal(again.photos[0], result.photos[0])
    with pytest.raises(ValueError, match="neither landmarks nor a box"):
        reconstruct(model, size, [photo])


def test_transfer_moves_the_expression_and_the_jaw_and_nothing_else(found):
    model, _, result = found
    driver = Codes(*(value[1:] for value in result.posed.codes))
    one = type(result)(result.photos[1:], result.covered[1:], result.squares[1:], model.pose(driver), None)
    moved = transfer_expression(model, result, one).posed.codes
    own = result.posed.codes
    assert torch.equal(moved.expression[0], own.expression[1])
    assert torch.equal(moved.pose[0, 3:], own.pose[1, 3:])
    assert torch.equal(moved.pose[:, :3], own.pose[:, :3])
    for name in ("shape", "texture", "camera", "light"):
        assert torch.equal(getattr(moved, name), getattr(own, name))
    with pytest.raises(ValueError, match="give one driver"):
        three = Codes(*(value[[0, 0, 0]] for value in own))
        photos = result.photos[[0, 0, 0]]
        transfer_expression(
            model, result, type(result)(photos, result.covered, result.squares, model.pose(three), None)
        )


def test_a_head_turn_looks_to_both_sides(found):
    _, _, result = found
    codes = Codes(*(value[:1] for value in result.posed.codes))
    turn = head_turn(codes, 8, degrees=30)
    expected = np.radians(30 * np.sin(np.arange(8) * np.pi / 4))
    np.testing.assert_allclose(turn.pose[:, 1].numpy(), expected, atol=1e-6)
    assert (turn.pose[:, [0, 2]] == 0).all()
    assert torch.equal(turn.pose[:, 3:], codes.pose[:, 3:].expand(8, -1))
    assert torch.equal(turn.shape, codes.shape.expand(8, -1))
