"""How commands end (exit_codes), and what they need of the system around them (surroundings)."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from commands import surroundings
from commands.exit_codes import STOPPED, STOPPED_ANEW, run_app
from commands.surroundings import check_surroundings, missing_library
from manifests.errors import UsageError, WorkFailed
from manifests.machine_faults import NotWritten

REPOSITORY = Path(__file__).resolve().parents[2]


def ends(raised: Exception, *options: str, monkeypatch, capsys) -> tuple[int, str, str]:
    """Exit code and output of a command that raises."""

    def make() -> Callable[..., None]:
        app = typer.Typer(rich_markup_mode=None, add_completion=False)

        @app.command()
        def work(as_json: bool = typer.Option(False, "--json")) -> None:
            raise raised

        return app

    monkeypatch.setattr(sys, "argv", ["deca-data", *options])
    with pytest.raises(SystemExit) as found:
        run_app(make)  # type: ignore[arg-type]
    captured = capsys.readouterr()
    return int(found.value.code or 0), captured.out, captured.err


@pytest.mark.parametrize(
    ("raised", "code", "sentence"),
    [
        (UsageError("a.csv: it is wrong."), 2, "a.csv: it is wrong."),
        (WorkFailed("stopped."), 1, "stopped."),
        (NotWritten(errno.ENOSPC, "No space left on device", "w/a.npy"), 1, "w/a.npy: No space left"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "a.bin"), 1, "a.bin: No such file"),
        (MemoryError("Unable to allocate 6 GiB"), 1, "the memory is full"),
        (RuntimeError("CUDA error: unspecified launch failure"), 1, "the GPU failed"),
        (ModuleNotFoundError("No module named 'distributed'", name="distributed"), 2, "deca-data[data]"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), 2, "deca-data[train]"),
        (
            ImportError("libGL.so.1: cannot open shared object file: No such file"),
            2,
            "apt-get install libgl1",
        ),
    ],
)
def test_errors_are_one_sentence_and_with_json_an_object(
    raised: Exception, code: int, sentence: str, monkeypatch, capsys
):
    done = ends(raised, monkeypatch=monkeypatch, capsys=capsys)
    assert done[:2] == (code, "")
    assert done[2].startswith("error: ")
    assert sentence in done[2]
    assert done[2].count("\n") == 1
    found, out, err = ends(raised, "--json", monkeypatch=monkeypatch, capsys=capsys)
    assert (found, err) == (code, "")
    assert json.loads(out) == {"error": done[2].removeprefix("error: ").strip(), "code": code}


def test_an_error_sends_no_commands_to_the_terminal(monkeypatch, capsys):
    error = UsageError("the dataset a\x1b[2J\0b: it is wrong.")
    assert ends(error, monkeypatch=monkeypatch, capsys=capsys)[2] == (
        "error: the dataset a\\x1b[2J\\x00b: it is wrong.\n"
    )


def test_a_wrong_option_with_json_is_an_object(monkeypatch, capsys):
    code, out, _ = ends(WorkFailed("x"), "--json", "--wrong", monkeypatch=monkeypatch, capsys=capsys)
    assert code == 2
    assert "--wrong" in json.loads(out)["error"]


def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch, capsys):
    with pytest.raises(ZeroDivisionError):
        ends(ZeroDivisionError("division by zero"), monkeypatch=monkeypatch, capsys=capsys)
    assert missing_library(ImportError("cannot import name 'x' from 'y'")) is None


def call(line: str, folder: Path, start: tuple[str, ...] = (), **names: str) -> subprocess.CompletedProcess:
    command, _, rest = line.partition(" ")
    main = {"deca-data": "deca_data_main", "deca": "deca_main"}[command]
    code = f"import sys; sys.argv[0] = {command!r}; from cli import {main}; {main}()"
    return subprocess.run(
        [*start, sys.executable, "-c", code, *rest.split()],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", **names},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120,
    )


def test_an_ascii_locale_is_one_sentence(tmp_path: Path):
    done = call("deca-data sources", tmp_path, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert done.returncode == 2
    assert done.stderr.startswith("error: the locale takes names of files for ascii")
    assert done.stderr.count("\n") == 1


def test_names_are_printed_on_an_output_that_lacks_their_letters(tmp_path: Path):
    (tmp_path / "\u00fc").mkdir()
    (tmp_path / "\u00fc/\u00e9.jpg").write_bytes(b"x")
    done = call("deca-data scan \u00fc", tmp_path, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert r"\xfc: layout" in done.stderr


def test_a_windows_is_told_what_is_supported(monkeypatch):
    monkeypatch.setattr(surroundings, "SYSTEM", "nt")
    with pytest.raises(UsageError, match="Windows itself is not supported; run this in WSL 2"):
        check_surroundings()


def unknown_user() -> tuple[str, ...]:
    """The beginning of a command line that runs as a user without a name."""
    start = ("unshare", "--user", "--map-user=12345", "--map-group=12345")
    if shutil.which("unshare") is None or subprocess.run([*start, "true"], capture_output=True).returncode:
        pytest.skip("needs `unshare` and the right to make a user's namespace")
    return start


ASK = """
import getpass, os, pathlib
from commands.surroundings import check_surroundings
check_surroundings()
print(getpass.getuser(), os.getuid(), pathlib.Path.home().is_dir(), os.listdir(pathlib.Path.home()))
"""


def test_a_user_without_a_name_and_a_home_gets_both(tmp_path: Path):
    names = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), "TMPDIR": str(tmp_path), "HOME": ""}
    words = [*unknown_user(), sys.executable, "-c", ASK]
    done = subprocess.run(words, env=names, capture_output=True, text=True, timeout=60)
    assert done.stdout == "12345 12345 True []\n", done.stderr
    assert list(tmp_path.iterdir()) == []  # nobody can prepare that home, and it goes with the process


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        ({"WORLD_SIZE": "2"}, "RANK, LOCAL_RANK, MASTER_ADDR, MASTER_PORT is not set"),
        ({"WORLD_SIZE": "two", "RANK": "0", "LOCAL_RANK": "0"}, "WORLD_SIZE, MASTER_ADDR"),
        (
            {"WORLD_SIZE": "2", "RANK": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "::1", "MASTER_PORT": "1"},
            "RANK=2: with WORLD_SIZE=2 the ranks are 0 to 1",
        ),
    ],
)
def test_half_of_torchruns_environment_is_one_sentence(monkeypatch, names: dict[str, str], missing: str):
    import torch

    from deca_model.training.processes import processes

    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, text in names.items():
        monkeypatch.setenv(name, text)
    with pytest.raises(UsageError, match=missing), processes(torch.device("cpu")):
        pass


@pytest.mark.parametrize("name", ["mps", "xpu", "tpu:9", "cuda:x"])
def test_a_device_that_is_not_supported_is_one_sentence(name: str):
    from deca_model.networks.model import resolve_device

    with pytest.raises(UsageError, match=rf"run.device={name}: .*use auto, cpu, cuda or cuda:0"):
        resolve_device(name)


def test_ctrl_c_ends_at_once_with_one_line(tmp_path: Path):
    """Also in the middle of the making of a model, which an exception would end with an abort."""
    code = (
        "import os, signal, sys\n"
        "from commands.exit_codes import end_at_ctrl_c\n"
        "end_at_ctrl_c()\n"
        "os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # as libraries are kept quiet\n"
        "try:\n    os.kill(os.getpid(), signal.SIGINT)\n"
        "finally:\n    print('taken down')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "stopped; what is finished is kept, and the same command goes on from here\n"


SLOW = """
import sys, time

class Slow:
    def find_spec(self, name, *others):
        if name == {module!r}:
            print("importing", flush=True)
            time.sleep(60)

sys.meta_path.insert(0, Slow())
sys.argv = {words!r}
from cli import {main}
{main}()
"""


@pytest.mark.parametrize(
    ("line", "module", "said"),
    [
        ("deca presets", "typer", ""),
        ("deca-data sources", "typer", ""),
        ("deca presets", "commands.settings", ""),
        ("deca train --manifest m.parquet", "torch", STOPPED),
        ("deca evaluate landmarks --manifest m.parquet", "torch", STOPPED_ANEW),
    ],
)
def test_ctrl_c_during_imports_ends_quietly_or_says_what_is_true(tmp_path, line: str, module: str, said: str):
    main = {"deca-data": "deca_data_main", "deca": "deca_main"}[line.split()[0]]
    code = SLOW.format(module=module, words=line.split(), main=main)
    names = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=names,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-1:] == ([said] if said else [])
    assert "Traceback" not in errors
