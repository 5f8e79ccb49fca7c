"""The mesh parser on real photos: two that come with packages, and those of ../shared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from benchmarks.masks import load_cases, measure, plain_outline
from deca_data.backends import load_backend
from deca_data.backends.mediapipe.landmark_maps import mesh_to_ibug
from deca_data.backends.mesh.outline import find_regions
from deca_data.backends.mesh_parser import MeshParser


class Face:
    """A photo with its largest face's box, mesh, landmarks and mask."""

    def __init__(self, image: np.ndarray, models: Models):
        found = models.detector.detect([image])[0]
        self.image = image
        self.box = max(found, key=lambda one: one.box[2] - one.box[0]).box
        mesh = models.landmarker.mesh(image, self.box)
        assert mesh is not None
        self.mesh = mesh
        self.landmarks = mesh_to_ibug(mesh)
        self.mask = models.parser.parse([image], [self.box], [self.landmarks])[0]

    def at(self, *indices: int) -> np.ndarray:
        """The mask's values at landmarks."""
        x, y = np.round(self.landmarks[list(indices)]).astype(int).T
        return self.mask[y, x]


class Models:
    def __init__(self) -> None:
        self.detector = load_backend("detector", "mediapipe")
        self.landmarker = load_backend("landmarker", "mediapipe")
        self.parser: Any = load_backend("parser", "mesh")


@pytest.fixture(scope="module")
def models() -> Models:
    return Models()


def read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert image is not None, path
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def astronaut() -> np.ndarray:
    skimage_data = pytest.importorskip("skimage.data")
    return np.ascontiguousarray(skimage_data.astronaut())


def hopper() -> np.ndarray:
    cbook = pytest.importorskip("matplotlib.cbook")
    with cbook.get_sample_data("grace_hopper.jpg") as file:
        return read(Path(file.name))


@pytest.fixture(scope="module", params=[astronaut, hopper], ids=["astronaut", "hopper"])
def face(request: pytest.FixtureRequest, models: Models) -> Face:
    return Face(request.param(), models)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float(((a > 0) & (b > 0)).sum() / ((a > 0) | (b > 0)).sum())


def test_mask_has_the_images_size_and_two_values(face: Face) -> None:
    assert face.mask.shape == face.image.shape[:2]
    assert face.mask.dtype == np.uint8
    assert set(np.unique(face.mask)) == {0, 255}


def test_features_are_face(face: Face) -> None:
    assert (face.at(*range(17, 68)) == 255).mean() > 0.95  # brows, nose, eyes, lips
    assert (face.at(30, 33, 38, 44, 51, 57, 62, 66) == 255).all()


def test_surroundings_are_not_face(face: Face) -> None:
    height, width = face.mask.shape
    assert not face.mask[[0, 0, -1, -1], [0, -1, 0, -1]].any()
    low, high = face.landmarks.min(0), face.landmarks.max(0)
    size = float(high[1] - low[1])
    below = face.mask[min(height - 1, int(high[1] + 0.12 * size)) :]
    above = face.mask[: max(0, int(low[1] - 0.6 * size))]
    assert not below.any(), "the neck"
    assert not above.any(), "hair and hat"
    assert not face.mask[:, : max(0, int(low[0] - 0.1 * size))].any()
    assert not face.mask[:, min(width - 1, int(high[0] + 0.1 * size)) :].any()


def test_hair_beside_and_hat_above_are_cut_away(models: Models) -> None:
    in_hair = Face(astronaut(), models)
    hat = Face(hopper(), models)
    for found, limit, least in ((in_hair, 95, 0), (hat, 70, 200)):
        lightness = cv2.cvtColor(found.image, cv2.COLOR_RGB2LAB)[..., 0]
        brow = found.landmarks[17:27, 1].min()
        rows = np.arange(found.mask.shape[0])[:, None] < brow - 0.1 * (found.landmarks[8, 1] - brow)
        forehead = (found.mask > 0) & rows
        assert forehead.sum() >= least, "the forehead between brows and hat is face"
        assert (lightness[forehead] < limit).mean() < 0.1, "dark pixels up there are hair or hat"


