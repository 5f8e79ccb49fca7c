from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from deca_model.heads.rotations import axis_angle_to_matrix
from deca_model.networks.detail import DetailSurface
from deca_model.render.rasterize import rasterize
from deca_model.use.inference import reconstruct
from deca_model.use.mouth import mouth_inside, teeth
from deca_model.use.photo_texture import (
    at_vertices,
    eyeballs,
    feathered,
    photo_texture,
    seen_texels,
    texture_layout,
)
from deca_model.use.spreading import spread
from tests.deca_model.use.conftest import load_small_model, turned_head


def test_the_texture_is_the_photo_well_inside_the_face(found):
    model, _, result = found
    layout = texture_layout(model.head)
    texture = photo_texture(model, result)
    seen = seen_texels(layout, result)
    assert result.sharp is not None
    photo = layout.from_image(result.sharp, result.posed.vertices)
    inside = (feathered(seen) > 0.999).expand_as(photo)
    assert inside.float().mean() > 0.03
    assert (texture - photo.clamp(0, 1))[inside].abs().max() < 2e-3
    # where the photo shows nothing, the model's colours have the mean of the photo's
    hidden = (layout.covered & ~layout.face_region).expand_as(texture)
    assert abs(float(texture[hidden].mean() - photo[(seen > 0.9).expand_as(photo)].mean())) < 0.2


