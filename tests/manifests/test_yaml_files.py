"""YAML is read as plain values, or refused in one sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from manifests.errors import UsageError
from manifests.yaml_files import dump_yaml, parse_yaml, read_yaml

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)
"""A few hundred bytes that expand to nine to the tenth power texts."""

MERGES = "a: &a {x: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join([f'*{before}'] * 9)}]}}\n"
    for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)
"""The same for a reader that puts one mapping into another."""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 0.0001),
        ("5.0e-05", 5e-5),
        ("1_000", 1000),
        ("017", 17),
        ("0x1f", 31),
        ("true", True),
        ("null", None),
        ("", None),
        ("on", "on"),
        ("yes", "yes"),
        ("1:30", "1:30"),
        ("'2020-01-01'", "2020-01-01"),
        ("[1, .5, a]", [1, 0.5, "a"]),
        ("{a: {b: ~}}", {"a": {"b": None}}),
        ("<<: {a: 1}\nb: 2", {"a": 1, "b": 2}),
        ("9223372036854775807", 2**63 - 1),
    ],
)
def test_values_are_those_of_yaml_1_2(text, value):
    found = parse_yaml(text, "--set x")
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("data: 1\nmodel: 2\ndata: 3", 'line 3: while constructing a mapping, found duplicate key "data"'),
        ("a: {b: 1, b: 2}", 'line 1: while constructing a mapping, found duplicate key "b"'),
        ("a: [1", "line 1: while parsing a flow sequence, expected ',' or ']'"),
        ("a: b: c", "line 1: mapping values are not allowed here"),
        ("- 1\n--- 2", "line 2: expected a single document in the stream, but found another document"),
        ("a\0b", "unacceptable character #x0000"),
        ("\udcff", "unacceptable character #xdcff"),
        ("2020-13-45", "month must be in 1..12"),
        ("2020-01-01T99:00:00", "hour must be in 0..23"),
        ("2020-01-01", "2020-01-01 is a date, which no setting is; put it in quotes"),
        ("1" * 5000, "Exceeds the limit (4300 digits)"),
        ("0x" + "f" * 5000, "a whole number is beyond 64 bits"),
        ("9223372036854775808", "a whole number is beyond 64 bits"),
        ("[1]: 2", "the name (1,) is not text; put it in quotes"),
        ("? {a: 1}\n: 2", "line 1: while constructing a mapping, found unhashable key"),
        ("a: {1: 2}", "the name 1 is not text; put it in quotes"),
        ("a: [{null: 2}]", "the name None is not text; put it in quotes"),
        ("!!set {a}", "is a set, which no setting is"),
        ("!!binary aGk=", "is a bytes, which no setting is"),
        ("!!python/object/apply:os.system ['true']", "could not determine a constructor for the tag"),
        ("!!int abc", "invalid literal for int()"),
        ("!!bool maybe", "'maybe'"),
        ("!!timestamp abc", "failed to construct timestamp"),
        ("- " * 2_000, "maximum recursion depth exceeded"),
        ("a: &x 1\nb: *x", "it has an alias (*name); write out its value"),
        ("&a [*a]", "it has an alias"),
        (BOMB, "it has an alias"),
        (MERGES, "it has an alias"),
    ],
)
def test_what_is_wrong_is_one_sentence(text, problem):
    with pytest.raises(UsageError) as raised:
        parse_yaml(text, "--set x")
    sentence = str(raised.value)
    assert sentence.startswith("--set x: it cannot be read as YAML (")
    assert problem in sentence
    assert sentence.endswith(").")
    assert "\n" not in sentence
    assert len(sentence) < 300


def test_a_file_holds_names_and_values(tmp_path: Path):
    path = tmp_path / "a.yaml"
    path.write_bytes("\ufeffname: Zoë\n".encode())
    assert read_yaml(path) == {"name": "Zoë"}
    path.write_text("# nothing\n")
    assert read_yaml(path) == {}


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"- 1\n- 2\n", "it must hold settings, one `name: value` a line"),
        (b"0", "it must hold settings"),
        (b"\xff\xfen\0a\0", "can't decode byte 0xff in position 0"),
        (b"name: Zo\xeb", "can't decode byte 0xeb"),
        (b"a: 1\na: 2", 'line 2: while constructing a mapping, found duplicate key "a"'),
        (b"a: \0", "unacceptable character #x0000"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, data: bytes, problem: str):
    path = tmp_path / "a.yaml"
    path.write_bytes(data)
    with pytest.raises(UsageError) as raised:
        read_yaml(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert problem in str(raised.value)


def test_what_is_no_file_is_named(tmp_path: Path):
    for path in (tmp_path, tmp_path / "none.yaml"):
        with pytest.raises(UsageError, match=f"{path}: it cannot be read as YAML"):
            read_yaml(path)


def test_what_is_written_is_read_back(tmp_path: Path):
    values = {"b": [1, 5e-5, None, True], "a": {"text": "on: 'x'\n", "date": "2020-01-01", "empty": {}}}
    path = tmp_path / "a.yaml"
    path.write_text(dump_yaml(values))
    assert read_yaml(path) == values
    assert path.read_text().startswith("b:\n- 1\n- 5e-05\n- null\n- true\na:\n")


def test_no_library_is_imported_before_it_is_needed():
    lines = "import sys, manifests.yaml_files; print(sorted({'ruamel.yaml', 'yaml'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
