"""What `deca fit` prints of many heads."""

import io
import sys
from pathlib import Path

import pytest

from commands.fit import print_heads


def test_six_heads_are_counted_and_the_worst_is_named(capsys: pytest.CaptureFixture[str]):
    errors = (0.01, 0.02, 0.162, 0.01, 0.03, 0.02)
    done = [
        {"mesh": f"heads/{number}.obj", "faces": 1, "landmark_error": error}
        for number, error in enumerate(errors)
    ]
    print_heads(Path("heads"), done, skipped=0, every=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == ["  and 1 more", "largest landmark error: 16.2 %, heads/2.png"]


def test_a_single_head_has_no_such_line(capsys: pytest.CaptureFixture[str]):
    print_heads(
        Path("heads"), [{"mesh": "heads/a.obj", "faces": 1, "landmark_error": 0.01}], skipped=0, every=False
    )
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_in_a_terminal_no_word_is_cut(monkeypatch: pytest.MonkeyPatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    folder = Path("reconstructions of all my friends")
    done = [
        {"mesh": f"{folder}/{name}.obj", "faces": 2, "landmark_error": 0.01, "film": f"{folder}/{name}.mp4"}
        for name in ("anna at the sea", "ben")
    ]
    print_heads(folder, done, skipped=1, every=False)
    text = terminal.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    assert "\n  face: 1; median landmark error 1.0 % of the inter-ocular distance\n" in text
    assert "\n    " in text  # what belongs to a head is set in below it