def test_a_fair_fringe_is_not_face(models: Models) -> None:
    found = Face(astronaut(), models)
    regions = find_regions(found.mesh, found.mask.shape, 0.22, 0.09)
    fringe = regions.outline & (regions.up > regions.brow_up + 0.2)
    between_brows_and_fringe = regions.face & (np.abs(regions.up - regions.brow_up) < 0.03)
    assert (found.mask[fringe] > 0).mean() < 0.03
    assert (found.mask[between_brows_and_fringe] > 0).mean() > 0.85  # the fringe hangs to one brow


def test_mirrored_photo_gives_the_mirrored_mask(face: Face, models: Models) -> None:
    mirrored = Face(np.ascontiguousarray(face.image[:, ::-1]), models)
    assert overlap(mirrored.mask[:, ::-1], face.mask) > 0.95


def test_turned_photo_gives_the_turned_mask(face: Face, models: Models) -> None:
    height, width = face.mask.shape
    center = face.landmarks.mean(0)
    turn = cv2.getRotationMatrix2D((float(center[0]), float(center[1])), 25.0, 1.0)
    turned = Face(cv2.warpAffine(face.image, turn, (width, height), borderMode=cv2.BORDER_REFLECT), models)
    expected = cv2.warpAffine(face.mask, turn, (width, height))
    assert overlap(turned.mask, expected > 127) > 0.93


@pytest.mark.parametrize(
    "color", [(20, 60, 200), (30, 150, 60), (15, 15, 15)], ids=["blue", "green", "black"]
)
def test_painted_object_over_the_cheek_is_cut_away(face: Face, models: Models, color: tuple) -> None:
    painted = face.image.copy()
    center = (face.landmarks[3] + face.landmarks[31]) / 2
    side = 0.13 * float(face.landmarks[16, 0] - face.landmarks[0, 0])
    (x0, y0), (x1, y1) = np.round(center - side).astype(int), np.round(center + side).astype(int)
    painted[y0:y1, x0:x1] = color
    found = Face(painted, models)
    assert (face.mask[y0:y1, x0:x1] > 0).mean() > 0.95
    assert (found.mask[y0:y1, x0:x1] > 0).mean() < 0.2
    elsewhere = face.mask.copy()
    elsewhere[y0:y1, x0:x1] = 0
    assert overlap(found.mask, elsewhere) > 0.9


def test_dark_lenses_are_cut_away(models: Models) -> None:
    clean = Face(astronaut(), models)
    covered = clean.image.copy()
    for eye in (clean.landmarks[36:42], clean.landmarks[42:48]):
        x, y = np.round(eye.mean(0)).astype(int).tolist()
        width = float(np.ptp(eye[:, 0]))
        cv2.ellipse(covered, (x, y), (int(0.9 * width), int(0.75 * width)), 0, 0, 360, (22, 20, 20), -1)
    mask = models.parser.parse([covered], [clean.box], [clean.landmarks], meshes=[clean.mesh])[0]
    lenses = (covered == (22, 20, 20)).all(-1)
    assert (clean.mask[lenses] > 0).mean() > 0.9
    assert (mask[lenses] > 0).mean() < 0.2


def test_beard_is_face(models: Models) -> None:
    clean = Face(hopper(), models)
    bearded = clean.image.copy()
    jaw = np.concatenate([clean.landmarks[4:13], clean.landmarks[[54, 35, 33, 31, 48]]])
    patch = np.zeros(clean.mask.shape, np.uint8)
    cv2.fillPoly(patch, [np.round(jaw).astype(np.int32)], (1,))
    cv2.fillPoly(patch, [np.round(clean.landmarks[48:60]).astype(np.int32)], (0,))
    noise = np.random.default_rng(0).normal(0, 12, (*clean.mask.shape, 1))
    bearded = np.where(patch[..., None] > 0, np.clip(0.45 * bearded + noise, 0, 255), bearded).astype(
        np.uint8
    )
    mask = models.parser.parse([bearded], [clean.box], [clean.landmarks], meshes=[clean.mesh])[0]
    assert (mask[patch > 0] > 0).mean() > 0.9


