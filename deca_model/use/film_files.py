"""Writing a film as .mp4, as .gif, or as a folder of PNG frames."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import GifImagePlugin, Image

from deca_model.files.png import write_png
from deca_model.use.sound import SoundTrack
from manifests.errors import UsageError
from manifests.files import atomic_path


def write_film(
    path: Path, frames: Iterable[np.ndarray], per_second: float = 25.0, sound: Path | None = None
) -> None:
    """Write each frame as soon as it is given; a film file is written completely or not at all.

    Args:
        path: ends in .mp4 (H.264 in yuv420p, which all browsers play) or .gif (endless), or is a folder for
            numbered PNGs.
        frames: (H, W, 3) uint8 RGB each, all of one size; at least one.
        per_second: frames per second.
        sound: a video whose sound an .mp4 gets, from the video's start on; other films have none.

    Raises:
        UsageError: another ending, or .mp4 without PyAV.
    """
    write = {".mp4": _write_mp4, ".gif": _write_gif, "": _write_pngs}.get(path.suffix.lower())
    if write is None:
        raise UsageError(f"{path}: a film ends in .mp4 or .gif, or is a folder for PNG frames.")
    write(path, frames, per_second, sound)


def _write_mp4(path: Path, frames: Iterable[np.ndarray], per_second: float, sound: Path | None) -> None:
    try:
        import av
        from av.video.reformatter import Colorspace
    except ImportError as error:
        raise UsageError(
            f"{path}: this film needs PyAV; pip install 'deca-data[train]', or end its name in .gif."
        ) from error
    begin = {"movflags": "faststart"}  # the index comes first: a browser plays before it has all
    with atomic_path(path) as temporary, av.open(str(temporary), "w", options=begin) as film:
        rate = Fraction(per_second).limit_denominator(1001)  # as 30000/1001 for 29.97
        stream = film.add_stream("libx264", rate, {"crf": "18"})  # no visible loss
        stream.pix_fmt = "yuv420p"
        stream.codec_context.colorspace = Colorspace.ITU601  # as the frames are converted
        track = SoundTrack(film, sound)
        number = 0
        for number, frame in enumerate(frames):
            height, width = frame.shape[:2]
            even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")  # as yuv420p needs
            if number == 0:
                stream.height, stream.width = even.shape[:2]
            track.write_until(number / per_second)
            film.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
        film.mux(stream.encode())
        track.write_until((number + 1) / per_second)
        track.close()


def _write_gif(path: Path, frames: Iterable[np.ndarray], per_second: float, sound: Path | None) -> None:
    """Each frame has its own 128 colours; Pillow's ``save`` would keep all frames until the last."""
    # GIF counts in hundredths of a second, and viewers slow down frames shorter than two of them
    duration = max(20, round(100 / per_second) * 10)
    with atomic_path(path) as temporary, temporary.open("wb") as film:
        for number, frame in enumerate(frames):
            image = Image.fromarray(frame).quantize(128, dither=Image.Dither.NONE)
            if number == 0:
                film.writelines(GifImagePlugin.getheader(image.copy(), info={"loop": 0})[0])
            film.writelines(GifImagePlugin.getdata(image, duration=duration, include_color_table=True))
        film.write(b";")


def _write_pngs(folder: Path, frames: Iterable[np.ndarray], per_second: float, sound: Path | None) -> None:
    for number, frame in enumerate(frames):
        write_png(folder / f"{number:04d}.png", frame)
