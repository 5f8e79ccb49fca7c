"""The face-alignment backend, run for real on a weight file in the real format with random numbers in it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("face_alignment")

from face_alignment.models import FAN  # noqa: E402

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
def empty_cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    return tmp_path / "hub" / "checkpoints"


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


@pytest.mark.slow
def test_batches_give_what_single_calls_of_the_library_give(weights, empty_cache, astronaut, hopper):
    before = torch.hub.get_dir()
    backend = load_backend("landmarker", "face-alignment", weights=weights.parent)
    images = [astronaut, np.ascontiguousarray(hopper[140:345])]  # the second face reaches over the edges
    boxes = [np.array([177.0, 82.0, 272.0, 177.0]), np.array([169.0, 5.0, 365.0, 201.0])]
    results = backend.landmarks(images, boxes)
    assert torch.hub.get_dir() == before
    assert not empty_cache.exists()
    for result in results:
        assert result is not None
        assert result.points.shape == (68, 2)
        assert result.points.dtype == np.float32
        assert 0 <= result.confidence <= 1
        assert result.mesh is None
    raised = boxes[0] - (0, 0.2 * 95, 0, 0)
    (direct,) = backend._network.get_landmarks_from_image(astronaut, detected_faces=[raised])
    same = np.abs(results[0].points - direct).max(axis=1) < 0.01
    assert same.sum() >= 66  # random heat maps have near-equal peaks, of which rounding picks one
    assert backend.landmarks([], []) == []
    assert weights.name.split("-")[1][:10] == backend.fingerprint()["fan"][:10]
