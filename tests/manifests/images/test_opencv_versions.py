"""OpenCV has changed within its version 4: the extras without MediaPipe install the newest."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import pytest

from manifests.images import c_warnings, decode


def test_no_photo_is_asked_for_in_two_orders_of_colours():
    for reduced in decode._REDUCED.values():
        assert not reduced & cv2.IMREAD_COLOR  # 4.14 refuses BGR and RGB at once


@pytest.mark.parametrize("newer", [False, True])
def test_messages_are_switched_off_wherever_the_function_is(monkeypatch: pytest.MonkeyPatch, newer: bool):
    levels: list[int] = []
    place = SimpleNamespace(setLogLevel=levels.append)
    module = SimpleNamespace(utils=SimpleNamespace(logging=place)) if newer else place
    monkeypatch.setattr(c_warnings, "cv2", module)
    c_warnings.silence_opencv()
    assert levels == [0]