def test_size_of_the_photo_hardly_matters(face: Face, models: Models) -> None:
    for scale in (0.5, 4.0):
        size = (round(face.image.shape[1] * scale), round(face.image.shape[0] * scale))
        image = cv2.resize(face.image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
        mesh = face.mesh * np.float32(scale)
        mesh[:, :2] += np.float32((scale - 1) / 2)
        mask = models.parser.parse([image], [face.box * scale], [face.landmarks], meshes=[mesh])[0]
        assert mask.shape == image.shape[:2]
        back = cv2.resize(mask, face.mask.shape[::-1], interpolation=cv2.INTER_AREA)
        assert overlap(back > 127, face.mask) > 0.95


def test_tiny_face(models: Models) -> None:
    small = Face(cv2.resize(astronaut(), (160, 160), interpolation=cv2.INTER_AREA), models)  # a face of 40 px
    large = Face(astronaut(), models)
    assert overlap(small.mask, cv2.resize(large.mask, (160, 160), interpolation=cv2.INTER_AREA) > 127) > 0.9


def test_face_at_the_border_and_grey_photo(face: Face, models: Models) -> None:
    cut_x = round(float(face.landmarks[30, 0]))
    part = np.ascontiguousarray(face.image[:, :cut_x])
    mask = models.parser.parse([part], [face.box], [face.landmarks], meshes=[face.mesh])[0]
    assert overlap(mask, face.mask[:, :cut_x]) > 0.85
    grey = cv2.cvtColor(cv2.cvtColor(face.image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    mask = models.parser.parse([grey], [face.box], [face.landmarks], meshes=[face.mesh])[0]
    assert overlap(mask, face.mask) > 0.85


def test_no_face_gives_an_empty_mask(models: Models) -> None:
    image = np.full((90, 120, 3), 128, np.uint8)
    mask = models.parser.parse([image], [np.array([20.0, 20, 80, 80])], [np.zeros((68, 2), np.float32)])[0]
    assert mask.shape == (90, 120)
    assert not mask.any()


def test_mesh_outside_the_photo_gives_an_empty_mask(face: Face) -> None:
    away = face.mesh + np.array([5000, 0, 0], np.float32)
    assert not MeshParser().mask(face.image, away).any()


def test_result_is_the_same_again_with_and_without_threads_and_mesh(face: Face, models: Models) -> None:
    threads = cv2.getNumThreads()
    try:
        for count in (1, 4):
            cv2.setNumThreads(count)
            again = MeshParser().parse([face.image], [face.box], [face.landmarks])[0]
            assert np.array_equal(again, face.mask)
    finally:
        cv2.setNumThreads(threads)
    given = models.parser.parse([face.image], [face.box], [face.landmarks], meshes=[face.mesh])[0]
    assert np.array_equal(given, face.mask)


def test_iou_with_hand_made_labels(faces: Path, models: Models) -> None:
    cases = load_cases(faces / "parsing")
    assert len(cases) == 20
    plain = measure(plain_outline, cases)
    found = measure(lambda case: models.parser.mask(case.image, case.mesh), cases)
    assert 0.80 < plain.whole.mean() < 0.85
    assert found.whole.mean() > 0.92
    assert found.proper.mean() > 0.96
    assert found.whole.min() > 0.85
    assert found.hair.mean() < 0.022


def test_iou_with_hand_made_labels_at_angles(faces: Path, models: Models, tmp_path: Path) -> None:
    """One photo in fifteen of those at thirteen angles."""
    for labels in sorted((faces / "parsing_angles").glob("*_labels.png"))[::15]:
        for path in (labels, labels.with_name(labels.name.replace("_labels.png", ".jpg"))):
            (tmp_path / path.name).symlink_to(path)
    cases = load_cases(tmp_path)
    assert len(cases) == 13
    found = measure(lambda case: models.parser.mask(case.image, case.mesh), cases)
    assert found.proper.mean() > 0.91
    assert found.hair.mean() < 0.06


@pytest.mark.parametrize("name", ["002/profile/03", "050/profile/03", "042/profile/03"])
def test_bright_background_before_a_profile_is_not_face(faces: Path, models: Models, name: str) -> None:
    """There the mesh's lips and nose reach into the background; only near-white pixels are counted."""
    found = Face(read(faces / "cfp" / f"{name}.jpg"), models)
    white = found.image.min(-1) > 225
    assert white[found.mask > 0].mean() < 0.02
    assert (found.mask > 0).sum() > 0.5 * np.prod(np.ptp(found.landmarks, axis=0))
