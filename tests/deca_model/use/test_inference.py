from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from deca_model.files.obj import read_obj
from deca_model.networks.codes import Codes
from deca_model.networks.model import Deca
from deca_model.settings.reading import load_config
from deca_model.training.checkpoints import save_checkpoint
from deca_model.use.films import head_turn
from deca_model.use.inference import load_model, reconstruct
from deca_model.use.reconstruction_files import feathered, photo_texture, read_codes, save_reconstruction
from deca_model.use.transfer import transfer_expression
from manifests.errors import UsageError
from tests.deca_model.synthetic import ASTRONAUT

SETTINGS = ["data.size=64", "model.uv_size=64", "model.render_size=64"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder; the model's random weights are large enough that faces get different codes."""
    folder = tmp_path_factory.mktemp("run")
    config = load_config("cpu", SETTINGS)
    torch.manual_seed(0)
    model = Deca(config.model, config.run, ("detail",))
    with torch.no_grad():
        last = model.coarse.layers[2]
        assert isinstance(last, torch.nn.Linear)
        last.weight.normal_(0, 0.05)
    parts = {"model": model.state_dict(), "config": config.model_dump(mode="json")}
    save_checkpoint(folder / "checkpoints", 1, parts, 1)
    return folder


@pytest.fixture(scope="module")
def photo():
    from skimage.data import astronaut

    return astronaut()


@pytest.fixture(scope="module")
def found(run, photo):
    model, size = load_model(run, torch.device("cpu"))
    smaller = np.ascontiguousarray(photo[:300, :400])
    return model, size, reconstruct(model, size, [photo, smaller], [ASTRONAUT, ASTRONAUT + 3])


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


def test_meshes_textures_codes_and_pictures_are_written(found, tmp_path):
    model, _, result = found
    save_reconstruction(model, result, ["one", "two"], tmp_path)
    mesh = read_obj(tmp_path / "one.obj")
    np.testing.assert_allclose(mesh.vertices, result.posed.head.vertices[0].numpy(), atol=1e-5)
    text = (tmp_path / "one.obj").read_text().splitlines()
    assert text[0] == "mtllib one.mtl"
    assert "map_Kd one_texture.png" in (tmp_path / "one.mtl").read_text()
    texture = cv2.imread(str(tmp_path / "one_texture.png"))
    assert texture.shape == (64, 64, 3)
    assert texture.std() > 5
    codes = read_codes(tmp_path / "two.npz")
    assert all(torch.equal(a[0], b[1]) for a, b in zip(codes, result.posed.codes, strict=True))
    dense = (tmp_path / "two_detail.obj").read_text().splitlines()
    assert sum(line.startswith("v ") for line in dense) > 1000
    assert cv2.imread(str(tmp_path / "one.png")).shape == (128, 5 * 128, 3)


def test_the_texture_is_the_photo_well_inside_the_face(found):
    model, _, result = found
    texture = photo_texture(model, result)
    seen = model.surface.visible(
        result.posed.head.vertices, result.posed.vertices, torch.ones_like(result.photos[:, :1])
    )
    photo = model.layout.from_image(result.photos, result.posed.vertices)
    inside = feathered(seen) == 1
    assert inside.float().mean() > 0.05
    full = inside.expand_as(photo)
    assert torch.allclose(texture[full], photo[full].clamp(0, 1), atol=1e-6)
    # where the photo shows nothing, the model's colours have the mean of the photo's
    hidden = (model.layout.covered & ~model.surface.region[0, 0].bool()).expand_as(texture)
    assert abs(float(texture[hidden].mean() - photo[(seen == 1).expand_as(photo)].mean())) < 0.15


def test_padding_is_no_texture(found):
    model, size, _ = found
    white = np.full((90, 110, 3), 255, np.uint8)
    low, high = np.array([15.0, 15.0]), np.array([95.0, 115.0])  # the photo ends above the chin
    landmarks = low + np.random.default_rng(0).random((68, 2)) * (high - low)
    result = reconstruct(model, size, [white], landmarks=[landmarks])
    padding = result.photos.amax(dim=1, keepdim=True) < 0.5
    assert padding.float().mean() > 0.1
    assert torch.equal(result.covered == 0, padding)
    black = 1 - model.layout.from_image(result.covered, result.posed.vertices)
    seen = model.surface.visible(
        result.posed.head.vertices, result.posed.vertices, torch.ones_like(result.covered)
    )
    beyond = ((black > 0.9) & (seen > 0.9)).expand(-1, 3, -1, -1)
    assert beyond.any()
    assert photo_texture(model, result)[beyond].min() > 0.1


def test_the_photo_fades_towards_the_outer_rim_only():
    seen = torch.zeros(1, 1, 128, 128)
    seen[..., 20:100, 30:110] = 1
    seen[..., 50:54, 60:80] = 0  # an eye
    share = feathered(seen)
    assert (share[seen == 0] == 0).all()
    assert (share[..., 40:48, 50:90] == 1).all()
    assert (share[..., 54:60, 60:80] == 1).all()  # next to the eye
    assert share[..., 20, 60] < 0.05
    steps = share[0, 0, 18:45, 90].diff().abs()
    assert steps.max() < 0.2
    assert (share[0, 0, 18:45, 90].diff() >= -1e-6).all()


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
