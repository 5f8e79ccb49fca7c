from __future__ import annotations

import json
import subprocess
import sys
import weakref
from collections.abc import Iterator
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from subprocess import DEVNULL
from threading import Thread
from typing import Any

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from deca_model.use.film_files import write_film
from manifests.errors import UsageError

ROOT = Path(__file__).resolve().parents[3]
COLOURS = np.array([[200, 30, 40], [30, 180, 60], [40, 50, 220], [240, 220, 200]], np.uint8)
HEIGHT, WIDTH = 65, 161  # odd; each colour is 40 wide
MIDDLES = range(20, 160, 40)


def frames(count: int) -> Iterator[np.ndarray]:
    """Four stripes of colour; a white square moves along them."""
    for number in range(count):
        frame = np.repeat(np.append(COLOURS, COLOURS[-1:], axis=0), 40, axis=0)[None, :WIDTH]
        frame = np.repeat(frame, HEIGHT, axis=0)
        frame[4:12, number : number + 8] = 255
        yield frame


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("films") / "film.mp4"
    write_film(path, frames(12), 29.97)
    assert [each.name for each in path.parent.iterdir()] == ["film.mp4"]
    return path


def test_an_mp4_is_h264_in_yuv420p_with_every_frame(film: Path):
    with av.open(str(film)) as opened:
        video = opened.streams.video[0]
        assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert video.average_rate == Fraction(2997, 100)
        shown = [frame.to_ndarray(format="rgb24") for frame in opened.decode(video=0)]
    assert len(shown) == 12
    # an odd side grows by one pixel, which repeats its neighbour
    assert {frame.shape for frame in shown} == {(HEIGHT + 1, WIDTH + 1, 3)}
    assert np.abs(shown[0][32, MIDDLES].astype(int) - COLOURS).max() <= 4
    assert np.abs(shown[0][-1, MIDDLES].astype(int) - COLOURS).max() <= 4
    assert shown[11][8, 15].min() > 230
    assert shown[0][8, 15].min() < 60
    data = film.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # a browser plays it before it has all


def test_opencv_reads_it_too(film: Path):
    video = cv2.VideoCapture(str(film))
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(29.97)
    shown = []
    while (read := video.read())[0]:
        shown.append(read[1][..., ::-1])
    assert len(shown) == 12
    assert np.abs(shown[0][32, MIDDLES].astype(int) - COLOURS).max() <= 4


def test_a_browser_plays_it_in_the_right_colours(film: Path, chromium: list[str]):
    told = played(film, chromium)
    assert told["size"] == [WIDTH + 1, HEIGHT + 1]
    assert told["seconds"] == pytest.approx(12 / 29.97, abs=0.001)
    row = np.array(told["row"]).reshape(160, 4)  # RGBA
    assert np.abs(row[MIDDLES, :3] - COLOURS).max() <= 4


PAGE = b"""<!doctype html><script>
const video = document.createElement('video');
const tell = told => fetch('/', {method: 'POST', body: JSON.stringify(told)});
video.onerror = () => tell({error: video.error.message});
video.requestVideoFrameCallback(() => {
    const canvas = document.createElement('canvas').getContext('2d');
    canvas.drawImage(video, 0, 0);
    const row = [...canvas.getImageData(0, 32, 160, 1).data];
    tell({size: [video.videoWidth, video.videoHeight], seconds: video.duration, row});
});
video.muted = true;
video.src = 'film.mp4';
video.play();
</script>"""
"""Plays the film, and tells the server about the first frame that is shown."""


def played(film: Path, chromium: list[str]) -> dict[str, Any]:
    """What the page tells after a browser opened it."""
    told: Queue[dict[str, Any]] = Queue()

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(film.read_bytes() if self.path == "/film.mp4" else PAGE)

        def do_POST(self) -> None:
            told.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.answer(b"")

        def answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "video/mp4" if self.path == "/film.mp4" else "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        Thread(target=server.serve_forever).start()
        with subprocess.Popen(
            [*chromium, f"http://127.0.0.1:{server.server_port}/"], stderr=DEVNULL
        ) as browser:
            try:
                return told.get(timeout=60)
            finally:
                browser.terminate()
                server.shutdown()


