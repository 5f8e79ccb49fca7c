"""Faces in single photos, as `deca reconstruct` finds them."""

from __future__ import annotations

import cv2
import numpy as np
import skimage.data

from pipelines.photo_faces import FaceFinder


def test_a_device_of_the_trainer_does_not_move_mediapipe(tmp_path):
    """`--device` of `deca reconstruct` is "auto" by default, and "cuda" names the place of the model."""
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2BGR))
    found = [FaceFinder(device=device).one(path).landmarks for device in ("cpu", "auto", "cuda")]
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])
