"""RingNet's ring loss."""

from __future__ import annotations

import pytest
import torch

from deca_model.losses.ring import MARGIN, ring_loss

PARTNERS, SUBJECTS = torch.tensor([1, 0, 3, 2]), torch.tensor([4, 4, 9, 9])


def test_persons_that_are_far_apart_have_no_loss():
    shapes = torch.tensor([[0.0, 0.1], [0.1, 0.0], [3.0, 0.0], [3.0, 0.1]])
    assert float(ring_loss(shapes, PARTNERS, SUBJECTS)) == 0


def test_the_loss_is_the_mean_hinge_over_photos_of_different_persons():
    torch.manual_seed(0)
    shapes = torch.randn(4, 3) / 3
    expected = []
    for one in range(4):
        within = float((shapes[one] - shapes[PARTNERS[one]]).square().sum())
        for other in range(4):
            if SUBJECTS[one] != SUBJECTS[other]:
                between = float((shapes[one] - shapes[other]).square().sum())
                expected.append(max(0.0, within - between + MARGIN))
    assert float(ring_loss(shapes, PARTNERS, SUBJECTS)) == pytest.approx(sum(expected) / 8, rel=1e-5)


def test_a_batch_of_one_person_has_no_loss():
    assert float(ring_loss(torch.randn(4, 3), PARTNERS, torch.zeros(4, dtype=torch.int64))) == 0


def test_it_pulls_a_persons_codes_together_and_persons_apart():
    torch.manual_seed(1)
    shapes = torch.randn(4, 3).requires_grad_()
    for _ in range(50):
        loss = ring_loss(shapes, PARTNERS, SUBJECTS)
        (gradient,) = torch.autograd.grad(loss, shapes)
        shapes = (shapes - 0.05 * gradient).detach().requires_grad_()
    within = (shapes[0] - shapes[1]).square().sum() + (shapes[2] - shapes[3]).square().sum()
    between = (shapes[0] - shapes[2]).square().sum() + (shapes[1] - shapes[3]).square().sum()
    assert float(within.detach()) < float(between.detach()) - 2 * MARGIN + 0.05
