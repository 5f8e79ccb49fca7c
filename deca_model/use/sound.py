"""The sound of a video in a new film: its packets as they are where .mp4 holds them, else encoded as AAC."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from manifests.errors import UsageError

_AS_IT_IS = ("aac", "mp3")  # what every browser plays in an .mp4


class SoundTrack:
    """Copies the first sound track of a video into a film, packet by packet, beside the pictures.

    Args:
        film: the opened film; its video stream is already there, and nothing is written yet.
        source: the video; None, or a video without sound, gives no track.

    Raises:
        UsageError: the video cannot be opened.
    """

    def __init__(self, film: Any, source: Path | None) -> None:
        self._film, self._video, self._packets = film, None, iter(())
        self._next: Any = None
        if source is None:
            return
        import av

        try:
            self._video = av.open(str(source))
        except (OSError, ValueError) as error:  # PyAV's errors are of these two kinds
            raise UsageError(f"{source}: its sound cannot be read ({error}).") from error
        if not self._video.streams.audio:
            return
        found = self._video.streams.audio[0]
        begin = _beginning(self._video.streams.video)
        if found.codec_context.name in _AS_IT_IS:
            self._stream = film.add_stream_from_template(found)
            self._packets = self._copied(found, begin)
        else:
            self._stream = film.add_stream("aac", rate=found.rate or 44100)
            self._packets = self._encoded(found, begin)

    def write_until(self, seconds: float) -> None:
        """Write the sound before this time of the film."""
        while True:
            self._next = self._next or next(self._packets, None)
            if self._next is None or float(self._next.pts * self._next.time_base) >= seconds:
                return
            self._film.mux(self._next)
            self._next = None

    def close(self) -> None:
        """Close the video."""
        if self._video is not None:
            self._video.close()

    def _copied(self, found: Any, begin: Any) -> Iterator[Any]:
        for packet in self._video.demux(found):  # type: ignore[union-attr]
            if packet.pts is None:  # the end
                continue
            shift = round(begin / packet.time_base)
            packet.pts -= shift
            packet.dts = packet.pts
            packet.stream = self._stream
            if packet.pts >= 0:
                yield packet

    def _encoded(self, found: Any, begin: Any) -> Iterator[Any]:
        for frame in self._video.decode(found):  # type: ignore[union-attr]
            if frame.pts is not None:
                frame.pts -= round(begin / frame.time_base)
            yield from self._stream.encode(frame)
        yield from self._stream.encode(None)


def _beginning(pictures: Any) -> Fraction:
    """The time of a video's first picture, in seconds; 0 where it is unknown."""
    if not pictures or pictures[0].start_time is None:
        return Fraction(0)
    return pictures[0].start_time * pictures[0].time_base
