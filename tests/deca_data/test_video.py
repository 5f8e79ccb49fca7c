"""Frames from videos: which are chosen, and that the right ones are written."""

from __future__ import annotations

import contextlib
import os
import random
import struct
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from deca_data.video import choose_frames, extract_frames, frame_rate
from deca_data.video_files import Turn, check_video
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


def _coded(path: Path, codec: str = "libx264", container: str | None = None) -> Path:
    """Ten frames of 96 x 64 pixels, grey but for a red corner at the top left."""
    picture = np.full((64, 96, 3), 128, np.uint8)
    picture[:24, :24] = (255, 0, 0)
    with av.open(path, "w", format=container) as film:
        stream = film.add_stream(codec, 25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for _ in range(10):
            film.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        film.mux(stream.encode())
    return path


def _turned(video: Path, a: int, b: int, c: int, d: int) -> None:
    """Sets the display matrix of the track, as a phone does that is held upright."""
    data = bytearray(video.read_bytes())
    place = data.index(b"tkhd") + 4 + 40
    assert data[place : place + 4] == b"\0\1\0\0"
    numbers = [a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30]
    data[place : place + 36] = struct.pack(">9i", *numbers)
    video.write_bytes(data)


@pytest.mark.parametrize("ending", ["mp4", "mov"])
@pytest.mark.parametrize(
    ("matrix", "size", "corner"),
    [
        ((1, 0, 0, 1), (96, 64), (0, 0)),
        ((0, 1, -1, 0), (64, 96), (0, -1)),  # held upright: the stored top left is shown at the top right
        ((-1, 0, 0, -1), (96, 64), (-1, -1)),
        ((0, -1, 1, 0), (64, 96), (-1, 0)),
        ((-1, 0, 0, 1), (96, 64), (0, -1)),  # mirrored, as by a front camera
    ],
)
def test_frames_are_turned_by_the_stored_angle(tmp_path, ending, matrix, size, corner):
    video = _coded(tmp_path / f"film.{ending}")
    _turned(video, *matrix)
    frame = extract_frames(video, tmp_path / "out", 2)[1]
    image = decode_file(frame.path).image
    assert (frame.width, frame.height) == size == (image.shape[1], image.shape[0])
    row, column = (12 if place == 0 else -12 for place in corner)
    assert image[row, column, 0] > 200
    assert image[row, column, 2] < 80
    assert abs(int(image[-row, -column, 0]) - 128) < 20
    with av.open(video) as film:  # another decoder's opinion of the angle
        seen = next(film.decode(video=0))
        assert (seen.rotation % 180 == 90) == (size == (64, 96))


def test_a_coding_that_cannot_be_decoded_is_named_with_the_way_out(tmp_path, capfd):
    video = _coded(tmp_path / "new.mp4", "libsvtav1")
    capfd.readouterr()  # the encoder's lines
    with pytest.raises(Unreadable, match=r"coded as AV1.*ffmpeg -i new\.mp4 -c:v libx264"):
        extract_frames(video, tmp_path / "out")
    assert capfd.readouterr().err == ""


LISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://{inside}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{inside}'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    "dash": "<?xml version='1.0'?><MPD><BaseURL>file://{inside}</BaseURL></MPD>",
}


@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize("ending", ["mp4", "mkv", "avi"])
def test_lists_of_other_files_are_not_followed(tmp_path, video, kind, ending):
    path = tmp_path / f"00001.{ending}"
    path.write_text(LISTS[kind].format(inside=video))
    with pytest.raises(Unreadable, match="not a video"):
        extract_frames(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("container", ["mpegts", "flv", "mp3"])
def test_other_containers_are_not_opened(tmp_path, container):
    path = tmp_path / "film.mp4"
    if container == "mp3":
        path.write_bytes(b"ID3" + bytes(500))
    else:
        _coded(path, container=container)
    with pytest.raises(Unreadable, match="neither MP4"):
        extract_frames(path, tmp_path / "out")


def test_a_pipe_that_is_named_like_a_video_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    for call in (lambda path: extract_frames(path, tmp_path / "out"), frame_rate):
        with pytest.raises(Unreadable, match="named pipe"):
            call(tmp_path / "pipe.mp4")


def test_a_name_like_an_address_is_a_file(tmp_path, video, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("concat:x.mp4").write_bytes(video.read_bytes())
    assert len(extract_frames(Path("concat:x.mp4"), tmp_path / "out", 2)) == 2
    assert frame_rate(Path("concat:x.mp4")) == 25


def test_bytes_that_are_changed_at_random_raise_nothing_else(tmp_path, capfd):
    data, rng = _coded(tmp_path / "film.mp4").read_bytes(), random.Random(0)
    for _ in range(40):
        changed = bytearray(data)
        for _ in range(4):
            changed[rng.randrange(8, len(data))] = rng.randrange(256)
        (tmp_path / "changed.mp4").write_bytes(changed)
        with contextlib.suppress(Unreadable):
            extract_frames(tmp_path / "changed.mp4", tmp_path / "out", 2)
    assert "mp4" not in capfd.readouterr().err


@pytest.mark.parametrize("kind", [b"moov", b"trak", b"tkhd", b"mdia", b"hdlr", b"mvhd"])
def test_boxes_with_wrong_lengths_turn_nothing_and_raise_nothing_else(tmp_path, kind):
    data = _coded(tmp_path / "film.mp4").read_bytes()
    place = data.index(kind) - 4
    for length in (0, 1, 7, 8, 9, 30, 2**31 - 1, 2**32 - 1):
        (tmp_path / "changed.mp4").write_bytes(data[:place] + length.to_bytes(4, "big") + data[place + 4 :])
        assert check_video(tmp_path / "changed.mp4") == Turn()
    for cut in range(16, len(data), 7):
        (tmp_path / "changed.mp4").write_bytes(data[:cut])
        assert check_video(tmp_path / "changed.mp4") == Turn()


def test_a_number_of_frames_out_of_all_reason_takes_no_memory():
    assert choose_frames(10**12, 3) == [0, 5 * 10**11, 10**12 - 1]


def test_real_videos(faces, tmp_path):
    path = faces / "voxceleb2/dev/mp4/id00003/clipD/00001.mp4"
    frames = extract_frames(path, tmp_path, 5)
    assert [frame.number for frame in frames] == [0, 44, 87, 130, 174]
    assert decode_file(frames[-1].path).image.std() > 20
