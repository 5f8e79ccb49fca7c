"""Faces in photos, by the real detector."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from pipelines.photo_faces import FaceFinder, NoFace, PhotoFile, list_photos


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return FaceFinder()


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """Two astronauts side by side, the right one mirrored; and no face."""
    one = astronaut()[:300, 50:400]
    both = np.concatenate([one, one[:, ::-1]], axis=1)
    cv2.imwrite(str(tmp_path / "pair.png"), both[..., ::-1])
    cv2.imwrite(str(tmp_path / "single.png"), one[..., ::-1])
    cv2.imwrite(str(tmp_path / "none.png"), np.full((200, 200, 3), 90, np.uint8))
    return tmp_path


def test_every_face_of_a_photo_has_its_own_name_box_and_landmarks(finder: FaceFinder, pair: Path):
    files = list_photos([pair])
    found = list(finder.find(files, every=True))
    assert [face.name for face in found] == ["pair_face1", "pair_face2", "single"]
    left, right, single = found
    assert left.landmarks[:, 0].max() < 350 < right.landmarks[:, 0].min()
    for face in found:
        low, high = face.landmarks.min(axis=0), face.landmarks.max(axis=0)
        middle = (face.box[:2] + face.box[2:]) / 2
        assert (low < middle).all()
        assert (middle < high).all()
    assert [face.faces for face in found] == [2, 2, 1]
    # the very same face, found alone and beside another one
    np.testing.assert_allclose(left.landmarks, single.landmarks, atol=4)
    assert [path.name for path, _ in finder.skipped] == ["none.png"]


def test_without_the_option_one_face_is_taken(finder: FaceFinder, pair: Path):
    (face,) = finder.find([PhotoFile("pair", pair / "pair.png")])
    assert (face.name, face.faces) == ("pair", 2)


def test_the_name_of_a_face_is_free(finder: FaceFinder, pair: Path):
    files = [PhotoFile("pair", pair / "pair.png"), PhotoFile("pair_face1", pair / "single.png")]
    names = [face.name for face in finder.find(files, every=True)]
    assert names == ["pair_face1_", "pair_face2", "pair_face1"]
    beside = [PhotoFile(name, pair / "a.mp4") for name in ("Pair_Face1", "pair_face2_detail")]
    names = [face.name for face in finder.find(files[:1], every=True, beside=beside)]
    assert names == ["pair_face1_", "pair_face2_"]  # and not the names of the videos' files


def test_a_device_of_the_trainer_does_not_move_mediapipe(tmp_path: Path):
    """`--device` of `deca reconstruct` is "auto" by default, and "cuda" names the place of the model."""
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), cv2.cvtColor(astronaut(), cv2.COLOR_RGB2BGR))
    found = [FaceFinder(device=device).one(path).landmarks for device in ("cpu", "auto", "cuda")]
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


@pytest.mark.parametrize("name", ["..jpg", "...jpg", "é" * 125 + ".jpg"])
def test_the_files_of_an_odd_name_are_in_the_folder_of_results(name: str, tmp_path: Path):
    (tmp_path / name).write_bytes(b"")
    found = [file.name for file in list_photos([tmp_path / name] * 3)]
    assert len(set(found)) == 3
    for each in found:
        assert each.strip(".")
        assert len(f"{each}_face100_detail_displacement.png".encode()) <= 255
        assert (tmp_path / "out" / each).parent == tmp_path / "out"


@pytest.fixture
def stretched(tmp_path: Path) -> Path:
    """A face of a shape that no person has."""
    path = tmp_path / "stretched.png"
    cv2.imwrite(str(path), cv2.resize(astronaut()[:300, 50:400, ::-1], None, fx=1.6, fy=1.0))
    return path


def test_a_face_unlike_people_is_kept_and_named(
    pair: Path, stretched: Path, capsys: pytest.CaptureFixture[str]
):
    finder = FaceFinder()
    plain, odd = finder.find(list_photos([pair / "single.png", stretched]))
    assert plain.likeness > 0.9
    assert odd.likeness < 0.1
    assert finder.doubtful == [stretched]
    said = f"{stretched}: probably shows no upright human face; its head is a guess\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(("odd", "doubtful"), [(3, True), (1, False)])
def test_a_video_is_named_once_if_most_of_its_frames_are_unlike_people(
    finder: FaceFinder, pair: Path, stretched: Path, odd: int, doubtful: bool
):
    video = pair / f"dog{odd}.mp4"
    paths = [stretched] * odd + [pair / "single.png"] * (4 - odd)
    before = len(finder.doubtful)
    assert len(list(finder.find([PhotoFile(f"{n}", path, video) for n, path in enumerate(paths)]))) == 4
    assert finder.doubtful[before:] == [video] * doubtful


def test_animals_are_named(finder: FaceFinder, faces: Path):
    before = len(finder.doubtful)
    animals = list_photos([faces / "animals"])
    assert len(list(finder.find(animals))) == 3
    assert finder.doubtful[before:] == [file.path for file in animals]


def test_frames_without_a_face_are_named_by_their_video(
    finder: FaceFinder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    grey, video = tmp_path / "passing.png", tmp_path / "walls.mp4"
    cv2.imwrite(str(grey), np.full((64, 64, 3), 128, np.uint8))
    frames = [PhotoFile(f"{n:06}", grey, video) for n in range(12)]
    with pytest.raises(NoFace, match=r"walls\.mp4: no face in any of the 12 frames; give"):
        list(finder.find(frames))
    said = capsys.readouterr().err
    assert said.startswith(f"skipped {video}, frame 000000: no face found\n")
    assert "skipped 2 more frames" in said
    assert "passing" not in said
