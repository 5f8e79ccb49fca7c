"""Large photos are decoded at a reduced size, and nobody can tell: reduction, shard_task and the stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.data

from deca_data.sample import Sample
from manifests.images import reduction as rules
from manifests.images.decode import decode_file
from manifests.images.reduction import reduction_for_stages
from pipelines.run import shard_task
from pipelines.run.bring_up import Call, open_workspace
from pipelines.run.runner import plan
from pipelines.run.stage_plan import with_defaults
from pipelines.workspace.parts import read_part

STAGES = ("detect", "landmarks", "consistency", "quality", "masks")


@pytest.mark.parametrize(
    ("size", "side", "shrunk"),
    [
        ((2999, 2000), None, 1),
        ((2000, 3000), None, 2),
        ((5999, 10), None, 2),
        ((6000, 4000), None, 4),
        ((20_000, 10_000), None, 8),
        ((6000, 4000), 383, 1),
        ((6000, 4000), 767, 1),
        ((6000, 4000), 768, 2),
        ((6000, 4000), 1536, 4),
        ((3000, 2000), 1900, 2),
        ((1000, 1000), 900, 1),
    ],
)
def test_photos_stay_as_large_as_networks_want_them(size, side, shrunk):
    box = None if side is None else (50, 60, 50 + side / 2, 60 + side)
    assert reduction_for_stages(box)(*size) == shrunk


def test_positions_go_to_the_image_and_back():
    edges = [-0.5, -0.5, 30.5, 17.5]  # the photo's outermost
    row = {"box": edges, "landmarks": edges * 34}
    sample = Sample(np.zeros((5, 8, 3), np.uint8), row, shrunk=4, photo_size=(31, 18))
    assert sample.box().tolist() == [-0.5, -0.5, 7.25, 4.0]
    assert sample.landmarks()[:2].tolist() == [[-0.5, -0.5], [7.25, 4.0]]
    assert sample.to_photo(sample.box()).tolist() == edges
    assert sample.size == (31, 18)
    whole = Sample(np.zeros((18, 31, 3), np.uint8), row)
    assert whole.box().tolist() == whole.to_photo(whole.box()).tolist() == edges
    assert whole.size == (31, 18)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same person large, and small, in large photos; and a photo of usual size."""
    root = tmp_path_factory.mktemp("large") / "photos"
    person = skimage.data.astronaut()[..., ::-1]
    for name, part, times in (
        ("large/1.jpg", person[40:300, 80:380], 10.3),
        ("small/1.jpg", person, 6.1),
        ("usual/1.jpg", person, 1.0),
    ):
        (root / name).parent.mkdir(parents=True)
        image = cv2.resize(part, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(root / name), image, [cv2.IMWRITE_JPEG_QUALITY, 95])
    return root


def _rows(space: Path, photos: Path, *passes: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """What the stages of each pass write, by photo."""
    workspace = open_workspace(Call(space, [photos], quiet=True, say=lambda line: None))
    rows: dict[str, dict[str, Any]] = {}
    for stages in passes:
        for job in plan(workspace, with_defaults({}, stages)):
            job.run()
            images = read_part(job.parts["scan"]).column("image").to_pylist()
            for stage in job.todo:
                for image, row in zip(images, read_part(job.parts[stage]).to_pylist(), strict=True):
                    if row["status"] is not None:  # null where a stage before it has ended the row
                        rows.setdefault(image, {}).update(row)
    return rows


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Which photos were decoded, and by how much their sides were divided."""
    calls: list[tuple[str, int]] = []

    def recorded(path: Path, **options: Any) -> Any:
        found = decode_file(path, **options)
        calls.append((path.parent.name, found.shrunk))
        return found

    monkeypatch.setattr(shard_task, "decode_file", recorded)
    return calls


def test_nothing_is_lost_and_all_positions_are_the_photo_s(tmp_path, photos, decoded, monkeypatch):
    rows = _rows(tmp_path / "reduced", photos, STAGES)
    assert decoded == [("large", 2), ("small", 2), ("usual", 1), ("small", 1)]
    decoded.clear()
    monkeypatch.setattr(rules, "FACTORS", (1,))
    whole = _rows(tmp_path / "whole", photos, STAGES)
    assert [shrunk for _, shrunk in decoded] == [1, 1, 1]
    assert rows["usual/1.jpg"] == whole["usual/1.jpg"]
    for image in ("large/1.jpg", "small/1.jpg"):
        row, truth = rows[image], whole[image]
        side = truth["box"][2] - truth["box"][0]
        assert np.allclose(row["box"], truth["box"], atol=0.005 * side)
        off = np.abs(np.subtract(row["landmarks"], truth["landmarks"]))
        assert off.max() < 0.01 * side
        for name in ("faces", "width", "height", "content_hash", "status"):
            assert row[name] == truth[name]
        for name in ("face_size", "sharpness", "brightness", "skin_fraction", "eye_openness"):
            assert row[name] == pytest.approx(truth[name], rel=0.06)
        masks = [
            cv2.imread(str(tmp_path / space / row["mask_path"]), cv2.IMREAD_UNCHANGED)
            for space in ("reduced", "whole")
        ]
        assert masks[0].shape == (row["height"], row["width"])
        assert set(np.unique(masks[0])) == {0, 255}
        assert np.minimum(*masks).sum() / np.maximum(*masks).sum() > 0.97


def test_one_pass_and_one_for_each_stage_give_the_same(tmp_path, photos, decoded):
    together = _rows(tmp_path / "together", photos, STAGES)
    decoded.clear()
    apart = _rows(tmp_path / "apart", photos, *((stage,) for stage in STAGES))
    assert apart == together
    detected = [("large", 2), ("small", 2), ("usual", 1)]
    assert decoded == detected + 4 * [("large", 2), ("small", 1), ("usual", 1)]
    for image in together:
        one, other = (
            (tmp_path / space / together[image]["mask_path"]).read_bytes() for space in ("together", "apart")
        )
        assert one == other


def test_a_photo_that_is_gone_when_it_is_wanted_larger_costs_its_own_row(tmp_path, photos, monkeypatch):
    def gone(path: Path, **options: Any) -> Any:
        if path.parent.name == "small" and path in seen:
            return decode_file(tmp_path / "absent.jpg")
        seen.add(path)
        return decode_file(path, **options)

    seen: set[Path] = set()
    monkeypatch.setattr(shard_task, "decode_file", gone)
    rows = _rows(tmp_path / "space", photos, STAGES)
    assert {image: row["status"] for image, row in rows.items()} == {
        "large/1.jpg": "ok",
        "small/1.jpg": "failed",
        "usual/1.jpg": "ok",
    }
    assert "No such file" in rows["small/1.jpg"]["reason"]
