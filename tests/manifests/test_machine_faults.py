"""What is the machine's fault and what is a file's (machine_faults), and how files are written (files)."""

from __future__ import annotations

import errno
import os
import pickle
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from manifests import files
from manifests.errors import UsageError
from manifests.files import atomic_path, remove_left, sync_files, writable_folder, write_atomic
from manifests.machine_faults import MachineFault, NotWritten, is_memory, machine_fault, plain_reason


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "free some space"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "/raw/a.jpg"), "free some space"),
        (OSError(errno.EROFS, "Read-only file system"), "make it writable"),
        (OSError(errno.EIO, "Input/output error", "/raw/a.jpg"), "check the drive"),
        (OSError(errno.ESTALE, "Stale file handle"), "check the drive"),
        (OSError(errno.EMFILE, "Too many open files"), "ulimit -n"),
        (NotWritten(errno.EACCES, "Permission denied", "/w/a.npy"), "/w/a.npy: it cannot be written"),
        (NotWritten(errno.ENOENT, "No such file or directory", "/w/a.npy"), "it cannot be written"),
        (NotWritten(errno.ENOTDIR, "Not a directory", "/w/a.npy"), "it cannot be written"),
        (MemoryError(), "fewer --workers"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), "the GPU's memory is full"),
        (RuntimeError("CUDA error: device-side assert triggered"), "the GPU failed"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), "the GPU failed"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9"), "the memory is full"),
    ],
)
def test_faults_of_the_machine_are_one_sentence_with_advice(error: Exception, advice: str):
    said = machine_fault(error)
    assert said is not None
    assert advice in said
    assert said.endswith("the same call goes on from here.")
    assert "\n" not in said


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file or directory", "/raw/a.jpg"),
        PermissionError(errno.EACCES, "Permission denied", "/raw/a.jpg"),
        OSError("image file is truncated"),
        NotWritten(errno.ENAMETOOLONG, "File name too long", "/w/a.npy"),
        ValueError("CUDA error in a name"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        ZeroDivisionError("division by zero"),
    ],
)
def test_faults_of_a_file_are_none_of_the_machine(error: Exception):
    assert machine_fault(error) is None


def test_memory_is_told_from_the_rest():
    import numpy as np

    with pytest.raises(MemoryError) as found:
        np.empty((1 << 50,), np.uint8)
    assert is_memory(found.value)
    assert is_memory(RuntimeError("CUDA out of memory."))
    assert not is_memory(OSError(errno.ENOSPC, "full"))


def test_a_fault_comes_whole_out_of_another_process():
    for error in (NotWritten(errno.ENOSPC, "full", "/w/a.npy"), MachineFault("the GPU failed")):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error)
        assert machine_fault(again) == machine_fault(error)


def test_a_reason_holds_nothing_that_differs_from_run_to_run():
    text = "cannot open /mnt/a/raw/p1/x.jpg\n (<_io.BytesIO object at 0x7f12ab34cd56>), see /etc/fonts/f.conf"
    said = plain_reason(text, Path("/mnt/a/raw"))
    assert said == "cannot open p1/x.jpg (<_io.BytesIO object at 0x>), see f.conf"
    assert plain_reason("no such file: '/w/m/.part-0a1b2c3d-x.png'", Path("/w")) == "no such file: 'm/x.png'"
    assert plain_reason("at least 3/4 of 1 / 2, a/b") == "at least 3/4 of 1 / 2, a/b"


def limited(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs code in a process that may write 4 KB at most into a file: a full disk, as far as it can tell."""
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # noqa: E731
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, preexec_fn=limit, capture_output=True, text=True, timeout=60
    )


@pytest.mark.reliability("the disk is full, then the same command")
def test_a_full_disk_names_the_file_and_leaves_nothing(tmp_path: Path):
    root = Path(files.__file__).parents[1]
    code = f"import sys; sys.path.insert(0, {str(root)!r})\n" + (
        "from pathlib import Path\n"
        "from manifests.files import write_atomic\n"
        "from manifests.machine_faults import machine_fault\n"
        "try:\n    write_atomic(Path('a.bin'), bytes(9000))\n"
        "except OSError as error:\n    print(type(error).__name__, error.filename, machine_fault(error))\n"
    )
    done = limited(code, tmp_path)
    assert done.stdout.startswith("NotWritten a.bin a.bin: File too large; free some space"), done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_another_file_keeps_its_own_name(tmp_path: Path):
    with pytest.raises(FileNotFoundError) as found:
        with atomic_path(tmp_path / "a.bin"):
            (tmp_path / "none").read_bytes()
    assert found.value.filename == str(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["x" * 250 + ".npy", "\u00fc" * 125 + ".npy", "\u4e2d" * 83 + ".npy"])
def test_names_are_measured_in_bytes(tmp_path: Path, name: str):
    assert 250 < len(name.encode()) <= 255
    write_atomic(tmp_path / name, b"1")
    assert (tmp_path / name).read_bytes() == b"1"
    assert len(list(tmp_path.iterdir())) == 1


def test_files_left_by_a_kill_are_removed_and_those_at_work_stay(tmp_path: Path):
    left = tmp_path / ".part-0a1b2c3d-train.parquet"
    own = tmp_path / ".part-of-a-user"
    for path in (left, own):
        path.write_bytes(b"1")
    with atomic_path(tmp_path / "b.bin") as at_work:
        at_work.write_bytes(b"2")
        writable_folder(tmp_path, "--out x")
        assert sorted(tmp_path.iterdir()) == sorted([own, at_work])
    left.write_bytes(b"1")
    assert remove_left(tmp_path, ".npy") == 0
    assert remove_left(tmp_path) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [".part-of-a-user", "b.bin"]


@pytest.mark.reliability("a folder is read-only or forbidden")
def test_a_wrong_folder_is_the_callers_fault_and_a_full_disk_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(UsageError, match=r"--out /proc/x: it cannot be written .*; name another folder"):
        writable_folder(Path("/proc/x"), "--out /proc/x")

    def full(*_: object, **__: object) -> None:
        raise NotWritten(errno.EROFS, "Read-only file system", "x")

    monkeypatch.setattr(files, "write_atomic", full)  # a read-only drive needs rights that tests lack
    with pytest.raises(MachineFault, match="make it writable"):
        writable_folder(tmp_path, "--out x")


@pytest.mark.parametrize(("count", "most"), [(5, 5), (100, 0)])
def test_many_files_are_synced_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, most: int
):
    paths = [tmp_path / f"{number}.npy" for number in range(count)]
    synced: list[int] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (synced.append(file), real(file)))
    for path in paths:
        write_atomic(path, b"1", synced=False)
    assert synced == []
    sync_files([*paths, tmp_path / "gone.npy"])
    assert len(synced) <= most
    write_atomic(tmp_path / "part", b"1")
    assert len(synced) <= most + 1


def test_files_are_written_while_others_remove_what_was_left(tmp_path: Path):
    """A file between its making and its lock looks like one that was left; none that is written is lost."""
    stop = Event()

    def clear() -> None:
        while not stop.is_set():
            remove_left(tmp_path)

    def write(writer: int) -> None:
        for number in range(500):
            write_atomic(tmp_path / f"{writer}-{number}", b"whole", synced=False)

    with ThreadPoolExecutor(7) as pool:
        clearing = [pool.submit(clear) for _ in range(3)]
        try:
            list(pool.map(write, range(4)))
        finally:
            stop.set()
        for each in clearing:
            each.result()
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {b"whole"}
    assert len(list(tmp_path.iterdir())) == 2000
