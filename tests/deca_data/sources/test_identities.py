"""The choices of `--identities`."""

from __future__ import annotations

from pathlib import Path

import pytest

from deca_data.sources.identities import read_identities
from manifests.errors import UsageError

PATHS = ("train/Ann/Ann_01.jpg", "train/Bob/x/Bob_02.jpg", "loose_7.jpg")


def names(text: str, root: Path = Path("/data")) -> list[str | None]:
    chosen = read_identities(text, root)
    return [chosen.name(path, "layout") for path in PATHS]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("folder", ["layout"] * 3),
        ("none", [None] * 3),
        ("1", ["train", "train", None]),
        ("2", ["Ann", "Bob", None]),
        ("3", [None, "x", None]),
        (r"(\w+)_\d+\.jpg$", ["Ann", "Bob", "loose"]),
        ("train/(?P<who>[^/]+)/", ["Ann", "Bob", None]),
        ("*/(*)/*.jpg", ["Ann", None, None]),
        ("train/(*)/**", ["Ann", "Bob", None]),
        ("(?:**/)(*)_*.jpg", None),
        ("**/(*)_[0-9]*.jpg", ["Ann", "Bob", "loose"]),
    ],
)
def test_every_form(text: str, expected: list[str | None] | None):
    if expected is None:
        with pytest.raises(UsageError, match="it is none of these"):
            names(text)
    else:
        assert names(text) == expected


@pytest.mark.parametrize("text", ["0", "-1", "anna", "(a)(b)", "[", "***", ""])
def test_what_is_none_of_them_is_one_sentence(text: str):
    with pytest.raises(UsageError, match=r"--identities .*: "):
        read_identities(text, Path("/data"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("head", ["", "Identity{0}other{0}PATH\n"])
def test_a_list_of_any_shape(tmp_path: Path, encoding: str, separator: str, head: str):
    lines = [("train/Ann/Ann_01.jpg", "Zoë"), (r".\train\Bob\x\Bob_02.jpg", "Bob"), ("gone.jpg", "")]
    text = head.format(separator)
    for path, name in lines:
        text += separator.join([name, "5", path] if head else [path, name]) + "\n"
    (tmp_path / "who.csv").write_bytes(text.encode(encoding))
    assert names(str(tmp_path / "who.csv")) == ["Zoë", "Bob", None]


def test_a_list_with_absolute_paths_and_its_faults(tmp_path: Path):
    file = tmp_path / "who.csv"
    file.write_text("/data/loose_7.jpg,Eve\n")
    assert names(str(file)) == [None, None, "Eve"]
    for text, words in (
        ("", "it lists no photo"),
        ("path,identity\n", "it lists no photo"),
        ("a.jpg,Ann\na.jpg,Bob\n", "has two identities, 'Ann' and 'Bob'"),
        ("a.jpg,Ann\nb.jpg\n", "has no path and identity"),
    ):
        file.write_text(text)
        with pytest.raises(UsageError, match=words):
            names(str(file))
    file.write_text("a.jpg,Ann\n" + "b" * 100_000 + "\n")
    with pytest.raises(UsageError, match="has no path and identity") as found:
        names(str(file))
    assert len(str(found.value)) < 500
    with pytest.raises(UsageError, match="there is no such file"):
        names(str(tmp_path / "none.csv"))
