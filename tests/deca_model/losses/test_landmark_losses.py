"""Landmark losses and priors: by hand, invariances, gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from deca_model.losses import landmarks as losses
from deca_model.losses.regularizers import code_prior, white_light_prior

Loss = Callable[[Tensor, Tensor], Tensor]
ALL = (losses.landmark_loss, losses.eye_loss, losses.lip_loss, losses.corner_loss)
RELATIVE = ALL[1:]
MIRROR = [
    *range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31, 45, 44, 43, 42, 47, 46, 39,
    38, 37, 36, 41, 40, 54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65,
]  # fmt: skip


def _points(seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(3, 68, 2, generator=torch.Generator().manual_seed(seed), dtype=dtype) * 2 - 1


def test_official_weights() -> None:
    weights = losses.LANDMARK_WEIGHTS
    assert len(weights) == 68
    assert [index for index in range(68) if weights[index] == 3] == [30, 31, 35, 48, 54]
    assert [index for index in range(68) if weights[index] == 2] == [5, 6, 10, 11]
    assert {weights[index] for index in (27, 29, 32, 34, 49, 53, 55, 67)} == {1.5}
    assert {weights[index] for index in (0, 4, 7, 9, 12, 26, 36, 47)} == {1.0}
    # 4 contour points of 2, 6 nose of 1.5, 3 nose of 3, 18 mouth of 1.5, 2 corners of 3, 35 others
    assert sum(weights) == 4 * 2 + 6 * 1.5 + 3 * 3 + 18 * 1.5 + 2 * 3 + 35


def test_landmark_loss_by_hand() -> None:
    target = torch.zeros(2, 68, 2)
    predicted = target.clone()
    predicted[0, 30] = torch.tensor([0.2, -0.4])  # weight 3, mean of x and y 0.3, one of two images
    assert losses.landmark_loss(predicted, target).item() == pytest.approx(3 * 0.3 / 94 / 2, rel=1e-6)
    assert losses.landmark_loss(target + 0.5, target).item() == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("loss", "pair", "count"),
    [(losses.eye_loss, (38, 40), 4), (losses.lip_loss, (62, 66), 3), (losses.corner_loss, (48, 54), 2)],
)
def test_relative_losses_by_hand(loss: Loss, pair: tuple[int, int], count: int) -> None:
    target, predicted = torch.zeros(1, 68, 2), torch.zeros(1, 68, 2)
    target[0, pair[0]] = torch.tensor([0.3, 0.4])
    predicted[0, pair[1]] = torch.tensor([0.0, 0.2])
    assert loss(predicted, target).item() == pytest.approx(0.3 / count, rel=1e-5)


@pytest.mark.parametrize("loss", ALL)
def test_zero_for_equal_batch_order_and_mirror(loss: Loss) -> None:
    predicted, target = _points(0), _points(1)
    value = loss(predicted, target)
    assert value > 0.01
    assert loss(target, target) == 0
    assert torch.isclose(loss(predicted[[2, 0, 1]], target[[2, 0, 1]]), value)
    flip = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    assert torch.isclose(loss(predicted[:, MIRROR] * flip, target[:, MIRROR] * flip), value)


@pytest.mark.parametrize("loss", ALL)
def test_the_scale_does_not_follow_the_batch(loss: Loss) -> None:
    predicted, target = _points(0), _points(1)
    assert torch.isclose(loss(predicted.repeat(4, 1, 1), target.repeat(4, 1, 1)), loss(predicted, target))


@pytest.mark.parametrize("loss", RELATIVE)
def test_relative_losses_ignore_shifts_and_turns(loss: Loss) -> None:
    predicted, target = _points(0), _points(1)
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]], dtype=torch.float64)
    assert torch.isclose(loss(predicted @ turn + 0.3, target - 0.2), loss(predicted, target))


@pytest.mark.parametrize("loss", ALL)
def test_gradients_are_right_and_inputs_untouched(loss: Loss) -> None:
    predicted, target = _points(0).requires_grad_(), _points(1)
    before = predicted.detach().clone(), target.clone()
    assert torch.autograd.gradcheck(loss, (predicted, target))
    assert torch.equal(predicted.detach(), before[0])
    assert torch.equal(target, before[1])


@pytest.mark.parametrize("loss", RELATIVE)
def test_gradient_is_finite_for_a_closed_eye_and_mouth(loss: Loss) -> None:
    predicted = torch.zeros(1, 68, 2, requires_grad=True)
    loss(predicted, _points(1, torch.float32)[:1]).backward()
    assert predicted.grad is not None
    assert predicted.grad.isfinite().all()


def test_priors_by_hand() -> None:
    assert code_prior(torch.tensor([[3.0, 4.0], [0.0, 0.0]])).item() == pytest.approx(12.5 / 2)
    light = torch.zeros(1, 9, 3)
    light[0, 0] = torch.tensor([1.0, 2.0, 3.0])
    assert white_light_prior(light).item() == pytest.approx(2 / 27)
    assert white_light_prior(torch.randn(4, 9, 1).expand(4, 9, 3)).item() == pytest.approx(0, abs=1e-12)


def test_priors_do_not_follow_the_batch_and_have_gradients() -> None:
    code = torch.randn(2, 5, dtype=torch.float64, requires_grad=True)
    light = torch.randn(2, 9, 3, dtype=torch.float64, requires_grad=True)
    assert torch.isclose(code_prior(code.repeat(3, 1)), code_prior(code))
    assert torch.isclose(white_light_prior(light.repeat(3, 1, 1)), white_light_prior(light))
    assert torch.autograd.gradcheck(code_prior, (code,))
    assert torch.autograd.gradcheck(white_light_prior, (light,))
