"""What the system around the commands must offer, checked before anything else and said in one sentence."""

from __future__ import annotations

import atexit
import io
import os
import re
import shutil
import sys
import tempfile

from manifests.errors import UsageError

SYSTEM = os.name

TRAIN_PACKAGES = {"torch", "torchvision", "numba", "tensorboard"}
"""What the extra `train` installs."""

DATA_PACKAGES = {"dask", "distributed", "mediapipe"}
"""What the extra `data` installs."""


def check_surroundings() -> None:
    """Makes the output safe for every text, and checks the system, the locale and the temporary folder.

    Raises:
        UsageError: the commands cannot work here.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of files may hold any character
            stream.reconfigure(errors="backslashreplace")
    if SYSTEM == "nt":
        raise UsageError(
            "Windows itself is not supported; run this in WSL 2, where it works as on Linux: `wsl --install`."
        )
    names = sys.getfilesystemencoding()
    if names.lower().replace("-", "") != "utf8":
        raise UsageError(
            f"the locale takes names of files for {names}, so photos could not be named; set LC_ALL=C.UTF-8, "
            "or PYTHONUTF8=1."
        )
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        raise UsageError("there is no folder for temporary files; set TMPDIR to one.") from error
    _name_the_user()


def _name_the_user() -> None:
    """Gives a user whom the system does not know, as in containers, what libraries ask for.

    They end in a traceback where the user has no name or no home, or where no folder can hold their caches.
    """
    import pwd

    try:
        home = pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        home = None
        if not any(os.environ.get(name) for name in ("LOGNAME", "USER", "LNAME", "USERNAME")):
            os.environ["USER"] = str(os.getuid())
    if not os.environ.get("HOME"):
        os.environ["HOME"] = home or _new_folder()
    caches = {"NUMBA_CACHE_DIR", "MPLCONFIGDIR"} - set(os.environ)
    if caches and not os.access(os.environ["HOME"], os.W_OK):
        os.environ.update(dict.fromkeys(caches, _new_folder()))


def _new_folder() -> str:
    """A folder until this process ends. It is new, as caches hold code: nobody else put something there."""
    folder = tempfile.mkdtemp(prefix="deca-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def missing_library(error: ImportError) -> str | None:
    """What to install if an import failed for want of a package or a library of the system; else None."""
    if isinstance(error, ModuleNotFoundError):
        for extra, packages in (("train", TRAIN_PACKAGES), ("data", DATA_PACKAGES)):
            if error.name in packages:
                return f"this needs the package {error.name!r}: `pip install 'deca-data[{extra}]'`."
        return None
    found = re.search(r"(lib[\w.+-]*\.so[.\d]*): cannot open shared object file", str(error))
    if found is None:
        return None
    packages = {"libGL.so.1": "libgl1", "libgthread-2.0.so.0": "libglib2.0-0", "libEGL.so.1": "libegl1"}
    package = packages.get(found[1])
    fix = f"`apt-get install {package}`" if package else "install it with the system's package manager"
    return (
        f"the library {found[1]} of the system is missing, and {error.name or 'a package'} needs it: {fix}."
    )
