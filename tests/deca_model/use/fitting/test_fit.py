"""Light, albedo and wrinkles of a rendered photo are found again; a fit gives the same numbers twice."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch

from deca_model.networks.codes import Codes
from deca_model.networks.model import Deca
from deca_model.render.camera import project
from deca_model.render.light import ambient_light
from deca_model.use.fitting.colours import fit_colours
from deca_model.use.fitting.details import fit_details
from deca_model.use.fitting.face_codes import FaceCodes
from deca_model.use.fitting.fit import Fitter, fitting_model, groups, landmark_error
from manifests.errors import UsageError

SIZE = 128


class Face(NamedTuple):
    image: np.ndarray
    landmarks: np.ndarray
    mesh: np.ndarray | None
    mask: np.ndarray | None


@pytest.fixture(scope="module")
def model() -> Deca:
    return fitting_model(uv_size=128)


def known_codes(seed: int = 0) -> Codes:
    rng = np.random.default_rng(seed)
    light = ambient_light(1, 0.8)
    light[0, 1:4] = torch.tensor([[0.25], [0.2], [0.4]])  # from the left, above and the front
    texture = torch.zeros(1, 50)
    texture[0, 0] = -1.5  # dark skin
    shape = torch.from_numpy(rng.normal(0, 0.8, (1, 100))).float()
    pose = torch.tensor([[0.05, 0.1, 0, 0.1, 0, 0]])
    return Codes(shape, texture, torch.zeros(1, 50), pose, torch.tensor([[7.0, 0, 0.01]]), light)


@torch.no_grad()
def photo_of(model: Deca, codes: Codes) -> tuple[torch.Tensor, torch.Tensor]:
    """The rendered photo (1, 3, S, S) of a head, and its mask (1, 1, S, S)."""
    posed = model.pose(codes)
    albedo = model.albedo(codes.texture)
    drawn = model.renderer(posed.head.vertices, posed.vertices, albedo, codes.light, SIZE)
    return drawn.image.clamp(0, 1), drawn.face_mask


def test_light_and_albedo_are_found_again(model: Deca) -> None:
    """The picture under the found codes is the photo; the skin is dark, the light from the left."""
    codes = known_codes()
    photo, mask = photo_of(model, codes)
    plain = codes._replace(texture=torch.zeros(1, 50), light=ambient_light(1))
    found = fit_colours(model, model.pose(plain), photo, mask)
    again, _ = photo_of(model, found)
    before, _ = photo_of(model, plain)

    def difference(picture: torch.Tensor) -> float:
        return float(((picture - photo) * mask).abs().sum() / mask.sum() / 3)

    assert difference(again) < 0.03
    assert difference(before) > 0.1
    assert found.texture[0, 0] < -0.3
    assert found.light[0, 1].mean() > 0.1


def test_a_face_without_visible_skin_has_the_priors_colours(model: Deca) -> None:
    codes = known_codes()
    found = fit_colours(
        model, model.pose(codes), torch.zeros(1, 3, SIZE, SIZE), torch.zeros(1, 1, SIZE, SIZE)
    )
    assert torch.equal(found.texture, torch.zeros(1, 50))
    torch.testing.assert_close(found.light, ambient_light(1))


def test_a_dark_line_becomes_a_fold(model: Deca) -> None:
    """A painted line on the cheek is deeper than the skin beside it; a plain photo has hardly any detail."""
    codes = known_codes()
    photo, mask = photo_of(model, codes)
    grey = torch.full_like(photo, 0.6)
    assert fit_details(model, model.pose(codes), grey, mask).abs().max() < 1e-4
    posed = model.pose(codes)
    cheek = posed.landmarks[0, [41, 48]].mean(dim=0)  # between the right eye and the corner of the mouth
    column, row = (((cheek + 1) * SIZE - 1) / 2).round().int().tolist()
    grey[..., row - 1 : row + 2, column - 8 : column + 8] = 0.35
    found = fit_details(model, posed, grey, mask)
    seen = model.layout.from_image((grey[:, :1] < 0.5).float(), posed.vertices)
    line, skin = found[seen > 0.9], found[(seen == 0) & (found != 0)]
    assert line.mean() < -2e-4
    assert abs(float(skin.mean())) < 1e-4
    assert found.abs().max() < 0.005
    assert (found[model.surface.region.expand_as(found) == 0] == 0).all()


def test_the_same_photos_give_the_same_heads(model: Deca) -> None:
    codes = known_codes(1)
    photo, mask = photo_of(model, codes)
    posed = model.pose(codes)
    dense = project(model.head.dense(posed.head.vertices), codes.camera)[0].numpy()
    mesh = (np.concatenate([dense, np.zeros((10, 3))]) * SIZE / 2).astype(np.float32)
    mesh[:, :2] += SIZE / 2 - 0.5
    face = Face(
        (photo[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8),
        (posed.landmarks[0].numpy() + 1) * SIZE / 2 - 0.5,
        mesh,
        (mask[0, 0].numpy() * 255).astype(np.uint8),
    )
    fitter = Fitter(model, SIZE)
    ((_, first),), ((_, second),) = fitter.fit_each([face]), fitter.fit_each([face])
    assert all(torch.equal(a, b) for a, b in zip(first.posed.codes, second.posed.codes, strict=True))
    assert first.displacement is not None
    assert second.displacement is not None
    assert torch.equal(first.displacement, second.displacement)
    assert landmark_error(face.landmarks, first) < 0.01
    ((_, plain),) = Fitter(model, SIZE, details=False).fit_each([face])
    assert plain.displacement is None


def test_an_unknown_head_is_one_sentence() -> None:
    with pytest.raises(UsageError, match="there is no head named 'bfm': choose one of open, flame, ict"):
        fitting_model("bfm")
    with pytest.raises(UsageError, match="the flame head needs its file"):
        fitting_model("flame")


def test_groups_of_photos() -> None:
    faces = [Face(np.zeros((1, 1, 3), np.uint8), np.full((68, 2), n), None, None) for n in range(3)]
    assert [len(group) for group in groups(iter(faces), same_person=False)] == [1, 1, 1]
    assert [len(group) for group in groups(iter(faces), same_person=True)] == [3]


@pytest.mark.parametrize(("yaw", "left_out"), [(0.2, False), (1.0, True)])
def test_the_ground_beside_a_profile_is_no_texture(model: Deca, yaw: float, left_out: bool) -> None:
    codes = FaceCodes(np.zeros(100), np.zeros(50), np.array([0, yaw, 0, 0, 0, 0.0]), np.array([7.0, 0, 0]))
    fitter = Fitter(model, SIZE)
    image = np.full((fitter.size, fitter.size, 3), 128, np.uint8)
    landmarks = np.random.default_rng(0).uniform(40, 88, (68, 2)).astype(np.float32)
    mask = np.zeros(image.shape[:2], np.uint8)
    mask[:, : fitter.size // 2] = 255
    view = fitter.view(Face(image, landmarks, None, mask))
    found = fitter.render([view], [codes])
    beside = torch.from_numpy(view.covered & ~view.skin)
    assert beside.any()
    assert (found.covered[0, 0][beside] == 0).all() == left_out
    assert found.covered.any()


@pytest.mark.parametrize(("yaw", "moved"), [(0.1, False), (0.7, True)])
def test_only_turned_heads_follow_the_outline(model: Deca, yaw: float, moved: bool) -> None:
    """The mask is that of the head a little larger."""
    codes = known_codes()
    codes = codes._replace(pose=torch.tensor([[0, yaw, 0, 0, 0, 0.0]]))
    photo, _ = photo_of(model, codes)
    _, mask = photo_of(model, codes._replace(camera=codes.camera * torch.tensor([1.05, 1, 1])))
    landmarks = (model.pose(codes).landmarks[0].numpy() + 1) * SIZE / 2 - 0.5
    image = (photo[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    face = Face(image, landmarks, None, (mask[0, 0].numpy() * 255).astype(np.uint8))
    heads = []
    for outline in (False, True):
        ((_, found),) = Fitter(model, SIZE, details=False, outline=outline).fit_each([face])
        heads.append(found.posed.codes)
    assert torch.equal(heads[0].shape, heads[1].shape) == (not moved)
    assert torch.equal(heads[0].camera, heads[1].camera) == (not moved)
