"""Videos that cannot be used, beside others: each costs itself alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands.clips import check_any, each_video, no_photo_suffices
from pipelines.photo_faces import FaceFinder, FrameSource, NoFace, NoVideo, PhotoFile


def test_a_damaged_video_beside_others_is_skipped_with_its_reason(tmp_path: Path, capsys):
    finder = FaceFinder()
    videos = [PhotoFile(name, tmp_path / f"{name}.mp4") for name in ("bad", "empty", "good")]
    for video in videos[:2]:
        video.path.write_bytes(b"no film")

    def frames(video: PhotoFile) -> dict[str, str]:
        if video.name == "good":
            return {"film": "good"}
        finder.skipped.append((Path("frame.jpg"), "no face found"))
        with FrameSource(video.path, None):
            raise AssertionError("it was read")

    assert each_video(videos, finder, False, frames) == [{"film": "good"}]
    assert [path.name for path, _ in finder.skipped] == ["bad.mp4", "empty.mp4"]
    assert all(reason.startswith("not a video: ") for _, reason in finder.skipped)
    assert len(capsys.readouterr().err.splitlines()) == 2
    with pytest.raises(NoVideo, match=r"bad\.mp4: not a video"):
        each_video(videos[:1], finder, True, frames)


def test_photos_without_a_face_are_an_error_where_there_is_no_video(tmp_path: Path):
    video = PhotoFile("a", tmp_path / "a.mp4")
    with no_photo_suffices([video]):
        raise NoFace("no face")
    with pytest.raises(NoFace), no_photo_suffices([]):
        raise NoFace("no face")
    with pytest.raises(NoFace, match="no face in any of the 1 photos and videos"):
        check_any([], [video])