def test_what_lies_behind_the_nose_is_not_seen(head):
    """The head looks far aside: the nose hides a part of the cheek that its own normal would show."""
    layout = texture_layout(head, 128)
    found = turned_head(head, degrees=55)
    seen = seen_texels(layout, found)[0, 0] > 0.5
    surface = DetailSurface(layout)
    facing = surface.visible(found.posed.head.vertices, found.posed.vertices, found.covered)[0, 0] > 0.5
    place = layout.from_vertices(found.posed.vertices)[0]
    assert (facing & ~seen).sum() > 30
    # by the definition: of all texels at one place of the picture, the nearest is seen
    rows, columns = torch.nonzero(seen, as_tuple=True)
    points = place[:, rows, columns].T
    others = place[:, layout.covered].T
    for x, y, z in points[:: max(1, len(points) // 40)].tolist():
        near = (others[:, :2] - torch.tensor([x, y])).norm(dim=1) < 0.01
        before = (z - others[near, 2]) / found.posed.codes.camera[0, 0]
        assert before.max() < 0.02  # metres


def test_the_hidden_half_of_a_face_is_the_mirrored_other_half(head):
    """A photo whose colour depends on the height only: the texture does too, also where it is not seen."""
    model = load_small_model()
    found = turned_head(head, degrees=50)
    rows = torch.linspace(0.3, 0.9, 512).view(1, 1, 512, 1).expand(1, 3, 512, 512)
    found = replace(found, sharp=rows.clone(), photos=rows[..., ::8, ::8].clone())
    layout = texture_layout(model.head)
    texture = photo_texture(model, found)
    seen = feathered(seen_texels(layout, found))
    filled = ((seen < 0.02) & (seen.flip(3) > 0.98))[0, 0] & layout.face_region
    assert filled.float().mean() > 0.02
    expected = layout.from_image(rows, found.posed.vertices)
    assert (texture - expected)[0, :, filled].abs().mean() < 0.06


def test_the_skull_continues_the_colour_of_the_face(head):
    """A blue photo gives a blue head: its skull, ears and neck too, also below a black fringe."""
    model = load_small_model()
    found = turned_head(head, degrees=0)
    photo = torch.tensor([0.1, 0.2, 0.7]).view(1, 3, 1, 1).repeat(1, 1, 512, 512)
    photo[:, :, :160] = 0.03
    found = replace(found, sharp=photo)
    layout = texture_layout(model.head)
    texture = photo_texture(model, found)[0]
    skull = layout.covered & ~layout.face_region & ~eyeballs(layout, model.head)[0, 0]
    red, green, blue = texture[:, skull].mean(dim=1).tolist()
    assert blue > 0.5 > 0.3 > green > red


def test_the_inside_of_the_mouth_is_dark_and_the_skin_is_not(head):
    inside = at_vertices(head, mouth_inside(head, texture_layout(head)))[0, :, 0] > 0.5
    assert 80 < inside.sum() < 300

    def seen(turn: list[float], jaw: float = 0.0) -> torch.Tensor:  # vertices of the faces that are seen
        rotation = axis_angle_to_matrix(torch.tensor([turn]))[0]
        pose = torch.tensor([[0, 0, 0, jaw, 0, 0.0]])
        points = head(torch.zeros(1, 1), torch.zeros(1, 1), pose).vertices[0] @ rotation.T
        found = rasterize((points * torch.tensor([5.0, -5.0, -5.0]))[None], head.faces, 256).face_index[0]
        return torch.isin(torch.arange(len(head.template)), head.faces[found[found >= 0].unique()])

    for turn in ([0.0, 0, 0], [0, 0.7, 0], [0, -1.5, 0], [-0.5, 0, 0]):  # front, sides, from below
        assert (seen(turn) & inside).sum() < 25  # at the slit between the lips
    opened = seen([0.0, 0, 0], jaw=0.45) & ~seen([0.0, 0, 0])
    behind = head.template[:, 2] < 0.06  # the walls of the mouth, and not the lips
    middle = (
        (head.template[:, 0].abs() < 0.02) & (head.template[:, 1] > -0.09) & (head.template[:, 1] < -0.02)
    )
    assert inside[opened & behind & middle].float().mean() > 0.8
    aside = seen([0.0, 0.5, 0], jaw=0.3) & ~seen([0.0, 0.5, 0])  # an open mouth from the side: an inner cheek
    cheek = (head.template[:, 0].abs() > 0.025) & (head.template[:, 0].abs() < 0.045)
    cheek &= (head.template[:, 1] > -0.09) & (head.template[:, 1] < -0.04) & (head.template[:, 2] < 0.05)
    assert (aside & cheek).sum() > 5
    assert inside[aside & cheek].float().mean() > 0.8


def test_spreading_keeps_what_is_known_and_is_smooth_between(head):
    values = head.template[None, :, :1] * 10  # linear over the head
    known = (head.template[None, :, 1:2] > 0).float()
    spreaded = spread(values, known, head.faces)
    inside = known[0, :, 0] > 0
    assert (spreaded - values)[0, inside].abs().mean() < 0.1
    assert spreaded.isfinite().all()
    assert spreaded.min() > values.min() - 0.1
    constant = spread(torch.full_like(values, 3.0), known, head.faces)
    assert torch.allclose(constant, torch.full_like(values, 3.0), atol=1e-3)
    assert (spread(values, torch.zeros_like(known), head.faces) == 0).all()


def test_padding_is_no_texture(found):
    model, size, _ = found
    white = np.full((90, 110, 3), 255, np.uint8)
    low, high = np.array([15.0, 15.0]), np.array([95.0, 115.0])  # the photo ends above the chin
    landmarks = low + np.random.default_rng(0).random((68, 2)) * (high - low)
    result = reconstruct(model, size, [white], landmarks=[landmarks])
    padding = result.photos.amax(dim=1, keepdim=True) < 0.5
    assert padding.float().mean() > 0.1
    assert torch.equal(result.covered == 0, padding)
    layout = texture_layout(model.head)
    black = 1 - layout.from_image(result.covered, result.posed.vertices)
    everywhere = replace(result, covered=torch.ones_like(result.covered))
    beyond = ((black > 0.9) & (seen_texels(layout, everywhere) > 0.9)).expand(-1, 3, -1, -1)
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


def test_teeth_are_bright_and_the_mouth_behind_them_is_dark():
    """The teeth of a dark photo are darker; the throat is darker than the mouth behind the lips."""
    model = load_small_model(teeth=True)
    layout = texture_layout(model.head)
    white = teeth(model.head, layout)[0][0, 0] > 0
    assert 0.02 < (white & layout.covered).float().mean() < 0.06
    front = turned_head(model.head, degrees=0)
    shown = {}
    for level in (0.25, 0.6):
        grey = torch.full((1, 3, 512, 512), level)
        shown[level] = photo_texture(model, replace(front, sharp=grey))[0]
    enamel = at_vertices(model.head, shown[0.6][None])[0, -198 : -198 + 66].amax(dim=0)
    assert enamel.min() > 0.6
    assert shown[0.25][:, white].mean() < 0.6 * shown[0.6][:, white].mean()
    z = layout.from_vertices(model.head.template[None, :, 2:])[0, 0]
    inside = (mouth_inside(model.head, layout)[0, 0] > 0.9) & layout.covered
    throat, near = (shown[0.6][:, inside & part].mean() for part in (z < 0.03, z > 0.07))
    assert throat < 0.6 * near < 0.3
