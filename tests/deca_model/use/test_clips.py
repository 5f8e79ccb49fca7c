"""One person over time: one shape, smooth codes, and the head where each frame shows it."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch

from deca_model.networks.codes import CODE_SIZES, Codes, split_codes
from deca_model.render.camera import project
from deca_model.use.clip_files import save_clip
from deca_model.use.clips import SMOOTHING, clip_faces, joined, make_clip
from deca_model.use.reconstruction_files import Outputs, read_codes
from manifests.images.crop import Square, denormalise_points


def some_codes(count: int, seed: int = 0) -> Codes:
    made = torch.Generator().manual_seed(seed)
    codes = split_codes(torch.randn(count, sum(CODE_SIZES.values()), generator=made) * 0.1)
    return codes._replace(camera=torch.tensor([7.0, 0.0, 0.0]) + 0.1 * codes.camera)


def squares(count: int) -> list[Square]:
    made = np.random.default_rng(0)
    return [
        Square(100 + made.integers(-5, 5, 2) + 0.5, np.array(80.0 + 2 * made.integers(3)))
        for _ in range(count)
    ]


def test_a_clip_has_one_shape_and_one_skin():
    codes = some_codes(6)
    clip = make_clip(codes, squares(6), range(6), 6, 25)
    for mixed, own in ((clip.codes.shape, codes.shape), (clip.codes.texture, codes.texture)):
        assert torch.allclose(mixed, own.mean(dim=0).expand(6, -1), atol=1e-6)
    assert clip.frontal == int(codes.pose[:, :3].norm(dim=1).argmin())


def test_codes_are_averaged_by_a_gaussian_over_time():
    codes = some_codes(9)
    smooth = make_clip(codes, squares(9), range(9), 9, 25).codes
    for each in range(9):
        weights = np.exp(-0.5 * ((np.arange(9) - each) / 25 / SMOOTHING) ** 2)
        expected = (weights / weights.sum()) @ codes.expression.double().numpy()
        np.testing.assert_allclose(smooth.expression[each].numpy(), expected, atol=1e-6)
    shake = codes.pose.diff(dim=0).abs().mean()
    assert smooth.pose.diff(dim=0).abs().mean() < 0.6 * shake
    assert torch.allclose(make_clip(codes, squares(9), range(9), 9, 25, smooth=False).codes.pose, codes.pose)


def test_frames_without_a_face_get_the_codes_of_their_neighbours():
    codes = some_codes(2)
    plain = make_clip(codes, squares(2), [1, 4], 7, 25, smooth=False).codes.expression
    assert torch.allclose(plain, codes.expression[[0, 0, 0, 1, 1, 1, 1]])
    smooth = make_clip(codes, squares(2), [1, 400], 401, 25).codes.expression
    assert smooth.isfinite().all()
    assert torch.allclose(smooth[100], codes.expression[0], atol=1e-4)
    with pytest.raises(ValueError, match="needs a frame with a face"):
        make_clip(some_codes(0), [], [], 3, 25)


def test_the_head_stays_where_it_is_when_only_its_crops_move():
    """A head at rest in the video, seen in crops that jump: in pixels of the video it must not move."""
    count, places = 8, squares(8)
    codes = some_codes(count)
    scale, origin = 300.0, np.array([104.0, 93.0])  # pixels per metre; pixels
    camera = [
        [2 * scale / float(s.side), (origin[0] - s.center[0]) / scale, (s.center[1] - origin[1]) / scale]
        for s in places
    ]
    codes = codes._replace(camera=torch.tensor(camera, dtype=torch.float32))
    clip = make_clip(codes, places, range(count), count, 25)
    points = torch.tensor([[[0.0, 0.0, 0.0], [0.05, 0.08, 0.0]]]).expand(count, -1, -1)
    for camera, square in zip(project(points, clip.codes.camera)[..., :2].numpy(), clip.squares, strict=True):
        at = denormalise_points(camera, square)
        np.testing.assert_allclose(at, [origin, origin + [0.05 * scale, -0.08 * scale]], atol=0.02)


def test_a_clip_is_written_as_a_film_and_codes(found, photo, tmp_path):
    """The astronaut slides to the right, and the crops with her."""
    model, size, result = found
    one = Codes(*(value[:1] for value in result.posed.codes))
    square = result.squares[0]
    moves = [0, 4, 8, 12]
    shots = [np.roll(photo, move, axis=1) for move in moves]
    places = [Square(square.center + [move, 0], square.side) for move in moves]
    clip = make_clip(joined([one] * 4), places, range(4), 4, 10)
    reads: list[int] = []

    def image(number: int) -> np.ndarray:
        reads.append(number)
        return shots[number]

    written = save_clip(model, size, clip, image, "clip", tmp_path, per_second=10, outputs=Outputs(("glb",)))
    assert sorted(written) == sorted(tmp_path.iterdir())
    assert sorted(reads) == [0, 0, 1, 2, 3]  # each frame once, and the frontal one
    video = cv2.VideoCapture(str(tmp_path / "clip.mp4"))
    frames = []
    while (read := video.read())[0]:
        frames.append(read[1])
    assert [frame.shape for frame in frames] == [(256, 4 * 256, 3)] * 4
    with np.load(tmp_path / "clip_frames.npz") as file:
        assert file["expression"].shape == (4, 50)
        assert file["crop"].shape == (4, 3)
        assert math.isclose(file["per_second"], 10)
    assert torch.allclose(read_codes(tmp_path / "clip.npz").shape, one.shape, atol=1e-6)
    faces = list(clip_faces(model, size, clip, shots))
    assert sum(len(each.photos) for each in faces) == 4
    assert (faces[0].posed.vertices[0] - faces[0].posed.vertices[3]).abs().max() < 0.05
