"""The walk over a dataset folder: order, names, links."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from deca_data.sources.walk import IMAGE_ENDINGS, LINKS, files_inside, walk


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


@pytest.mark.reliability("hostile paths: links out of a dataset")
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


def test_links_out_of_the_root_are_followed_where_asked(tmp_path):
    root = tmp_path / "root"
    _make(tmp_path, "blobs/1.jpg", "blobs/deep/2.jpg", "root/0.jpg")
    (root / "a.jpg").symlink_to(tmp_path / "blobs" / "1.jpg")
    (root / "b").symlink_to(tmp_path / "blobs")
    (tmp_path / "blobs" / "deep" / "back").symlink_to(root)
    (tmp_path / "blobs" / "up").symlink_to(tmp_path / "blobs")
    skipped: dict[str, str] = {}
    found = _paths(root, on_skip=skipped.__setitem__, follow_links=True)
    assert found == ["0.jpg", "a.jpg", "b/1.jpg", "b/deep/2.jpg"]
    assert set(skipped) == {"b/deep/back", "b/up"}
    assert all("a folder that holds it" in why for why in skipped.values())


@pytest.mark.parametrize("follow_links", [True, False])
@pytest.mark.reliability("hostile paths: folders that link to one another")
def test_folders_that_link_to_one_another_end(tmp_path, follow_links):
    names = [f"f{number}" for number in range(8)]
    _make(tmp_path, *(f"{name}/1.jpg" for name in names))
    for name in names:
        for other in names:
            (tmp_path / name / f"to-{other}").symlink_to(tmp_path / other)
    found = _paths(tmp_path, follow_links=follow_links)
    assert len(found) == len(set(found)) == 8 + 8 * 7 + 8 * 7 * 6 + 8 * 7 * 6 * 5
    assert all(path.count("to-") <= LINKS for path in found)


def test_what_is_no_photo_is_reported_with_its_kind(tmp_path):
    _make(
        tmp_path, "1.jpg", "2.AVIF", "a.xyz", "b.mp4", "list.csv", "boxes.txt", "0_exp.npy", "none", "x.heic"
    )
    os.mkfifo(tmp_path / "pipe.jpg")
    os.mkfifo(tmp_path / "list2.csv")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.png"))
    skipped: dict[str, str] = {}
    assert _paths(tmp_path, on_skip=skipped.__setitem__) == ["1.jpg", "2.AVIF", "x.heic"]
    assert {path: why.split("(")[-1].split(")")[0] for path, why in skipped.items() if "(" in why} == {
        "a.xyz": ".xyz",
        "b.mp4": ".mp4",
        "none": "no known ending",
    }
    assert "--dataset videos" in skipped["b.mp4"]
    assert {path for path, why in skipped.items() if "named pipe" in why} == {
        "pipe.jpg",
        "list2.csv",
        "socket.png",
    }
    assert len(skipped) == 6


@pytest.mark.reliability("hostile paths: links out of a dataset")
def test_annotation_files_are_regular_and_inside(tmp_path):
    _make(tmp_path, "root/a.csv", "outside.csv")
    os.mkfifo(tmp_path / "root" / "b.csv")
    (tmp_path / "root" / "c.csv").symlink_to(tmp_path / "outside.csv")
    assert files_inside(tmp_path / "root", "*.csv") == [tmp_path / "root" / "a.csv"]


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
