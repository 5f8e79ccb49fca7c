"""Bars and sentences fit into a terminal, and count photos."""

from __future__ import annotations

import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from fcntl import ioctl
from pathlib import Path

import pytest
from rich.text import Text

from pipelines.terminal.bar_line import bar_lines
from pipelines.terminal.progress_bar import Progress
from tests.pipelines.share.share_samples import small_dataset

REPOSITORY = Path(__file__).resolve().parents[3]
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
LOSSES = {"total": "0.3901", "landmark": "0.0828", "photometric": "0.0542", "images/s": "12.7"}


def lines(width: int, title: str = "detect to masks", notes: Mapping[str, object] | None = None) -> list[str]:
    made = bar_lines(title, (207, 12_620), "photos", 6.73, 31.0, notes or {}, width)
    return [Text.from_markup(line).plain for line in made]


@pytest.mark.parametrize("width", range(40, 130))
@pytest.mark.parametrize("title", ["scan", "detect to masks", "codes of train-of-a-long-name.parquet"])
def test_no_line_is_wider_than_the_terminal_and_the_numbers_are_always_there(width: int, title: str):
    for notes in ({}, {"ok": 207, "dropped": 12}, LOSSES):
        made = lines(width, title, notes)
        assert max(map(len, made)) <= width
        assert "207/12620 photos 6.7/s 30:44 left" in made[0]


def test_notes_stand_beside_the_bar_or_below_it():
    (wide,) = lines(120, notes={"ok": 207})
    assert wide.endswith("left  ok 207")
    assert lines(79, "coarse", LOSSES)[1].split() == [
        *("total", "0.3901", "landmark", "0.0828", "photometric", "0.0542", "images/s", "12.7")
    ]
    assert lines(44, "coarse", LOSSES)[1].split()[-1] == "0.0828"  # what has no room is left out whole


def test_names_are_no_markup_and_a_terminal_without_unicode_gets_none():
    assert lines(79, "[red]x[/red]")[0].startswith("[red]x[/red] ")
    made = bar_lines("x" * 99, (1, 2), "photos", 1.0, 1.0, {}, 60, unicode=False)
    assert all(line.isascii() and len(line) <= 60 for line in made)
    assert "####" in made[0]


def test_photos_that_are_read_twice_or_were_done_before_are_counted_once():
    seen: list[tuple[int, float]] = []
    shown = Progress(lambda done, rate, notes: seen.append((done, rate)), 0, passes=2)
    for _ in range(4):
        shown.advance(23)
    assert [done for done, _ in seen] == [11, 23, 34, 46]
    again = Progress(lambda done, rate, notes: seen.append((done, rate)), 0, done=100)
    again.advance(0)
    assert seen[-1] == (100, 0.0)  # the rate is that of this run
    again.set_part(5)
    again.advance(7)
    assert [done for done, _ in seen[-2:]] == [105, 112]


def in_terminal(line: str, folder: Path) -> str:
    """What a command writes into a terminal of 80 columns, without colours."""
    main, child = pty.openpty()
    ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
    program, *words = line.split()
    code = f"import sys; sys.argv = {[program, *words]!r}; import cli; cli.{program.replace('-', '_')}_main()"
    names = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    done = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**names, "TERM": "xterm", "PYTHONPATH": str(REPOSITORY)},
        cwd=folder,
        stdin=child,
        stdout=child,
        stderr=child,
    )
    os.close(child)
    parts = []
    while True:
        try:
            parts.append(os.read(main, 65536))
        except OSError:  # the other end is closed
            break
        if not parts[-1]:
            break
    os.close(main)
    assert done.wait(timeout=60) == 0
    return CONTROL.sub("", b"".join(parts).decode())


def test_a_terminal_of_eighty_columns_shows_whole_lines(tmp_path: Path):
    small_dataset(tmp_path)
    text = in_terminal("deca-data report --out .", tmp_path)
    shown = [line for line in re.split(r"[\r\n]+", text) if line]
    assert max(map(len, shown)) < 80
    assert any(re.fullmatch(r"report ━{30} 10/10 photos [\d.]+/s in 0:\d\d *", line) for line in shown)
    assert (tmp_path / "report.html").is_file()  # where --out names a folder, the page is in it
    shown = in_terminal("deca presets", tmp_path).splitlines()
    assert max(map(len, shown)) <= 80
    assert any(line.startswith("model.detail_encoder.backbone  ") for line in shown)
