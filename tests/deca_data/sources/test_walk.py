"""The walk over a dataset folder: order, names, links."""

from __future__ import annotations

import os
from pathlib import Path

from deca_data.sources.walk import IMAGE_ENDINGS, walk


def _make(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x" * len(path))


def _paths(root: Path, **options) -> list[str]:
    return [found.path for found in walk(root, IMAGE_ENDINGS, **options)]


def test_order_is_that_of_the_path_strings(tmp_path):
    paths = [
        "a/1.jpg",
        "a.jpg",
        "a-b/1.jpg",
        "a b/1.jpg",
        "a/z/1.jpg",
        "a/10.png",
        "B/1.jpg",
        "é/ü ß.jpeg",
        "日本/一.webp",
    ]
    _make(tmp_path, *reversed(paths))
    assert _paths(tmp_path) == sorted(paths)


def test_endings_in_any_case_and_nothing_hidden_or_temporary(tmp_path):
    _make(
        tmp_path,
        "1.JPG",
        "2.Jpeg",
        "3.PNG",
        "notes.txt",
        "none",
        ".hidden.jpg",
        ".git/1.jpg",
        "~1.jpg",
        "x.jpg.part",
    )
    _make(tmp_path, "__MACOSX/1.jpg", "deca-workspace/frames/1.jpg")
    assert _paths(tmp_path) == ["1.JPG", "2.Jpeg", "3.PNG"]


def test_size_and_time_are_the_files_own(tmp_path):
    _make(tmp_path, "abc.jpg")
    found = next(walk(tmp_path, IMAGE_ENDINGS))
    stat = (tmp_path / "abc.jpg").stat()
    assert (found.bytes, found.mtime_ns) == (stat.st_size, stat.st_mtime_ns)


def test_links_are_followed_inside_the_root_only(tmp_path):
    root = tmp_path / "root"
    _make(root, "a/1.jpg")
    _make(tmp_path, "outside/2.jpg", "root-beside/3.jpg")
    (root / "b.jpg").symlink_to(root / "a" / "1.jpg")
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "out.jpg").symlink_to(tmp_path / "outside" / "2.jpg")
    (root / "beside").symlink_to(tmp_path / "root-beside")
    (root / "a" / "loop").symlink_to(root)
    (root / "self.jpg").symlink_to(root / "self.jpg")
    (root / "gone.jpg").symlink_to(root / "nothing.jpg")
    skipped: dict[str, str] = {}
    assert _paths(root, on_skip=skipped.__setitem__) == ["a/1.jpg", "b.jpg"]
    assert set(skipped) == {"out", "out.jpg", "beside", "a/loop", "self.jpg", "gone.jpg"}
    assert "leads out" in skipped["out"]
    assert "leads out" in skipped["beside"]


def test_a_linked_root_is_walked(tmp_path):
    _make(tmp_path / "real", "1.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert _paths(tmp_path / "link") == ["1.jpg"]


def test_names_that_are_not_text_are_reported(tmp_path):
    with open(os.fsencode(tmp_path) + b"/\xff\xfe.jpg", "wb"):
        pass
    _make(tmp_path, "1.jpg")
    skipped: dict[str, str] = {}
    assert _paths(tmp_path, on_skip=skipped.__setitem__) == ["1.jpg"]
    assert list(skipped.values()) == ["a name that is not UTF-8"]


def test_it_streams(tmp_path):
    _make(tmp_path, "a/1.jpg", "b/1.jpg")
    walking = walk(tmp_path, IMAGE_ENDINGS)
    assert next(walking).path == "a/1.jpg"
    _make(tmp_path, "b/2.jpg")  # not yet looked at
    assert [found.path for found in walking] == ["b/1.jpg", "b/2.jpg"]
