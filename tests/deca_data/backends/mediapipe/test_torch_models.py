"""The networks in torch against MediaPipe's graphs: detections, meshes, and whole backends in batches."""

from __future__ import annotations

import sys
from importlib.metadata import version

import cv2
import numpy as np
import pytest
import torch

from deca_data.backends import load_backend
from deca_data.backends.mediapipe.models import FaceModels, face_networks
from deca_data.backends.mediapipe.torch_models import TorchModels
from deca_data.backends.mediapipe_detector import MediapipeDetector
from deca_data.backends.mediapipe_landmarker import MediapipeLandmarker
from deca_data.backends.tflite.network import TorchNetwork
from manifests.errors import UsageError

PIXELS = 0.01
"""Largest difference of a single pass; `benchmarks.embedded_networks` finds 1e-3."""


@pytest.fixture(scope="module")
def graphs() -> FaceModels:
    return FaceModels()


@pytest.fixture(scope="module")
def networks() -> TorchModels:
    return TorchModels("cpu")


@pytest.mark.parametrize("kind", ["short", "full"])
def test_detections(kind, graphs, networks, astronaut, hopper, coffee):
    pair = np.concatenate([astronaut, hopper[:512]], 1)  # two faces
    counts = []
    for image in (astronaut, hopper[:, 100:420], coffee, pair, pair[::4, ::4].copy()):
        expected, found = graphs.detect(image, kind), networks.detect(image, kind)
        counts.append(len(found))
        assert len(found) == len(expected)
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.score == pytest.approx(theirs.score, abs=1e-4)
            assert np.abs(ours.box - theirs.box).max() < PIXELS
            assert np.abs(ours.points - theirs.points).max() < PIXELS
            assert ours.roll == pytest.approx(theirs.roll, abs=1e-3)
    assert max(counts) >= 2


def test_the_mesh(graphs, networks, astronaut):
    crop = cv2.resize(astronaut[20:240, 115:335], (192, 192), interpolation=cv2.INTER_AREA)
    for image in (crop, cv2.flip(crop, 1), np.zeros_like(crop)):
        expected, found = graphs.mesh(image), networks.mesh(image)
        assert found.mesh.shape == found.plain.shape == (478, 3)
        assert found.mesh.dtype == np.float32
        assert np.abs(found.mesh - expected.mesh).max() < PIXELS
        assert np.abs(found.plain - expected.plain).max() < PIXELS
        assert found.presence == pytest.approx(expected.presence, abs=1e-4)


def test_detection_and_landmarks_of_several_photos_in_batches(
    networks, astronaut, hopper, coffee, monkeypatch
):
    images = [astronaut, coffee, hopper, cv2.flip(astronaut, 1)]
    sizes: list[int] = []
    run = TorchNetwork.forward
    monkeypatch.setattr(
        TorchNetwork, "forward", lambda self, batch: sizes.append(len(batch)) or run(self, batch)
    )
    expected, found = (MediapipeDetector(networks=one).detect(images) for one in (None, networks))
    assert [len(faces) for faces in found] == [len(faces) for faces in expected] == [1, 0, 1, 1]
    assert sizes[0] == 4
    boxes = [faces[0].box for faces in expected if faces]
    for faces, box in zip(filter(None, found), boxes, strict=True):
        assert np.abs(faces[0].box - box).max() < PIXELS
    sizes.clear()
    seen = [images[0], images[2], images[3]]
    theirs, ours = (MediapipeLandmarker(networks=one).landmarks(seen, boxes) for one in (None, networks))
    assert sizes[0] == 3
    for a, b in zip(theirs, ours, strict=True):
        assert a is not None
        assert b is not None
        assert np.abs(a.points - b.points).max() < 0.05  # of photos of 512 pixels
        assert b.confidence == pytest.approx(a.confidence, abs=1e-3)


def test_the_fingerprint_says_that_torch_ran_them(networks):
    own, theirs = (MediapipeDetector(networks=one).fingerprint() for one in (networks, None))
    assert own == {**theirs, "torch": version("torch")}


def test_the_cpu_needs_no_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # as where it is not installed
    assert isinstance(face_networks("cpu"), FaceModels)
    with pytest.raises(UsageError, match=r"--device cuda: .*pip install 'deca-data\[data,train\]'"):
        load_backend("detector", "mediapipe", device="cuda")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("kind", ["detector", "landmarker"])
def test_a_device_that_is_not_there(kind):
    with pytest.raises(UsageError, match="--device cuda: torch cannot use it"):
        load_backend(kind, "mediapipe", device="cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_finds_the_same_landmarks(astronaut, hopper):
    images = [astronaut, hopper]
    theirs, ours = (
        load_backend("detector", "mediapipe", device=device).detect(images) for device in ("cpu", "cuda")
    )
    boxes = [faces[0].box for faces in theirs]
    assert all(np.abs(faces[0].box - box).max() < PIXELS for faces, box in zip(ours, boxes, strict=True))
    found = [
        load_backend("landmarker", "mediapipe", device=device).landmarks(images, boxes)
        for device in ("cpu", "cuda")
    ]
    for a, b in zip(*found, strict=True):
        assert np.abs(a.points - b.points).max() < 0.05
