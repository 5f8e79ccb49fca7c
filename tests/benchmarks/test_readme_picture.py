"""The README's picture is made of what `deca fit` writes."""

from pathlib import Path

import pytest
from PIL import Image

from benchmarks.readme_picture import NAMES, WIDTH, combine
from manifests.errors import UsageError


def test_rows_are_below_each_other(tmp_path: Path):
    for name, colour in zip(NAMES, ("red", "blue"), strict=True):
        Image.new("RGB", (1920, 320), colour).save(tmp_path / f"{name}.png")
    picture = combine([tmp_path / f"{name}.png" for name in NAMES])
    assert picture.size == (WIDTH, 500)
    assert picture.getpixel((750, 100)) == (255, 0, 0)
    assert picture.getpixel((750, 400)) == (0, 0, 255)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(UsageError, match=r"astronaut\.png: no such file"):
        combine([tmp_path / "astronaut.png"])
