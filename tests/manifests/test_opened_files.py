"""Only regular files are opened, at every door; nothing is waited for."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from deca_model.files.albedo_files import read_albedo_file
from deca_model.files.obj import read_obj, read_obj_vertices
from deca_model.files.restricted_pickle import load_restricted
from deca_model.files.torch_files import read_torch_file
from deca_model.heads.flame import load_flame_head
from deca_model.losses.id_mrf import load_vgg_features
from deca_model.use.reconstruction_files import read_codes
from manifests.errors import UsageError, WorkFailed
from manifests.files import Refused, open_file, read_file, require_file, writable_file, write_atomic
from manifests.images.kept import read_mask, read_photo
from manifests.packs.reading import read_index
from manifests.reading import open_parquet
from manifests.yaml_files import read_yaml
from pipelines.share.export.images import as_it_is


def parquet(path: Path) -> None:
    with open_parquet(path):
        pass


DOORS: dict[str, Callable[[Path], object]] = {
    "manifest": parquet,
    "pack": read_index,
    "settings": read_yaml,
    "photo": read_photo,
    "mask": read_mask,
    "pickle": load_restricted,
    "flame": lambda path: load_flame_head(path.rename(path.with_suffix(".npz"))),
    "albedo": lambda path: read_albedo_file(path, 128, 3),
    "torch": lambda path: read_torch_file(path, "give another"),
    "vgg": load_vgg_features,
    "mesh": read_obj,
    "vertices": read_obj_vertices,
    "codes": read_codes,
}


def outcome(call: Callable[[], object], seconds: float = 20) -> BaseException | None:
    """What a call raises; it is an error if it waits."""
    found: list[BaseException | None] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:
            found.append(error)
        else:
            found.append(None)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert found, "it waits"
    return found[0]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.reliability("pipes in place of files")
def test_a_pipe_is_refused_without_waiting(tmp_path: Path, door: str):
    path = tmp_path / "foreign"
    os.mkfifo(path)
    error = outcome(lambda: DOORS[door](path))
    assert isinstance(error, (UsageError, WorkFailed))
    assert "foreign" in str(error)


def test_a_pipe_is_no_photo_to_be_copied(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.jpg")
    assert outcome(lambda: as_it_is(tmp_path / "pipe.jpg", "JPEG")) is None
    assert not as_it_is(tmp_path / "pipe.jpg", "JPEG")


def test_what_is_no_file_is_named(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for name, kind in (
            *(("pipe", "named pipe"), ("link", "named pipe"), ("folder", "folder"), ("socket", "socket")),
            ("/dev/null", "device"),
        ):
            for open_ in (open_file, read_file, require_file):
                with pytest.raises(Refused) as found:
                    open_(tmp_path / name)
                assert found.value.strerror == f"not a file but a {kind}"


def test_files_are_read_up_to_a_bound(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"12345")
    assert read_file(tmp_path / "file", 5) == b"12345"
    with pytest.raises(Refused, match=r"too large: 5 bytes \(at most 4\)"):
        read_file(tmp_path / "file", 4)
    with open_file(tmp_path / "file") as file:
        assert file.read() == b"12345"
    with pytest.raises(FileNotFoundError):
        open_file(tmp_path / "none")


def test_a_pipe_is_not_replaced_by_a_file(tmp_path: Path):
    """As no device is: all other programs would write into the file from then on."""
    pipe = tmp_path / "pipe.html"
    os.mkfifo(pipe)
    (tmp_path / "link.html").symlink_to(pipe)
    (tmp_path / "stdout").symlink_to("/proc/self/fd/1")
    for name in ("pipe.html", "link.html", "stdout"):
        with pytest.raises(UsageError, match=r"--out x: this is not a file but a .*; name a file\.$"):
            writable_file(tmp_path / name, "--out x")
        with pytest.raises(Refused):
            write_atomic(tmp_path / name, b"page")
    assert pipe.is_fifo()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["link.html", "pipe.html", "stdout"]
