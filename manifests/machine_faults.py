"""Tells a fault of the machine from the fault of one file.

A damaged photo costs its own row. A full disk, a drive that is gone or a GPU that gave up would cost every
row, so they end the work instead: nothing is recorded for the rows in progress, and the same call goes on
once the fault is mended.
"""

from __future__ import annotations

import errno
import re
from pathlib import Path

from manifests.errors import WorkFailed

GO_ON = "What is finished is kept, and the same call goes on from here."


class MachineFault(WorkFailed):
    """The machine is at fault, not a photo; the work stops and nothing is recorded for its rows."""


class NotWritten(OSError):
    """A file could not be written; ``filename`` is the file that was asked for, never a temporary one."""


_SPACE = {errno.ENOSPC, errno.EDQUOT}
_DRIVE = {
    *(errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.ETIMEDOUT, errno.ENOTCONN),
    *(errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH, errno.ECONNRESET),
    *(getattr(errno, name, errno.EIO) for name in ("EREMOTEIO", "ENOMEDIUM", "ESHUTDOWN", "ENOLINK")),
}
_FILES = {errno.EMFILE, errno.ENFILE}
_NAME = {errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ}
"""What a file's own name can bring about; it is no fault of the machine."""

_GPU = re.compile(r"\bCUDA\b.*(error|failure)|cu(DNN|BLAS|FFT|SOLVER)\w*[ _](error|STATUS)|\bNCCL\b", re.I)
_MEMORY = re.compile(r"out of memory|can(no|')t allocate memory|bad_alloc|insufficient memory", re.I)


def machine_fault(error: BaseException) -> str | None:
    """Says in one sentence what is wrong with the machine; None if the error is that of a file.

    An `OSError` from reading a file that is missing or may not be read is that of the file. The same from
    writing (`NotWritten`) is one of the machine.
    """
    if isinstance(error, MachineFault):
        return str(error)
    found = _of_files(error) if isinstance(error, OSError) else _of_memory(error)
    if found is None:
        return None
    what, advice = found
    return f"{what}; {advice}. {GO_ON}"


def is_memory(error: BaseException) -> bool:
    """Returns whether memory ran out, that of the machine or of the GPU; less work at once may then fit."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, RuntimeError):  # torch's errors, without an import of torch
        return _MEMORY.search(str(error)) is not None
    return type(error).__module__.startswith("cv2") and getattr(error, "code", 0) == -4  # StsNoMem


def stop_at_machine_fault(error: BaseException) -> None:
    """Raises `MachineFault` from ``error`` if that is no fault of a file."""
    said = machine_fault(error)
    if said is not None:
        raise MachineFault(said) from error


def plain_reason(text: str, *folders: Path) -> str:
    """Returns an error's text as a row's reason: one line, without what differs from run to run.

    Paths below ``folders`` become relative to them; of other absolute paths the name stays, and addresses in
    memory go.
    """
    for folder in folders:
        text = text.replace(f"{folder}/", "")
    text = re.sub(r"(?<![\w.:/])/(?:[^/\s'\"]+/)+", "", text)
    text = re.sub(r"\.part-[0-9a-f]{8}-", "", text)
    text = re.sub(r"\b0x[0-9a-f]{4,}\b", "0x", text)
    return " ".join(text.split())[:300]


def _of_files(error: OSError) -> tuple[str, str] | None:
    number, written = error.errno, isinstance(error, NotWritten)
    where = f"{error.filename}: " if isinstance(error.filename, str) else ""
    said = f"{where}{error.strerror or error}"
    if number in _SPACE or (number == errno.EFBIG and written):
        return said, "free some space there"
    if number in _DRIVE:
        return said, "check the drive or the network behind it"
    if number in _FILES:
        return said, "raise the limit of open files (`ulimit -n`), or use fewer --workers"
    if number == errno.ENOMEM:
        return said, "give it more memory, or use fewer --workers"
    if number == errno.EROFS:
        return said, "make it writable, or name another folder"
    if not written or number is None or number in _NAME:
        return None
    return (
        f"{where}it cannot be written ({error.strerror})",
        "make its folder, or allow writing there",
    )


def _of_memory(error: BaseException) -> tuple[str, str] | None:
    said = " ".join(str(error).split())[:200]
    if isinstance(error, RuntimeError) and "cuda" in said.lower() and _MEMORY.search(said):
        return f"the GPU's memory is full ({said})", "end other programs on it, or use fewer --workers"
    if is_memory(error):
        return f"the memory is full ({said or 'MemoryError'})", "give it more memory, or use fewer --workers"
    if isinstance(error, RuntimeError) and _GPU.search(said):
        return f"the GPU failed ({said})", "see `nvidia-smi`, or leave --device out"
    return None
