"""The face-alignment backend, run for real on a weight file in the real format with random numbers in it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("face_alignment")

from face_alignment.models import FAN  # noqa: E402
from face_alignment.utils import crop  # noqa: E402
from torch.nn.modules.module import register_module_forward_pre_hook  # noqa: E402

from deca_data.backends import load_backend  # noqa: E402
from manifests.errors import UsageError  # noqa: E402


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """The network's own architecture with seeded random weights, named with the hash of its bytes."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("weights")
    torch.save(FAN(4).state_dict(), folder / "raw")
    digest = hashlib.sha256((folder / "raw").read_bytes()).hexdigest()
    return (folder / "raw").rename(folder / f"2DFAN4-{digest[:10]}.pth.tar")


@pytest.fixture
def empty_cache(tmp_path) -> Iterator[Path]:
    before = torch.hub.get_dir()
    torch.hub.set_dir(tmp_path / "hub")
    yield tmp_path / "hub" / "checkpoints"
    torch.hub.set_dir(before)


def test_a_missing_file_is_one_sentence(empty_cache, tmp_path):
    with pytest.raises(UsageError, match=r"2DFAN4-11f355bf06\.pth\.tar.*--weights.*--download") as caught:
        load_backend("landmarker", "face-alignment")
    assert str(empty_cache) in str(caught.value)
    with pytest.raises(UsageError, match="nowhere"):
        load_backend("landmarker", "face-alignment", weights=tmp_path / "nowhere", download=True)


def test_damaged_and_renamed_files_are_refused(empty_cache, tmp_path):
    damaged = tmp_path / "2DFAN4-11f355bf06.pth.tar"
    damaged.write_bytes(b"half a download")
    with pytest.raises(UsageError, match="damaged"):
        load_backend("landmarker", "face-alignment", weights=damaged)
    with pytest.raises(UsageError, match="damaged"):
        load_backend("landmarker", "face-alignment", weights=tmp_path)
    renamed = damaged.rename(tmp_path / "fan.pth.tar")
    with pytest.raises(UsageError, match="not named like"):
        load_backend("landmarker", "face-alignment", weights=renamed)


def _crop_of_the_library(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    x0, y0, x1, y1 = box - (0, 0.2 * (box[3] - box[1]), 0, 0)
    center = np.array([(x0 + x1) / 2, (y0 + y1) / 2 - 0.12 * (y1 - y0)])
    return crop(image, center, (x1 - x0 + y1 - y0) / 195).transpose(2, 0, 1) / np.float32(255)


@pytest.mark.slow
def test_the_network_sees_in_a_batch_what_it_sees_in_single_calls(weights, empty_cache, astronaut, hopper):
    before, seen = torch.hub.get_dir(), []
    backend = load_backend("landmarker", "face-alignment", weights=weights.parent)
    images = [astronaut, np.ascontiguousarray(hopper[140:345])]  # the second face reaches over the edges
    boxes = [np.array([177.0, 82.0, 272.0, 177.0]), np.array([169.0, 5.0, 365.0, 201.0])]

    def see(module: object, inputs: tuple) -> None:
        if isinstance(module, FAN):
            seen.append(inputs[0].numpy())

    with register_module_forward_pre_hook(see):
        results = backend.landmarks(images, boxes)
    assert torch.hub.get_dir() == before
    assert not empty_cache.exists()
    for result in results:
        assert result is not None
        assert result.points.shape == (68, 2)
        assert result.points.dtype == np.float32
        assert 0 <= result.confidence <= 1
        assert result.mesh is None
    assert [len(batch) for batch in seen] == [2, 2]  # both photos at once, as they are and mirrored
    # Where a crop reaches over the edge of a photo, the library rounds the other way: one pixel at most.
    for image, box, given in zip(images, boxes, seen[0], strict=True):
        assert np.abs(given - _crop_of_the_library(image, box)).mean() < 0.03
    assert backend.landmarks([], []) == []
    assert weights.name.split("-")[1][:10] == backend.fingerprint()["fan"][:10]
