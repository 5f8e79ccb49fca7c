"""The mask stage: files, columns, and the same result for every way of calling it."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
import pytest

from deca_data.backends import load_backend
from deca_data.sample import Sample
from deca_data.sidecars import sidecar_path
from deca_data.stage import NoSettings
from deca_data.stages.detect import DetectSettings, DetectStage
from deca_data.stages.landmarks import LandmarkSettings, LandmarkStage
from deca_data.stages.masks import MaskStage, skin_fraction


@pytest.fixture(scope="module")
def stage() -> MaskStage:
    return MaskStage(NoSettings(), load_backend("parser", "mesh"))


@pytest.fixture(scope="module")
def photo() -> dict[str, Any]:
    image = np.ascontiguousarray(pytest.importorskip("skimage.data").astronaut())
    box = load_backend("detector", "mediapipe").detect([image])[0][0].box
    landmarker = load_backend("landmarker", "mediapipe")
    found = landmarker.landmarks([image], [box])[0]
    assert found is not None
    return {"image": image, "box": box, "points": found.points, "mesh": landmarker.mesh(image, box)}


def sample(photo: dict[str, Any], name: str, image: np.ndarray | None = None) -> Sample:
    row = {
        "dataset": "mine",
        "image": name,
        "box": [float(value) for value in photo["box"]],
        "landmarks": [float(value) for value in photo["points"].ravel()],
    }
    return Sample(photo["image"] if image is None else image, row)


def run(stage: MaskStage, samples: list[Sample], workspace: Path) -> None:
    """The stage, and what it leaves to be written."""
    stage.run(samples, workspace)
    for one in samples:
        for write in one.writes:
            write()


def read(workspace: Path, one: Sample) -> np.ndarray:
    mask = cv2.imread(str(workspace / one.row["mask_path"]), cv2.IMREAD_UNCHANGED)
    assert mask is not None
    return mask


def test_file_and_columns(stage: MaskStage, photo: dict[str, Any], tmp_path: Path) -> None:
    one = sample(photo, "n000001/0001_01.jpg")
    run(stage, [one], tmp_path)
    assert one.ok
    assert one.row["mask_path"] == "masks/mine/n000001/0001_01.png"
    mask = read(tmp_path, one)
    assert mask.shape == (512, 512)
    assert mask.dtype == np.uint8
    assert set(np.unique(mask)) == {0, 255}
    assert 0.9 < one.row["skin_fraction"] <= 1
    assert {key for key in one.row if key in MaskStage.writes} == set(MaskStage.writes)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["0001_01.png"]


def test_same_result_alone_in_a_batch_and_with_the_mesh_left_by_landmarks(
    stage: MaskStage, photo: dict[str, Any], tmp_path: Path
) -> None:
    brighter = np.ascontiguousarray(255 - (255 - photo["image"]) // 4 * 3)
    names = ["a.jpg", "a.png", "b.jpg"]
    together = [sample(photo, name) for name in names]
    together[1].image = brighter
    together[2].scratch["mesh"] = photo["mesh"]
    run(stage, together, tmp_path / "together")
    for name, one in zip(names, together, strict=True):
        alone = sample(photo, name, one.image)
        run(stage, [alone], tmp_path / "alone")
        assert alone.row == one.row
        assert np.array_equal(read(tmp_path / "alone", alone), read(tmp_path / "together", one))
    assert together[0].row["mask_path"] != together[1].row["mask_path"]
    assert np.array_equal(read(tmp_path / "together", together[0]), read(tmp_path / "together", together[2]))


def test_same_mask_in_one_pass_and_from_the_row_in_the_file(
    faces: Path, stage: MaskStage, tmp_path: Path
) -> None:
    """On profiles, where the mesh depends most on the box; columns are float32 in the file."""
    earlier = [
        DetectStage(DetectSettings.model_validate({}), load_backend("detector", "mediapipe")),
        LandmarkStage(LandmarkSettings.model_validate({}), load_backend("landmarker", "mediapipe")),
    ]
    for name in ("022/profile/01", "028/profile/01", "019/profile/01"):
        image = cv2.cvtColor(cv2.imread(str(faces / "cfp" / f"{name}.jpg")), cv2.COLOR_BGR2RGB)
        first = Sample(image, {"dataset": "cfp", "image": f"{name}.jpg"})
        for step in earlier:
            step.run([first], tmp_path / "one")
        run(stage, [first], tmp_path / "one")
        assert first.ok
        assert "mesh" in first.scratch
        exact = {key: np.asarray(first.row[key], np.float32) for key in ("box", "landmarks")}
        later = Sample(image, {**first.row, **exact})
        run(stage, [later], tmp_path / "two")
        assert np.array_equal(read(tmp_path / "one", first), read(tmp_path / "two", later))


def test_covered_face_stays_ok_with_a_low_score(
    stage: MaskStage, photo: dict[str, Any], tmp_path: Path
) -> None:
    covered = photo["image"].copy()
    low, high = photo["points"].min(0).astype(int), photo["points"].max(0).astype(int)
    middle = (low[1] + high[1]) // 2
    covered[middle : high[1] + 20, low[0] - 20 : high[0] + 20] = (30, 70, 190)
    one = sample(photo, "covered.jpg", covered)
    one.scratch["mesh"] = photo["mesh"]
    run(stage, [one], tmp_path)
    assert one.ok
    assert 0.2 < one.row["skin_fraction"] < 0.65


def test_photo_without_a_face_gets_an_empty_mask(
    stage: MaskStage, photo: dict[str, Any], tmp_path: Path
) -> None:
    one = sample(photo, "wall.jpg", np.full((512, 512, 3), 120, np.uint8))
    run(stage, [one], tmp_path)
    assert one.ok
    assert one.row["skin_fraction"] == 0
    assert not read(tmp_path, one).any()


def test_fingerprint_names_backend_and_settings(stage: MaskStage) -> None:
    fingerprint = stage.fingerprint()
    assert fingerprint["backend"] == "mesh"
    assert {"mediapipe", "mesh", "opencv", "method", "settings"} <= set(fingerprint)


def test_skin_fraction_counts_the_outline_inside_the_image() -> None:
    angles = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    landmarks = np.stack([100 + 40 * np.cos(angles), 50 + 30 * np.sin(angles)], 1).astype(np.float32)
    mask = np.zeros((100, 200), np.uint8)
    assert skin_fraction(mask, landmarks) == 0
    mask[:, :101] = 255
    assert skin_fraction(mask, landmarks) == pytest.approx(0.5, abs=0.02)
    mask[:] = 255
    assert skin_fraction(mask, landmarks) == 1
    assert skin_fraction(mask, landmarks - np.array([100, 0])) == 1  # half of it outside
    assert skin_fraction(mask, landmarks - np.array([500, 0])) is None
    assert skin_fraction(mask, landmarks + np.array([500, 0])) is None


def test_sidecar_names_do_not_clash() -> None:
    images = ["a.jpg", "a.png", "a.JPG", "a.jpeg", "a.png.jpg", "a.jpg.jpg", "d/a.jpg", "a.b.jpg", "a.b.png"]
    images += ["a.jpe", "a.jpe.jpg", "a.jfif", "a.jfif.jpg", "a.png/x.jpg", "a.png~/x.jpg", "a.png~.jpg"]
    images += [("\u00fc" * 124) + ending for ending in ("a.png", "b.png")]
    paths = [sidecar_path("masks", "mine", image, ".png") for image in images]
    assert len(set(paths)) == len(images)
    assert paths[0] == "masks/mine/a.png"
    assert paths[1] == "masks/mine/a.png.png"
    assert paths[6] == "masks/mine/d/a.png"
    assert max(len(path.rsplit("/", 1)[1].encode()) for path in paths) == 255
    assert not set(paths) & {str(parent) for path in paths for parent in PurePosixPath(path).parents}


@pytest.mark.parametrize("image", ["../a.jpg", "d/../../a.jpg", "/a.jpg"])
@pytest.mark.reliability("hostile paths: files of the workspace")
def test_sidecars_stay_in_the_workspace(image: str) -> None:
    with pytest.raises(ValueError, match="outside the workspace"):
        sidecar_path("masks", "mine", image, ".png")
