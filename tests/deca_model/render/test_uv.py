"""The UV layout and the albedo spaces on the embedded head."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from deca_model.files.albedo_files import read_albedo_file
from deca_model.heads import Head, load_head
from deca_model.networks.encoder import framing_camera
from deca_model.render.albedo import AlbedoSpace, load_albedo
from deca_model.render.camera import project
from deca_model.render.rasterize import interpolate, rasterize
from deca_model.render.uv import UvLayout, uv_to_grid
from manifests.errors import UsageError


@pytest.fixture(scope="module")
def head() -> Head:
    return load_head("open")


@pytest.fixture(scope="module")
def layout(head: Head) -> UvLayout:
    return UvLayout(head, 256)


def _view(head: Head, yaw: float = 0.0) -> torch.Tensor:
    pose = torch.tensor([[0, yaw, 0, 0, 0, 0.0]])
    output = head(torch.zeros(1, 100), torch.zeros(1, 50), pose)
    camera = framing_camera(output.landmarks_3d[0])[None]
    return project(output.vertices, camera)


def test_grid_coordinates_turn_v_over() -> None:
    corners = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])
    assert torch.equal(uv_to_grid(corners), torch.tensor([[-1.0, -1.0], [1.0, 1.0], [0.0, 0.0]]))


def test_texels_hold_their_own_uv(head: Head, layout: UvLayout) -> None:
    """Interpolating the corners' UV at each covered texel gives the texel's own centre."""
    own = (layout.corners[layout.face_index] * layout.barycentric[..., None]).sum(dim=2)
    centres = (2 * torch.arange(256) + 1) / 256 - 1
    expected = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), dim=-1)
    assert torch.allclose(own[layout.covered], expected[layout.covered], atol=1e-4)
    assert layout.covered.float().mean() > 0.3
    assert layout.face_region.any()
    assert not (layout.face_region & ~layout.covered).any()


def test_a_map_seen_in_the_image_equals_direct_interpolation(head: Head, layout: UvLayout) -> None:
    projected = _view(head, 0.3)
    fragments = rasterize(projected, head.faces, 96)
    through_map = layout.to_image(layout.from_vertices(head.template[None]), fragments)
    direct = interpolate(fragments, head.template[head.faces]).permute(0, 3, 1, 2)
    inside = head.face_region[fragments.face_index.clamp(min=0)] & (fragments.face_index >= 0)
    error = (through_map - direct).norm(dim=1)[inside]
    assert error.quantile(0.9) < 0.001  # a millimetre; the rest lies at seams and creases
    assert (through_map[:, :, fragments.face_index[0] < 0] == 0).all()


def test_an_image_taken_to_uv_and_back(head: Head, layout: UvLayout) -> None:
    projected = _view(head)
    ramp = torch.linspace(0, 1, 96)
    image = torch.stack([ramp.expand(96, 96), ramp[:, None].expand(96, 96), torch.ones(96, 96)])[None]
    fragments = rasterize(projected, head.faces, 96)
    back = layout.to_image(layout.from_image(image, projected), fragments)
    inside = head.face_region[fragments.face_index.clamp(min=0)] & (fragments.face_index >= 0)
    assert ((back - image).abs().amax(dim=1)[inside]).quantile(0.9) < 0.02


def test_builtin_albedo_has_50_modes_and_plausible_skin(head: Head, layout: UvLayout) -> None:
    space = load_albedo(head, layout)
    assert space.basis.shape == (50, 3 * 256 * 256)
    codes = torch.randn(64, 50, generator=torch.Generator().manual_seed(0))
    maps = space(codes)
    skin = maps[:, :, layout.face_region].mean(dim=2)
    assert skin.min() > 0.03
    assert skin.max() < 1.0
    assert (skin[:, 0] > skin[:, 2]).all()  # redder than blue
    assert skin[:, 0].std() > 0.1  # from dark to light
    assert len(space.state_dict()) == 0


def test_albedo_codes_are_linear_short_ones_allowed_long_ones_not(head: Head, layout: UvLayout) -> None:
    space = load_albedo(head, layout)
    code = torch.randn(2, 50, generator=torch.Generator().manual_seed(1))
    padded = torch.cat([code[:, :7], torch.zeros(2, 43)], dim=1)
    assert torch.allclose(space(code[:, :7]), space(padded), atol=1e-6)
    assert torch.allclose(space(code) + space(-code), 2 * space(code * 0), atol=1e-5)
    with pytest.raises(ValueError, match="51 texture codes"):
        space(torch.zeros(1, 51))


@pytest.mark.parametrize(("keys", "unit"), [(("MU", "PC"), 1.0), (("mean", "tex_dir"), 255.0)])
def test_albedo_files_in_the_published_layout(
    tmp_path: Path, tiny_flame_folder: Path, keys: tuple[str, str], unit: float
) -> None:
    flat = keys[0] == "MU"
    rng = np.random.default_rng(0)
    mean = (rng.random((512, 512, 3)) * unit).astype(np.float32)
    basis = (rng.random((512, 512, 3, 4)) * unit).astype(np.float32)
    shaped = (mean.reshape(-1), basis.reshape(-1, 4)) if flat else (mean, basis)
    np.savez(tmp_path / "albedo.npz", **dict(zip(keys, shaped, strict=True)))
    head = load_head("flame", tiny_flame_folder)
    space = load_albedo(head, UvLayout(head, 128), tmp_path / "albedo.npz", modes=3)
    assert space.mean.shape == (3, 128, 128)
    row, column = 17, 90
    assert np.allclose(space.mean[:, row, column], mean[4 * row, 4 * column, ::-1] / unit, atol=1e-6)
    value = space(torch.tensor([[0.0, 2.0, 0.0]]))[0, :, row, column] - space.mean[:, row, column]
    assert np.allclose(value, 2 * basis[4 * row, 4 * column, ::-1, 1] / unit, atol=1e-5)


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float64])
def test_albedo_files_in_fortran_order_and_of_integers(tmp_path: Path, flat: bool, kind: type) -> None:
    rng = np.random.default_rng(0)
    mean, basis = (rng.integers(0, 100, (512, 512, 3, *modes)).astype(kind) for modes in ((), (4,)))
    one, several = (mean.reshape(-1), basis.reshape(-1, 4)) if flat else (mean, basis)
    files = [tmp_path / "c.npz", tmp_path / "fortran.npz"]
    np.savez(files[0], mean=one, tex_dir=several)
    np.savez(files[1], mean=np.asfortranarray(one), tex_dir=np.asfortranarray(several))
    for path in files:
        found_mean, found_basis = read_albedo_file(path, 128, 3)
        expected = mean[::4, ::4, ::-1].transpose(2, 0, 1) / 255
        assert np.allclose(found_mean, expected, atol=1e-6)
        assert np.allclose(found_basis[2], basis[::4, ::4, ::-1, 2].transpose(2, 0, 1) / 255, atol=1e-6)


def test_wrong_albedo_files(tmp_path: Path, tiny_flame_folder: Path, head: Head, layout: UvLayout) -> None:
    path = tmp_path / "albedo.npz"
    with pytest.raises(UsageError, match="does not fit the open head"):
        load_albedo(head, layout, path)
    flame = load_head("flame", tiny_flame_folder)
    small = UvLayout(flame, 128)
    with pytest.raises(UsageError, match="cannot read"):
        load_albedo(flame, small, path)
    path.write_bytes(b"not a zip")
    with pytest.raises(UsageError, match="not an intact"):
        load_albedo(flame, small, path)
    np.savez(path, mean=np.zeros((512, 512, 3), np.float32), tex_dir=np.zeros((512, 512, 3, 2), np.float32))
    with pytest.raises(UsageError, match=r"'tex_dir' has shape"):
        load_albedo(flame, small, path, modes=3)
    np.savez(path, other=np.zeros(3))
    with pytest.raises(UsageError, match="neither MU and PC"):
        load_albedo(flame, small, path)


def test_albedo_has_gradients() -> None:
    generator = torch.Generator().manual_seed(0)
    space = AlbedoSpace(torch.zeros(3, 4, 4), torch.randn(5, 3, 4, 4, generator=generator))
    code = torch.zeros(2, 5, requires_grad=True)
    space(code).sum().backward()
    assert code.grad is not None
    assert torch.allclose(code.grad[0], space.basis.sum(dim=1))
