"""Where the eyes look: found again from the irises of heads whose gaze is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deca_model.heads import Head, load_head
from deca_model.heads.head import LEFT_EYE, RIGHT_EYE
from deca_model.heads.rotations import axis_angle_to_matrix
from deca_model.networks.model import Deca
from deca_model.use.fitting.gaze import FARTHEST, NOWHERE, Look, look, smoothed_looks, turn_to, with_gaze
from deca_model.use.inference import Reconstruction
from manifests.images.crop import denormalise_points
from tests.deca_model.use.conftest import load_small_model, turned_head


@pytest.fixture(scope="module")
def head() -> Head:
    return load_head("open")


@pytest.fixture(scope="module")
def model() -> Deca:
    return load_small_model()


def photographed(model: Deca, found: Reconstruction, eyes: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The 68 landmarks and the mesh, in pixels, of a person whose eyes are turned (axis-angle)."""
    posed = model.pose(found.posed.codes, eyes.repeat(1, 2))
    mesh = np.zeros((478, 3), np.float32)
    for joint, iris in ((LEFT_EYE, 473), (RIGHT_EYE, 468)):
        ball = torch.nonzero(model.head.weights[:, joint] > 0.5)[:, 0]
        pole = ball[model.head.template[ball, 2].argmax()]
        place = posed.vertices[0, pole, :2].numpy()
        mesh[iris, :2] = denormalise_points(place[None], found.squares[0])[0]
    return found.landmarks()[0], mesh


@pytest.mark.parametrize("yaw", [-40.0, 0.0, 25.0])
@pytest.mark.parametrize("pitch", [-15.0, 0.0, 10.0])
def test_a_known_gaze_is_found_again_also_where_the_fit_is_off(
    model: Deca, head: Head, yaw: float, pitch: float
):
    found = turned_head(head, yaw)
    direction = np.array([np.sin(np.radians(20)), -np.sin(np.radians(pitch)), 1.0])
    wanted = torch.from_numpy(turn_to(direction)).float()[None]
    landmarks, mesh = photographed(model, found, wanted)
    shift = np.array([0.8, -0.5], np.float32)  # pixels: the fitted head lies beside the face
    seen = look(landmarks + shift, np.concatenate([mesh[:, :2] + shift, mesh[:, 2:]], axis=1))
    eyes = with_gaze(model, found, [seen]).posed.eyes
    assert eyes is not None
    turned = axis_angle_to_matrix(eyes.view(2, 3))[:, :, 2].numpy()
    truth = axis_angle_to_matrix(wanted)[0, :, 2].numpy()
    assert np.degrees(np.arccos((turned @ truth).clip(-1, 1))).max() < 2


def test_only_the_eyeballs_turn(model: Deca, head: Head):
    found = turned_head(head, 10.0)
    landmarks, mesh = photographed(model, found, torch.tensor([[0.1, 0.3, 0.0]]))
    moved = with_gaze(model, found, [look(landmarks, mesh)]).posed
    distance = (moved.head.vertices - found.posed.head.vertices)[0].norm(dim=1)
    ball = (head.weights[:, [LEFT_EYE, RIGHT_EYE]] > 0.5).any(dim=1)
    assert distance[ball].max() > 0.002
    assert distance[~ball].max() < 1e-6
    torch.testing.assert_close(moved.landmarks, found.posed.landmarks)


def test_shut_eyes_and_unknown_irises_look_straight_ahead(model: Deca, head: Head):
    found = turned_head(head, 0.0)
    landmarks, mesh = photographed(model, found, torch.tensor([[0.0, 0.3, 0.0]]))
    landmarks = landmarks.copy()
    for upper, lower in ((37, 41), (38, 40), (43, 47), (44, 46)):
        landmarks[upper] = landmarks[lower]
    for seen in (look(landmarks, mesh), look(landmarks, None), NOWHERE):
        eyes = with_gaze(model, found, [seen]).posed.eyes
        assert eyes is not None
        assert not eyes.any()


def test_no_eye_turns_further_than_eyes_do():
    assert np.degrees(np.linalg.norm(turn_to(np.array([1.0, 0.2, 0.1])))) == pytest.approx(FARTHEST)
    assert not turn_to(np.array([0.0, 0.0, 1.0])).any()


def test_in_a_clip_a_blink_keeps_the_gaze_and_jitter_goes():
    rng = np.random.default_rng(0)
    looks = [Look(np.array([[4.0, 1.0], [4.0, 1.0]]) + rng.normal(0, 0.5, (2, 2)), np.full(2, 30.0))
             for _ in range(20)]  # fmt: skip
    looks[10] = Look(np.full((2, 2), -50.0), np.zeros(2))
    smooth = smoothed_looks(looks, 25.0)
    assert np.abs(smooth[10].offsets - [4.0, 1.0]).max() < 1
    jitter = [np.abs(np.diff([each.offsets for each in of[:10]], axis=0)).mean() for of in (looks, smooth)]
    assert jitter[1] < 0.7 * jitter[0]
    nothing = smoothed_looks([NOWHERE] * 3, 25.0)
    found = turned_head(load_head("open"), 0.0)
    eyes = with_gaze(load_small_model(), found, nothing[:1]).posed.eyes
    assert eyes is not None
    assert not eyes.any()
