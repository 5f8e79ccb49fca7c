"""The embedded head: its file, its symmetry, the effect of its codes, and its texture layout."""

from __future__ import annotations

import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from deca_model.heads import Head, HeadData, HeadOutput, load_head
from deca_model.heads.open_head import OPEN_HEAD, load_open_head, save_open_head
from deca_model.render.normals import vertex_normals
from manifests.errors import UsageError

MIRRORED = [
    *range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, *range(35, 30, -1),
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65,
]  # fmt: skip
FLIP = np.array([-1, 1, 1])


@pytest.fixture(scope="module")
def data() -> HeadData:
    return load_open_head()


@pytest.fixture(scope="module")
def head(data: HeadData) -> Head:
    return Head(data)


def pose_head(
    head: Head,
    jaw: float = 0.0,
    yaw: float = 0.0,
    shape: np.ndarray | None = None,
    modes: dict[str, float] | None = None,
) -> HeadOutput:
    """One head with the named expression modes, the jaw and the yaw (radians)."""
    expression = torch.zeros(1, len(head.expression_basis))
    for name, value in (modes or {}).items():
        expression[0, head.expression_names.index(name)] = value
    code = torch.zeros(1, 100) if shape is None else torch.from_numpy(shape).float()[None]
    return head(code, expression, torch.tensor([[0, yaw, 0, jaw, 0, 0]], dtype=torch.float32))


def mirror_map(data: HeadData) -> np.ndarray:
    """(V,) each vertex's mirror image."""
    points = torch.from_numpy(data.template).double()
    distance, partner = torch.cdist(points * torch.tensor([-1.0, 1.0, 1.0]), points).min(dim=1)
    assert distance.max() < 1e-5
    assert len(partner.unique()) == len(points)
    return partner.numpy()


