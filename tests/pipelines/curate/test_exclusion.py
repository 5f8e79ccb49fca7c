"""Lists of photos that a person wants left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from manifests.errors import UsageError
from pipelines.curate.build import decide
from pipelines.curate.decisions import Decisions
from pipelines.curate.exclusion import drop_excluded, read_excluded
from pipelines.curate.recipe import Recipe
from tests.pipelines.curate.test_decisions import decisions

RECIPE = Recipe(name="r", min_face_size=64)


def six() -> Decisions:
    """Six photos of a person: the first is too small, the next two are copies, the second of them worse."""
    return decisions(
        [0] * 6,
        content_hash=list("abbcde"),
        face_size=[50.0, 100, 90, 100, 100, 100],
        sharpness=np.full(6, 50.0),
    )


def listed(folder: Path, *lines: str, name: str = "marks.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def test_named_rows_are_dropped_with_their_reason_and_unknown_names_are_counted_and_named(tmp_path: Path):
    path = listed(
        tmp_path, "sample_id,reason", 's/3,"wrong, person"', "s/5,", "s/0,poor photo", "x/1,", "x/2"
    )
    made = six()
    notes = decide(made, ["set/p"], RECIPE, excluded=read_excluded([path]))
    assert made.status.tolist() == ["dropped", "ok", "dropped", "dropped", "ok", "dropped"]
    assert made.stage.tolist() == ["quality", None, "duplicates", "exclude", None, "exclude"]
    assert made.reason[[3, 5]].tolist() == ["excluded by hand: wrong, person", "excluded by hand"]
    assert made.reason[0] == "face_size below 64"  # the rule that came first
    assert notes[:2] == [
        "--exclude marks.csv: photos left out: 2; dropped before: 1",
        "--exclude marks.csv: names that are no photo of this workspace: 2 (x/1, x/2)",
    ]


def test_no_copy_takes_the_place_of_an_excluded_photo(tmp_path: Path):
    made = six()
    decide(made, ["set/p"], RECIPE, excluded=read_excluded([listed(tmp_path, "sample_id", "s/1")]))
    assert made.stage[1] == "exclude"
    assert made.reason[2] == "exact duplicate"
    assert made.duplicate_of[2] == 1


def test_the_order_of_the_names_changes_nothing_and_several_lists_are_one(tmp_path: Path):
    names = [f"s/{number},{'poor photo' if number % 2 else ''}" for number in range(6)]
    one = read_excluded([listed(tmp_path, "sample_id,reason", *names)])
    parts = [
        listed(tmp_path, "reason;sample_id", "poor photo;s/5", "poor photo;s/3", name="a.csv"),
        listed(tmp_path, "sample_id,reason", *names[::-1], name="b.csv"),
    ]
    two = read_excluded(parts)
    assert two.reasons == one.reasons
    assert two.info()["digest"] == one.info()["digest"]
    first, second = six(), six()
    drop_excluded(first, one)
    drop_excluded(second, two)
    assert first.reason.tolist() == second.reason.tolist()
    assert (first.stage == "exclude").all()


def test_what_is_no_list_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match=r"--exclude .*names\.csv: its first line names no column sample_id"):
        read_excluded([listed(tmp_path, "s/1", "s/2", name="names.csv")])
    with pytest.raises(UsageError, match=r"nothing\.csv"):
        read_excluded([tmp_path / "nothing.csv"])


def test_an_unknown_name_is_one_short_line(tmp_path: Path):
    path = listed(tmp_path, "sample_id,reason", '"x/1\nval.parquet: all is well",', "y" * 9000)
    notes = decide(six(), ["set/p"], RECIPE, excluded=read_excluded([path]))
    assert "(x/1 val.parquet: all is well, " in notes[1]
    assert "\n" not in notes[1]
    assert len(notes[1]) < 250
