"""MediaPipe's person segmentation on a real photo."""

from __future__ import annotations

import numpy as np

from deca_data.backends.mediapipe.person import PersonSegmenter


def test_a_person_and_no_background(astronaut):
    """The astronaut stands before a flag and a model of the shuttle."""
    found = PersonSegmenter().person(astronaut[:256, 64:384])
    assert found.shape == (256, 320)
    assert found.dtype == np.float32
    assert 0 <= found.min() <= found.max() <= 1
    assert found[80:180, 120:200].mean() > 0.95  # the face
    assert found[:60, :40].mean() < 0.2


def test_the_same_again(astronaut):
    segmenter = PersonSegmenter()
    first = segmenter.person(astronaut)
    segmenter.person(np.zeros((64, 64, 3), np.uint8))
    assert np.array_equal(segmenter.person(astronaut), first)


def test_fingerprint_names_the_network():
    assert len(PersonSegmenter.fingerprint()) == 16
