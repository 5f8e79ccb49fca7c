"""Photometric, detail and consistency losses: by hand, invariances, gradients, masks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from deca_model.data.swap_partners import swap_order
from deca_model.losses import detail
from deca_model.losses.photometric import photometric_loss

ALL = torch.ones(3, dtype=torch.bool)


def _images(seed: int, count: int = 3, channels: int = 3, size: int = 8) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, channels, size, size, generator=generator, dtype=torch.float64)


def _mask(seed: int) -> Tensor:
    return (_images(seed, channels=1) > 0.4).double()


def test_photometric_by_hand() -> None:
    rendered, images = torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    rendered[0, :, 0, 0] = torch.tensor([0.3, 0.6, 0.0])  # inside: mean 0.3 at one of four pixels
    rendered[0, :, 1, 1] = 1.0  # outside
    seen = torch.tensor([[[[1.0, 1.0], [0.0, 1.0]]]])
    face = torch.tensor([[[[1.0, 1.0], [1.0, 0.0]]]])
    loss = photometric_loss(rendered, images, seen, face, ALL[:1])
    assert loss.value.item() == pytest.approx(0.3 / 4)
    assert loss.counted.item() == 1


def test_photometric_leaves_out_and_counts_images_without_mask() -> None:
    rendered, images, seen, face = _images(0), _images(1), _mask(2), _mask(3)
    has = torch.tensor([True, False, True])
    loss = photometric_loss(rendered, images, seen, face, has)
    pair = torch.tensor([0, 2])
    alone = photometric_loss(rendered[pair], images[pair], seen[pair], face[pair], ALL[:2])
    assert torch.isclose(loss.value, alone.value)
    assert loss.counted.item() == 2
    rendered.requires_grad_()
    photometric_loss(rendered, images, seen, face, has).value.backward()
    assert rendered.grad is not None
    assert (rendered.grad[1] == 0).all()
    nothing = photometric_loss(_images(0), images, seen, face, ~ALL)
    assert (nothing.value.item(), nothing.counted.item()) == (0.0, 0)


def test_photometric_ignores_batch_order_mirror_and_what_is_masked() -> None:
    rendered, images, seen, face = _images(0), _images(1), _mask(2), _mask(3)
    value = photometric_loss(rendered, images, seen, face, ALL).value
    order = [2, 0, 1]
    swapped = photometric_loss(rendered[order], images[order], seen[order], face[order], ALL).value
    mirrored = photometric_loss(rendered.flip(-1), images.flip(-1), seen.flip(-1), face.flip(-1), ALL).value
    hidden = rendered + 5 * (1 - seen * face)
    doubled = [torch.cat([part, part]) for part in (rendered, images, seen, face, ALL)]
    for other in (
        swapped, mirrored, photometric_loss(hidden, images, seen, face, ALL).value,
        photometric_loss(*doubled).value,
    ):  # fmt: skip
        assert torch.isclose(other, value)


def test_photometric_gradients() -> None:
    rendered, images, seen, face = (
        _images(0).requires_grad_(),
        _images(1),
        _mask(2),
        _mask(3).requires_grad_(),
    )
    copies = [part.detach().clone() for part in (rendered, images, seen, face)]
    assert torch.autograd.gradcheck(
        lambda r: photometric_loss(r, images, seen, face.detach(), ALL).value, (rendered,)
    )
    photometric_loss(rendered, images, seen, face, ALL).value.backward()
    assert face.grad is None
    for part, copy in zip((rendered, images, seen, face), copies, strict=True):
        assert torch.equal(part.detach(), copy)


def test_empty_masks_are_zero_and_finite() -> None:
    rendered = _images(0).requires_grad_()
    empty = torch.zeros(3, 1, 8, 8, dtype=torch.float64)
    loss = photometric_loss(rendered, _images(1), empty, empty, ALL).value
    loss = loss + detail.uv_photometric_loss(rendered, _images(1), empty)
    loss.backward()
    assert loss.item() == 0
    assert rendered.grad is not None
    assert (rendered.grad == 0).all()


def test_uv_photometric_by_hand_and_means() -> None:
    rendered, photo = torch.zeros(2, 3, 2, 2), torch.zeros(2, 3, 2, 2)
    rendered[0, :, 0, 0] = 0.4
    visible = torch.zeros(2, 1, 2, 2)
    visible[0, 0, 0] = 1.0  # two of four texels of the first image, none of the second
    assert detail.uv_photometric_loss(rendered, photo, visible).item() == pytest.approx(0.1)
    doubled = detail.uv_photometric_loss(
        rendered.repeat(2, 1, 1, 1), photo.repeat(2, 1, 1, 1), visible.repeat(2, 1, 1, 1)
    )
    assert doubled.item() == pytest.approx(0.1)


def test_patch_is_the_middle_at_full_size() -> None:
    ramp = torch.arange(256.0).expand(1, 1, 256, 256)
    patch = detail.uv_patch(ramp)
    assert patch.shape == (1, 1, 256, 256)
    assert patch[0, 0, 0, 0].item() == pytest.approx(50, abs=0.5)
    assert patch[0, 0, 0, -1].item() == pytest.approx(205, abs=0.5)
    assert detail.uv_patch(ramp[..., ::2, ::2]).shape == (1, 1, 128, 128)


def test_displacement_prior_and_smoothness_by_hand() -> None:
    field = torch.tensor([[[[0.01, -0.03], [0.0, 0.0]]]])
    assert detail.displacement_prior(field).item() == pytest.approx(0.01)
    # across: (-0.04, 0) -> mean square 0.0008; down: (-0.01, 0.03) -> 0.0005
    assert detail.shading_smoothness(field).item() == pytest.approx(0.0013)
    assert detail.shading_smoothness(torch.full((2, 3, 4, 4), 0.7)).item() == 0


def test_soft_symmetry_pulls_only_the_hidden_side() -> None:
    visible = torch.zeros(1, 1, 16, 16, dtype=torch.float64)
    visible[..., :8] = 1  # the left half is seen
    field = _images(0, 1, 1, 16).requires_grad_()
    detail.soft_symmetry(field, visible).backward()
    assert field.grad is not None
    assert (field.grad[..., :6] == 0).all()  # two texels at the rim count as hidden
    assert (field.grad[..., 8:] != 0).all()
    even = field.detach() + field.detach().flip(-1)
    assert detail.soft_symmetry(even, visible).item() == pytest.approx(0)
    assert detail.soft_symmetry(field.detach(), torch.ones_like(visible)).item() == 0


def test_soft_symmetry_by_hand() -> None:
    field = torch.zeros(1, 1, 2, 4)
    field[0, 0, 0, 0] = 0.4
    assert detail.soft_symmetry(field, torch.zeros(1, 1, 2, 4)).item() == pytest.approx(2 * 0.4 / 8)


@pytest.mark.parametrize("loss", [detail.displacement_prior, detail.shading_smoothness])
def test_detail_priors_have_gradients_and_do_not_follow_the_batch(loss) -> None:
    field = (_images(0, 2, 1) - 0.5).requires_grad_()
    assert torch.autograd.gradcheck(loss, (field,))
    assert torch.isclose(loss(field.repeat(3, 1, 1, 1)), loss(field))
    assert torch.isclose(loss(field.flip(0)), loss(field))


def test_swap_gives_everybody_the_code_of_another_image_of_the_same_person() -> None:
    generator = torch.Generator().manual_seed(0)
    orders = [swap_order(5, 4, generator) for _ in range(20)]
    for order in orders:
        assert torch.equal(order.sort().values, torch.arange(20))
        assert torch.equal(order // 4, torch.arange(20) // 4)
        assert (order != torch.arange(20)).all()
    assert len({tuple(order.tolist()) for order in orders}) > 10
    assert torch.equal(swap_order(3, 1), torch.arange(3))
    assert torch.equal(
        swap_order(5, 4, torch.Generator().manual_seed(7)), swap_order(5, 4, torch.Generator().manual_seed(7))
    )
