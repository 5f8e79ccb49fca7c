"""What strangers may put on a terminal (printable)."""

from __future__ import annotations

from pipelines.terminal.printable import printable


def test_control_characters_are_written_out():
    assert printable("a\x1b]0;owned\x07\x00b\x9b2J\u202egpj.exe") == (
        r"a\x1b]0;owned\x07\x00b\x9b2J\u202egpj.exe"
    )
    plain = "two\nlines\tof \u00fc\u0436\u4e2d"
    assert printable(plain) == plain
