"""Frames from videos: which are chosen, and that the right ones are written."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from deca_data.video import choose_frames, extract_frames
from manifests.images.decode import Unreadable, decode_file


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    """50 frames; the grey level of each is five times its number."""
    path = tmp_path_factory.mktemp("video") / "a b ü.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (64, 48))
    for number in range(50):
        writer.write(np.full((48, 64, 3), 5 * number, np.uint8))
    writer.release()
    return path


def test_the_choice_is_even_and_has_the_first_frame_and_none_twice():
    assert choose_frames(10, 4) == [0, 3, 6, 9]
    assert choose_frames(100, 1) == [0]
    assert choose_frames(3, 10) == [0, 1, 2]
    assert choose_frames(10, None, 4) == [0, 4, 8]
    assert choose_frames(100, 3, 10) == [0, 40, 90]
    assert choose_frames(0, 5) == []
    for count in range(1, 60):
        for wanted in range(1, 20):
            chosen = choose_frames(count, wanted)
            assert len(chosen) == min(count, wanted)
            assert chosen[0] == 0
            assert chosen == sorted(set(chosen))


def test_the_right_frames_are_written(video, tmp_path):
    frames = extract_frames(video, tmp_path / "out", 8)
    assert [frame.number for frame in frames] == [0, 7, 14, 21, 28, 35, 42, 49]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"{f.number:06d}.jpg" for f in frames
    ]
    for frame in frames:
        image = decode_file(frame.path).image
        assert image.shape == (48, 64, 3)
        assert (frame.width, frame.height) == (64, 48)
        assert abs(float(image.mean()) - 5 * frame.number) < 3


def test_the_same_call_writes_the_same_bytes(video, tmp_path):
    for name in ("one", "two"):
        extract_frames(video, tmp_path / name, 5)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_a_video_that_is_shorter_than_it_says(video, tmp_path):
    """Its header comes first and names all 50 frames; the file is cut off before the 41st."""
    whole, short = tmp_path / "whole.mp4", tmp_path / "short.mp4"
    with av.open(video) as source, av.open(whole, "w", options={"movflags": "faststart"}) as film:
        stream = film.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                film.mux(packet)
    with av.open(whole) as film:
        ends = [packet.pos for packet in film.demux(video=0) if packet.size]
    short.write_bytes(whole.read_bytes()[: ends[40]])
    assert cv2.VideoCapture(str(short)).get(cv2.CAP_PROP_FRAME_COUNT) == 50
    frames = extract_frames(short, tmp_path / "out", 8)
    assert [frame.number for frame in frames] == [0, 6, 11, 17, 22, 28, 33, 39]
    assert len(list((tmp_path / "out").iterdir())) == 8


@pytest.mark.parametrize("data", [b"", b"no video at all" * 50])
def test_broken_videos_are_unreadable(tmp_path, data):
    (tmp_path / "broken.mp4").write_bytes(data)
    with pytest.raises(Unreadable):
        extract_frames(tmp_path / "broken.mp4", tmp_path / "out")
    with pytest.raises(Unreadable, match="missing"):
        extract_frames(tmp_path / "none.mp4", tmp_path / "out")


def test_real_videos(faces, tmp_path):
    path = faces / "voxceleb2/dev/mp4/id00003/clipD/00001.mp4"
    frames = extract_frames(path, tmp_path, 5)
    assert [frame.number for frame in frames] == [0, 44, 87, 130, 174]
    assert decode_file(frames[-1].path).image.std() > 20
