"""What `deca fit` prints of many heads."""

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