def test_sizes_are_flames(data: HeadData) -> None:
    assert data.shape_basis.shape[-1] == 100
    assert data.expression_basis.shape[-1] == 50
    assert len(data.expression_names) == len(set(data.expression_names)) == 50
    assert data.parents.tolist() == [-1, 0, 1, 1, 1]
    assert 4000 < len(data.template) < 6000
    width, height, depth = np.ptp(data.template, axis=0)
    assert 0.16 < width < 0.21
    assert 0.27 < height < 0.36
    assert 0.2 < depth < 0.26
    np.testing.assert_allclose(data.weights.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(data.joint_regressor.sum(axis=1), 1, atol=1e-5)


def test_the_file_is_small_and_quick() -> None:
    assert OPEN_HEAD.stat().st_size < 8 * 2**20
    times = []
    for _ in range(3):
        start = time.process_time()
        load_head("open")
        times.append(time.process_time() - start)
    assert min(times) < 0.5
    assert OPEN_HEAD.with_name("OPEN_HEAD_NOTICE.md").read_text().count("CC0") >= 2


def test_writing_it_again_gives_the_same_bytes(data: HeadData, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("once.npz", "twice.npz")]
    for path in paths:
        save_open_head(data, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert _members(paths[0]) == _members(OPEN_HEAD)
    if sys.version_info >= (3, 11):  # Python 3.10 writes another zip header
        assert paths[0].read_bytes() == OPEN_HEAD.read_bytes()


def _members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "open_head.npz"
    broken.write_bytes(OPEN_HEAD.read_bytes()[:5000])
    with pytest.raises(UsageError, match=r"open_head\.npz cannot be read"):
        load_open_head(broken)


def test_mesh_is_closed_but_for_the_neck(data: HeadData) -> None:
    edges = np.concatenate([data.faces[:, [0, 1]], data.faces[:, [1, 2]], data.faces[:, [2, 0]]])
    directed, counts = np.unique(edges, axis=0, return_counts=True)
    assert counts.max() == 1  # consistent winding
    both = {tuple(edge) for edge in directed.tolist()}
    rim = [edge for edge in both if edge[::-1] not in both]
    ends = {vertex for edge in rim for vertex in edge}
    assert len(rim) == len(ends) == 42  # one closed loop
    assert data.template[sorted(ends), 1].max() < -0.1
    normals = vertex_normals(torch.from_numpy(data.template)[None], torch.from_numpy(data.faces))[0].numpy()
    nose = data.template[:, 2].argmax()
    assert normals[nose, 2] > 0.8  # outward


def test_everything_is_symmetric(data: HeadData, head: Head) -> None:
    partner = mirror_map(data)
    triangles = {tuple(sorted(face)) for face in data.faces.tolist()}
    assert {tuple(sorted(face)) for face in partner[data.faces].tolist()} == triangles
    np.testing.assert_allclose(data.weights[partner][:, [0, 1, 2, 4, 3]], data.weights, atol=1e-6)
    for basis in (data.shape_basis, data.expression_basis):
        mirrored = basis[partner] * FLIP[:, None]
        sign = np.sign((mirrored * basis).sum(axis=(0, 1)))  # each mode is symmetric or antisymmetric
        np.testing.assert_allclose(mirrored, basis * sign, atol=1e-4)

    generator = np.random.default_rng(0)
    symmetric = [
        i
        for i in range(100)
        if np.allclose(data.shape_basis[partner, :, i] * FLIP, data.shape_basis[..., i], atol=1e-4)
    ]
    assert len(symmetric) > 80
    shape = np.zeros(100)
    shape[symmetric] = generator.normal(size=len(symmetric))
    for yaw in (0.0, 0.3, 0.6):
        left, right = (pose_head(head, 0.1, side * yaw, shape, {"mouthSmile": 0.5}) for side in (1, -1))
        for one, other in ((left.landmarks_2d, right.landmarks_2d), (left.landmarks_3d, right.landmarks_3d)):
            np.testing.assert_allclose(one[0].numpy(), other[0, MIRRORED].numpy() * FLIP, atol=3e-4)


def test_landmarks_stand_where_they_should(head: Head) -> None:
    points = pose_head(head).landmarks_3d[0].numpy()
    # The subject's right is on the image's left: x is negative there.
    assert (points[36:42, 0] < 0).all()
    assert (points[42:48, 0] > 0).all()
    np.testing.assert_allclose(points[[8, 27, 28, 29, 30, 33, 51, 57, 62, 66], 0], 0, atol=1e-4)
    assert (np.diff(points[0:9, 1]) < 0).all()  # down along the jaw
    assert points[17:27, 1].min() > points[36:48, 1].max()  # brows over eyes
    assert (np.diff(points[27:31, 2]) > 0).all()  # the nose's bridge comes forward
    assert points[30, 2] > points[:, 2].max() - 0.005
    assert points[48:68, 1].max() < points[31:36, 1].min()
    assert points[8, 1] < points[57, 1] < points[66, 1]


@pytest.mark.parametrize("seed", range(10))
def test_jaw_opens_and_eyes_close_for_any_face(head: Head, seed: int) -> None:
    shape = np.random.default_rng(seed).normal(size=100)

    def lips(out: HeadOutput) -> float:
        return float((out.landmarks_2d[0, [61, 62, 63], 1] - out.landmarks_2d[0, [67, 66, 65], 1]).mean())

    def eyes(out: HeadOutput) -> float:
        return float(
            (out.landmarks_2d[0, [37, 38, 43, 44], 1] - out.landmarks_2d[0, [41, 40, 47, 46], 1]).mean()
        )

    rest = pose_head(head, shape=shape)
    assert lips(rest) < 0.005
    opened = [lips(pose_head(head, jaw, shape=shape)) for jaw in (0.1, 0.2, 0.4)]
    assert (np.diff([lips(rest), *opened]) > 0.004).all()
    moved = pose_head(head, 0.2, shape=shape).landmarks_2d - rest.landmarks_2d
    assert moved[0, 57, 1] < -0.008  # the lower lip follows the jaw,
    assert abs(moved[0, 51, 1]) < 0.003  # the upper does not,
    assert moved[0, 27:48].abs().max() < 1e-3  # and nothing above moves
    assert eyes(rest) > 0.004
    closing = [eyes(pose_head(head, shape=shape, modes={"eyeBlink": code})) for code in (0, 0.5, 1)]
    assert closing[0] > closing[1] + 0.002 > closing[2] + 0.004
    assert closing[2] < 0.35 * closing[0]
    assert eyes(pose_head(head, shape=shape, modes={"eyeWide": 1})) > eyes(rest)


def test_named_modes_do_what_they_say(head: Head) -> None:
    rest = pose_head(head).landmarks_2d[0]

    def moved(**modes: float) -> torch.Tensor:
        return pose_head(head, modes=modes).landmarks_2d[0] - rest

    smile, frown, pucker = moved(mouthSmile=1), moved(mouthFrown=1), moved(mouthPucker=1)
    assert smile[[48, 54], 1].min() > 0.004
    assert frown[[48, 54], 1].max() < -0.002
    assert pucker[54, 0] < -0.003 < 0.003 < pucker[48, 0]
    assert moved(browInnerUp=1)[[21, 22], 1].min() > 0.002
    assert moved(browDown=1)[17:27, 1].mean() < -0.001
    assert moved(mouthSideways=1)[51, 0].abs() > 0.002
    one_sided = moved(**{"mouthSmile": 0.5, "mouthSmile:left-right": 1.0})
    assert one_sided[54, 1] > 0.004
    assert one_sided[48].abs().max() < 1e-3


def test_eyes_turn_about_their_own_centres(data: HeadData, head: Head) -> None:
    eye_pose = torch.tensor([[0, 0.3, 0, 0, 0, 0]])
    zero = torch.zeros(1, 6)
    out = head(torch.zeros(1, 100), torch.zeros(1, 50), zero, None, eye_pose).vertices[0].numpy()
    ball = data.weights[:, 3] > 0.99
    centre = data.joint_regressor[3] @ data.template
    assert centre[0] > 0.02  # row 3 is the subject's left
    distance = np.linalg.norm(data.template[ball] - centre, axis=1)
    assert distance.std() < 1e-4
    np.testing.assert_allclose(np.linalg.norm(out[ball] - centre, axis=1), distance, atol=1e-6)
    assert np.abs(out[ball] - data.template[ball]).max() > 0.003
    np.testing.assert_allclose(out[~ball], data.template[~ball], atol=1e-6)


def test_contour_slides_with_the_yaw(head: Head) -> None:
    still = pose_head(head).landmarks_2d[0, :17].numpy()

    def in_head_space(yaw: float) -> np.ndarray:
        out = pose_head(head, yaw=yaw).landmarks_2d[0, :17].numpy()
        root = (head.joint_regressor[0] @ head.template).numpy()
        turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
        return (out - root) @ turn + root

    left = in_head_space(np.deg2rad(35)) - still  # the face turns to its left: that side is the far one
    assert left[11:17, 2].min() > 0.003
    assert left[0:3, 2].max() < -0.003  # the near side moves back to the ear,
    assert left[3:6, 1].max() < -0.003  # and along the jaw towards the chin
    right = in_head_space(np.deg2rad(-35)) - still
    assert right[0:6, 2].min() > 0.003
    forward = [in_head_space(np.deg2rad(yaw))[13, 2] for yaw in range(0, 40, 3)]
    assert (np.diff(forward) > -1e-5).all()


@pytest.mark.parametrize("degrees", [-35, 0, 20, 35])
def test_contour_is_spread_evenly_in_the_image(head: Head, degrees: int) -> None:
    """On each side of the chin, as far as lines half a degree apart allow it."""
    out = pose_head(head, yaw=np.deg2rad(degrees)).landmarks_2d[0, :17, :2].numpy()
    steps = np.linalg.norm(np.diff(out, axis=0), axis=1)
    for side in (steps[:8], steps[8:]):
        assert side.max() < 1.15 * side.min()


def test_contour_is_on_the_silhouette(data: HeadData, head: Head) -> None:
    """No skin of the face is more than 5 mm further out than the far contour (TILT allows that much)."""
    for degrees in (0, 15, 30):
        out = pose_head(head, yaw=np.deg2rad(degrees))
        face = np.unique(data.faces[data.face_region])
        vertices, contour = out.vertices[0].numpy()[face], out.landmarks_2d[0].numpy()
        for landmark in (12, 13, 14):
            band = np.abs(vertices[:, 1] - contour[landmark, 1]) < 0.004
            assert vertices[band, 0].max() - contour[landmark, 0] < 0.005


def test_texture_layout(data: HeadData) -> None:
    assert data.uv.min() >= 0
    assert data.uv.max() <= 1
    corners = data.uv[data.uv_faces].astype(np.float64)
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = 0.5 * (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
    skin = data.face_region & (data.weights[data.faces, 3:].max(axis=(1, 2)) < 0.5)
    assert area.min() > -1e-9  # no mirrored triangle anywhere
    assert area[skin].min() > 0
    assert area[skin].sum() > 0.5  # the face fills most of the square
    assert np.abs(area).sum() < 1
    partner = mirror_map(data)
    number = {tuple(sorted(face)): i for i, face in enumerate(data.faces.tolist())}
    other = [number[tuple(sorted(face))] for face in partner[data.faces[skin]].tolist()]
    centres = corners.mean(axis=1)
    np.testing.assert_allclose(centres[other], centres[skin] * [-1, 1] + [1, 0], atol=1e-5)


def test_texture_triangles_do_not_overlap(data: HeadData) -> None:
    """Every texel of a 512 x 512 map is in one triangle at most."""
    size = 512
    covered = np.zeros((size, size), np.int32)
    for corners in data.uv[data.uv_faces] * size:
        low, high = np.floor(corners.min(axis=0)).astype(int), np.ceil(corners.max(axis=0)).astype(int)
        x, y = np.meshgrid(np.arange(low[0], high[0]) + 0.5, np.arange(low[1], high[1]) + 0.5)
        inside = np.ones(x.shape, bool)
        for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            inside &= (end[0] - start[0]) * (y - start[1]) > (end[1] - start[1]) * (x - start[0])
        covered[low[1] : high[1], low[0] : high[0]] += inside
    assert covered.max() == 1
    assert (covered == 1).mean() > 0.8


def test_identities_look_like_people(data: HeadData, head: Head) -> None:
    """Codes drawn from the prior give different faces near the mean, with open and well-placed eyes."""
    shape = torch.randn(200, 100, generator=torch.Generator().manual_seed(0))
    out = head(shape, torch.zeros(200, 50), torch.zeros(200, 6))
    distance = (out.vertices - head.template).norm(dim=-1).mean(dim=1)
    assert 0.003 < distance.mean() < 0.02
    between = (out.landmarks_3d[::2] - out.landmarks_3d[1::2]).norm(dim=-1).mean(dim=1)
    assert between.min() > 0.002
    eyes = out.landmarks_3d[:, 45, 0] - out.landmarks_3d[:, 36, 0]
    assert 0.065 < eyes.min() < eyes.max() < 0.13
    lids = out.landmarks_3d[:, [37, 38, 43, 44], 1] - out.landmarks_3d[:, [41, 40, 47, 46], 1]
    assert lids.min() > 0
    variance = (data.shape_basis**2).sum(axis=(0, 1))
    assert variance[0] == variance.max()
    assert variance[:10].min() > variance[50:].max()
