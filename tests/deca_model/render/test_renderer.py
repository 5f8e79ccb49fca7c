"""Rendering the embedded head, and recovering its codes from the image."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from deca_model.heads import Head, load_head
from deca_model.losses.landmarks import landmark_loss
from deca_model.networks.encoder import framing_camera
from deca_model.render.albedo import AlbedoSpace, load_albedo
from deca_model.render.camera import project
from deca_model.render.light import ambient_light, shade
from deca_model.render.renderer import Renderer, Rendering, composite
from deca_model.render.uv import UvLayout


class Scene:
    """The embedded head with all that is needed to render it."""

    def __init__(self, size: int) -> None:
        self.head: Head = load_head("open")
        layout = UvLayout(self.head, 128)
        self.albedo: AlbedoSpace = load_albedo(self.head, layout)
        self.renderer = Renderer(self.head, layout)
        self.size = size

    def picture(self, codes: dict[str, Tensor]) -> tuple[Rendering, Tensor]:
        output = self.head(codes["shape"], codes["expression"], codes["pose"])
        projected = project(output.vertices, codes["camera"])
        albedo = self.albedo(codes["texture"])
        rendering = self.renderer(output.vertices, projected, albedo, codes["light"], self.size)
        return rendering, project(output.landmarks_2d, codes["camera"])

    def codes(self) -> dict[str, Tensor]:
        output = self.head(torch.zeros(1, 100), torch.zeros(1, 50), torch.zeros(1, 6))
        return {
            "shape": torch.zeros(1, 100),
            "expression": torch.zeros(1, 50),
            "pose": torch.zeros(1, 6),
            "camera": framing_camera(output.landmarks_3d[0])[None],
            "texture": torch.zeros(1, 50),
            "light": ambient_light(1, 0.8),
        }


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene(96)


def _some_light() -> Tensor:
    light = ambient_light(1, 0.8)
    return light + 0.25 * torch.randn(1, 9, 3, generator=torch.Generator().manual_seed(2))


def test_image_is_albedo_times_shading_and_zero_outside(scene: Scene) -> None:
    rendering, landmarks = scene.picture(scene.codes() | {"light": _some_light()})
    assert torch.allclose(rendering.image, rendering.albedo * rendering.shading)
    outside = rendering.mask.expand(-1, 3, -1, -1) == 0
    for picture in (rendering.image, rendering.albedo, rendering.shading, rendering.normals):
        assert (picture[outside] == 0).all()
    length = rendering.normals.norm(dim=1)[rendering.mask[:, 0] == 1]
    assert torch.allclose(length, torch.ones_like(length), atol=1e-4)
    assert ((rendering.face_mask == 0) | (rendering.mask == 1)).all()
    inner = landmarks[0, 17:36, :2]  # brows and nose; eyes and lips have rims that are not skin
    at = ((inner + 1) * 48 - 0.5).round().long()
    assert rendering.face_mask[0, 0, at[:, 1], at[:, 0]].mean() > 0.95


def test_the_nose_faces_the_viewer_and_a_left_light_shades_the_left(scene: Scene) -> None:
    light = ambient_light(1, 0.5)
    light[:, 1] = 0.3
    rendering, landmarks = scene.picture(scene.codes() | {"light": light})
    x, y = ((landmarks[0, 30, :2] + 1) * 48 - 0.5).round().long().tolist()
    assert rendering.normals[0, 2, y, x] > 0.7
    # the subject's left is the image's right
    brightness = (rendering.shading * rendering.face_mask).sum(dim=(0, 1, 2))
    assert brightness[x + 2 :].sum() > 1.3 * brightness[: x - 1].sum()


def test_composite_by_hand() -> None:
    image, background = torch.full((1, 3, 1, 2), 0.2), torch.full((1, 3, 1, 2), 0.6)
    mask = torch.tensor([[[[1.0, 0.0]]]])
    assert composite(image, mask, background)[0, 0, 0].tolist() == pytest.approx([0.2, 0.6])


def test_vertex_albedo_and_detail_normals(scene: Scene) -> None:
    codes = scene.codes()
    output = scene.head(codes["shape"], codes["expression"], codes["pose"])
    projected = project(output.vertices, codes["camera"])
    ones = torch.ones_like(output.vertices)
    toward = torch.tensor([0.0, 0, 1]).view(1, 3, 1, 1).expand(1, 3, 128, 128)
    light = ambient_light(1, 0.5)
    light[:, 3] = 0.2
    rendering = scene.renderer(output.vertices, projected, ones, light, 64, toward)
    inside = rendering.face_mask[0, 0] == 1  # elsewhere the mesh's normals stay
    flat = rendering.image[0, :, inside]
    assert flat.std() < 1e-5
    assert flat.mean() == pytest.approx(0.5 + 0.2 * 1.02333, abs=1e-4)


def test_gradient_of_the_picture_reaches_every_code(scene: Scene) -> None:
    """The official coarse render ignored the light, so this gradient was zero there."""
    codes = {
        key: value.clone().requires_grad_()
        for key, value in (scene.codes() | {"light": _some_light()}).items()
    }
    rendering, _ = scene.picture(codes)
    target = torch.full_like(rendering.image, 0.4)
    ((rendering.image - target).abs() * rendering.face_mask).mean().backward()
    for key, code in codes.items():
        assert code.grad is not None, key
        assert code.grad.isfinite().all(), key
        assert code.grad.abs().max() > 1e-8, key
    assert (codes["light"].grad.abs() > 1e-6).all()  # type: ignore[union-attr]


def test_gradients_match_finite_differences(scene: Scene) -> None:
    """In float64, away from outlines: the gradient with respect to each kind of code."""
    codes = {key: value.double() for key, value in (scene.codes() | {"light": _some_light()}).items()}
    head, renderer = scene.head.double(), scene.renderer.double()
    try:
        output = head(codes["shape"], codes["expression"], codes["pose"])
        projected = project(output.vertices, codes["camera"])
        fragments = renderer(output.vertices, projected, output.vertices, codes["light"], 24).fragments
        inside = renderer.face_region[fragments.face_index.clamp(min=0)] & (fragments.face_index >= 0)

        def value(shape: Tensor, pose: Tensor, light: Tensor) -> Tensor:
            posed = head(shape, codes["expression"], pose).vertices
            seen = renderer(posed, project(posed, codes["camera"]), posed, light, 24)
            same = (seen.fragments.face_index == fragments.face_index) & inside
            return seen.image.permute(0, 2, 3, 1)[same & inside].square().sum()

        start = (codes["shape"][:, :3].clone(), codes["pose"].clone() + 0.01, codes["light"].clone())
        assert torch.autograd.gradcheck(
            value, [part.requires_grad_() for part in start], eps=1e-7, atol=1e-4, rtol=0.02
        )
    finally:
        head.float()
        renderer.float()


def test_relit_scene_is_recovered_within_five_percent(scene: Scene) -> None:
    codes = scene.codes()
    truth = _some_light()
    codes["texture"] = torch.randn(1, 50, generator=torch.Generator().manual_seed(5)) * 0.5
    with torch.no_grad():
        photo, _ = scene.picture(codes | {"light": truth})
        first, _ = scene.picture(codes)  # the light changes neither what is seen nor its normals
    normals = first.normals.permute(0, 2, 3, 1)
    light = ambient_light(1, 0.5).requires_grad_()
    optimiser = torch.optim.LBFGS(
        [light], max_iter=200, tolerance_grad=1e-9, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        picture = first.albedo * shade(normals, light).permute(0, 3, 1, 2)
        loss = ((picture - photo.image).square() * photo.face_mask).mean()
        loss.backward()
        return loss

    optimiser.step(closure)
    assert (light - truth).norm() / truth.norm() < 0.05


def test_analysis_by_synthesis_recovers_pose_light_and_shape() -> None:
    """From an image and its landmarks: pose within 2 degrees, light within 10 %, shape within 1.5 mm."""
    scene = Scene(64)
    truth = scene.codes()
    truth["shape"][0, :10] = torch.randn(10, generator=torch.Generator().manual_seed(3))
    truth["pose"][0, :4] = torch.tensor([0.1, -0.35, 0.05, 0.1])
    truth["camera"] = truth["camera"] * torch.tensor([[0.92, 1.0, 1.0]]) + torch.tensor([[0, 0.004, -0.006]])
    truth["light"] = _some_light()
    with torch.no_grad():
        photo, landmarks = scene.picture(truth)
    found = {key: value.clone().requires_grad_() for key, value in scene.codes().items()}

    def by_landmarks() -> Tensor:
        output = scene.head(found["shape"], found["expression"], found["pose"])
        points = project(output.landmarks_2d, found["camera"])
        return landmark_loss(points, landmarks[..., :2]) + found["shape"].square().sum() * 1e-4

    def by_picture() -> Tensor:
        picture, points = scene.picture(found)
        both = picture.face_mask * photo.face_mask
        colour = ((picture.image - photo.image).abs() * both).sum() / both.sum()
        prior = found["shape"].square().sum() * 1e-5
        return landmark_loss(points, landmarks[..., :2]) * 10 + colour * 30 + prior

    _minimise(by_landmarks, found, {"pose": 0.02, "camera": 0.02, "shape": 0.05}, 200)
    _minimise(by_picture, found, {"pose": 0.003, "camera": 0.003, "shape": 0.03, "light": 0.03}, 400)
    turned = torch.rad2deg((found["pose"] - truth["pose"]).detach().abs())[0]
    assert turned[:3].max() < 2
    assert (found["light"] - truth["light"]).detach().norm() / truth["light"].norm() < 0.10
    start = scene.codes()
    assert _shape_distance(scene.head, found, truth) < 0.0015
    assert _shape_distance(scene.head, found, truth) < 0.6 * _shape_distance(scene.head, start, truth)


def _minimise(
    loss: Callable[[], Tensor], codes: dict[str, Tensor], rates: dict[str, float], steps: int
) -> None:
    optimiser = torch.optim.Adam([{"params": [codes[key]], "lr": rate} for key, rate in rates.items()])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, eta_min=1e-4)
    for _ in range(steps):
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()
        schedule.step()


def _shape_distance(head: Head, first: dict[str, Tensor], second: dict[str, Tensor]) -> float:
    """Mean distance (metres) of the neutral faces' vertices, after their centres are aligned."""
    with torch.no_grad():
        shapes = [head.neutral(codes["shape"], codes["expression"])[0] for codes in (first, second)]
    difference = (shapes[0] - shapes[1])[head.faces[head.face_region].unique()]
    return float((difference - difference.mean(dim=0)).norm(dim=1).mean())