def video_with_sound(path: Path, codec: str, seconds: float = 2.0) -> None:
    """A grey video; its sound is silence for half of the time, then a tone of 440 Hz."""
    with av.open(str(path), "w") as made:
        pictures, sound = made.add_stream("libx264", 10), made.add_stream(codec, rate=44100)
        pictures.width = pictures.height = 64
        pictures.pix_fmt = "yuv420p"
        for _ in range(int(seconds * 10)):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 128, np.uint8), format="rgb24")
            made.mux(pictures.encode(frame))
        made.mux(pictures.encode())
        time = np.arange(int(44100 * seconds)) / 44100
        wave = (np.sin(2 * np.pi * 440 * time) * 8000 * (time > seconds / 2)).astype(np.int16)[None]
        for start in range(0, wave.shape[1], 1024):
            part = np.ascontiguousarray(wave[:, start : start + 1024])
            chunk = av.AudioFrame.from_ndarray(part, format="s16", layout="mono")
            chunk.sample_rate, chunk.pts, chunk.time_base = 44100, start, Fraction(1, 44100)
            made.mux(sound.encode(chunk))
        made.mux(sound.encode())


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "aac"), ("a.mkv", "pcm_s16le")])
def test_a_film_gets_the_sound_of_a_video_at_its_time(tmp_path: Path, name: str, codec: str):
    video_with_sound(tmp_path / name, codec)
    write_film(tmp_path / "film.mp4", frames(15), 10, tmp_path / name)  # half a second shorter
    with av.open(str(tmp_path / "film.mp4")) as film:
        assert [stream.codec_context.name for stream in film.streams] == ["h264", "aac"]
        parts = [frame.to_ndarray()[0] for frame in film.decode(audio=0)]
        wave = np.concatenate(parts).astype(float)
    with av.open(str(tmp_path / "film.mp4")) as film:
        assert sum(1 for _ in film.decode(video=0)) == 15
    seconds = np.arange(len(wave)) / 44100
    assert 1.4 < seconds[-1] < 1.6  # as long as the pictures
    loud = np.abs(wave) > 0.05
    assert loud[(seconds > 1.1) & (seconds < 1.4)].mean() > 0.5
    assert not loud[seconds < 0.9].any()
    tone = wave[int(1.1 * 44100) : int(1.4 * 44100)]
    assert np.abs(np.fft.rfft(tone)).argmax() / 0.3 == pytest.approx(440, abs=8)


def test_a_video_without_sound_gives_a_film_without(tmp_path: Path, film: Path):
    write_film(tmp_path / "silent.mp4", frames(3), 10, film)
    with av.open(str(tmp_path / "silent.mp4")) as made:
        assert [stream.type for stream in made.streams] == ["video"]
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    with pytest.raises(UsageError, match=r"broken\.mp4: its sound cannot be read"):
        write_film(tmp_path / "film.mp4", frames(2), 10, tmp_path / "broken.mp4")
    assert not (tmp_path / "film.mp4").exists()


def test_a_gif_repeats_without_end(tmp_path: Path):
    write_film(tmp_path / "film.gif", frames(5), 10)
    with Image.open(tmp_path / "film.gif") as film:
        assert (getattr(film, "n_frames", 1), film.size) == (5, (WIDTH, HEIGHT))
        assert (film.info["duration"], film.info["loop"]) == (100, 0)
        first = np.asarray(film.convert("RGB"))
        film.seek(4)
        last = np.asarray(film.convert("RGB"))
    for shown in (first, last):
        assert np.abs(shown[32, MIDDLES].astype(int) - COLOURS).max() <= 4
    assert last[8, 8].min() > 230  # the square has moved away from the first column
    assert np.abs(last[8, 1].astype(int) - COLOURS[0]).max() <= 4


PEAK = """
import resource, sys
from pathlib import Path
import numpy as np
from deca_model.use.film_files import write_film

def noise(count):
    for number in range(count):
        grey = np.random.default_rng(number).integers(256, size=(768, 768, 1), dtype=np.uint8)
        yield grey.repeat(3, axis=2)

write_film(Path(sys.argv[1]), noise(int(sys.argv[2])))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_the_memory_of_a_long_gif_is_that_of_a_short_one(tmp_path: Path):
    def peak(count: int) -> int:
        words = [sys.executable, "-c", PEAK, str(tmp_path / f"{count}.gif"), str(count)]
        return int(subprocess.run(words, capture_output=True, check=True, cwd=ROOT).stdout)

    assert peak(84) - peak(4) < 20  # MiB; the frames are 47 MiB with a byte a pixel


def test_a_folder_gets_the_very_frames(tmp_path: Path):
    write_film(tmp_path / "film", frames(5))
    paths = sorted((tmp_path / "film").iterdir())
    assert [path.name for path in paths] == [f"{number:04d}.png" for number in range(5)]
    for path, frame in zip(paths, frames(5), strict=True):
        assert np.array_equal(cv2.imread(str(path))[..., ::-1], frame)


@pytest.mark.parametrize("name", ["film.mp4", "film.gif", "film"])
def test_frames_are_not_kept(tmp_path: Path, name: str):
    given: list[weakref.ref[np.ndarray]] = []
    alive = []

    def watched() -> Iterator[np.ndarray]:
        for frame in frames(60):
            given.append(weakref.ref(frame))
            alive.append(sum(each() is not None for each in given))
            yield frame

    write_film(tmp_path / name, watched())
    assert max(alive) <= 3


@pytest.mark.parametrize("name", ["film.mp4", "film.gif"])
def test_a_film_that_breaks_off_leaves_no_file(tmp_path: Path, name: str):
    def broken() -> Iterator[np.ndarray]:
        yield from frames(3)
        raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError, match="the disk is full"):
        write_film(tmp_path / name, broken())
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UsageError, match=r"film\.avi: a film ends in \.mp4 or \.gif"):
        write_film(tmp_path / "film.avi", frames(1))
    monkeypatch.setitem(sys.modules, "av", None)  # as where it is not installed
    with pytest.raises(UsageError, match=r"film\.mp4: .* needs PyAV; pip install 'deca-data\[train\]'"):
        write_film(tmp_path / "film.mp4", frames(1))
    write_film(tmp_path / "film.gif", frames(2))
    assert [path.name for path in tmp_path.iterdir()] == ["film.gif"]
