"""Properties that hold for any input: the schema, the split, the selection, crops and points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from manifests.images.crop import (
    Cut,
    covered_part,
    crop_pixels,
    cut_square,
    denormalise_points,
    face_square,
    normalise_points,
    snap,
    snap_larger,
)
from manifests.reading import open_manifest
from manifests.schema import COLUMNS, LENGTHS
from manifests.splitting import split_identities
from manifests.writing import write_manifest
from pipelines.curate.recipe import load_recipe
from pipelines.curate.selection import select
from tests.conftest import ALL
from tests.pipelines.curate.test_decisions import decisions

any_input = settings(
    max_examples=500 if ALL else 30,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
POINTS = arrays(np.float32, (68, 2), elements=st.floats(-2000, 4000, width=32)).filter(
    lambda points: float((points.max(0) - points.min(0)).mean()) > 8
)


def _value(column: Any) -> st.SearchStrategy:
    if column.name in LENGTHS:
        size = LENGTHS[column.name]
        return st.lists(st.floats(-1e4, 1e4, width=32), min_size=size, max_size=size)
    if pa.types.is_string(column.type):
        return TEXT
    if pa.types.is_integer(column.type):
        return st.integers(-(2**31), 2**31 - 1)
    return st.floats(allow_nan=False, width=32 if column.type == pa.float32() else 64)


ROWS = st.lists(
    st.fixed_dictionaries(
        {"sample_id": TEXT, "dataset": TEXT, "image": TEXT, "status": st.sampled_from(["ok", "dropped"])},
        optional={
            column.name: st.none() | _value(column)
            for column in COLUMNS
            if column.name
            in ("identity", "frame", "width", "mask_path", "yaw", "reason", "reason_bound", "box")
        },
    ),
    max_size=5,
)


@any_input
@given(rows=ROWS)
def test_a_manifest_gives_back_every_row_that_was_written(rows: list[dict], tmp_path: Path):
    path = tmp_path / "m.parquet"
    rows = sorted(rows, key=lambda row: row["sample_id"].encode())
    table = pa.table(
        {each.name: pa.array([row.get(each.name) for row in rows], each.type) for each in COLUMNS}
    )
    write_manifest(table, path, roots=dict.fromkeys(["workspace", *table["dataset"].to_pylist()], tmp_path))
    found = open_manifest(path).table
    assert found.column_names == [column.name for column in COLUMNS]
    for row, back in zip(rows, found.to_pylist(), strict=True):
        assert back == {column.name: row.get(column.name) for column in COLUMNS}


@any_input
@given(names=st.sets(TEXT, max_size=60), share=st.floats(0, 1), seed=st.integers(0, 99), data=st.data())
def test_the_split_does_not_depend_on_order_and_gives_each_person_one_side(names, share, seed, data):
    sides = split_identities(names, share, seed)
    assert split_identities(data.draw(st.permutations(sorted(names))), share, seed) == sides
    assert set(sides) == names
    assert set(sides.values()) <= {"train", "val"}
    if len(names) >= 2 and 0 < share < 1:
        assert set(sides.values()) == {"train", "val"}


@any_input
@given(
    persons=st.lists(st.integers(-1, 4), min_size=1, max_size=60),
    most=st.integers(1, 8),
    least=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_the_selection_keeps_between_the_least_and_the_most_and_the_best_of_all(persons, most, least, seed):
    rng = np.random.default_rng(seed)
    recipe = load_recipe("keep-all", {"max_per_identity": most, "min_per_identity": least})
    made = decisions(persons, yaw=rng.uniform(-90, 90, len(persons)))
    better = rng.permutation(len(persons)).astype(float)
    select(made, recipe, better)
    for person in set(persons):
        rows = np.flatnonzero(np.array(persons) == person)
        kept = rows[made.ok[rows]]
        if person < 0:
            assert len(kept) == len(rows)  # nobody knows who they are
        elif min(len(rows), most) < least:
            assert len(kept) == 0
        else:
            assert len(kept) == min(len(rows), most)
            assert made.ok[rows[np.argmax(better[rows])]]


@any_input
@given(points=POINTS, scale=st.floats(1.0, 2.5), shift=arrays(np.float64, 2, elements=st.floats(-0.2, 0.2)))
def test_points_come_back_from_the_crop(points, scale, shift):
    square = face_square(points, scale, shift)
    inside = normalise_points(points, square)
    np.testing.assert_allclose(
        denormalise_points(inside, square), points, atol=2e-3 * float(square.side) + 1e-2
    )
    low, high = points.min(0).astype(np.float64), points.max(0).astype(np.float64)
    np.testing.assert_allclose(square.side, (high - low).mean() * scale)
    moved = normalise_points(points + 7, face_square(points + 7, scale, shift))
    np.testing.assert_allclose(moved, inside, atol=1e-3)
    size = 224
    np.testing.assert_allclose(crop_pixels(inside, size), ((inside + 1) * size - 1) / 2)


@any_input
@given(points=POINTS, multiple=st.sampled_from([1, 2, 4, 8]))
def test_a_snapped_square_is_within_a_pixel_and_a_larger_one_is_not_smaller(points, multiple):
    square = face_square(points)
    moved, cut = snap(square, multiple)
    assert float(moved.side) == cut.side * multiple
    assert abs(float(moved.side - square.side)) <= multiple or cut.side == 1
    assert np.abs(moved.center - square.center).max() <= multiple
    larger = snap_larger(square)
    assert larger.side >= float(square.side)
    assert larger.side - float(square.side) < 1


@any_input
@given(
    left=st.integers(-40, 40),
    top=st.integers(-40, 40),
    side=st.integers(1, 60),
    size=st.sampled_from([8, 32]),
)
def test_a_crop_is_the_photo_where_it_covers_it_and_black_elsewhere(left, top, side, size):
    image = np.full((24, 36, 3), 200, np.uint8)
    crop = cut_square(image, Cut(left, top, side), size)
    assert crop.shape == (size, size, 3)
    covered = covered_part(Cut(left, top, side), size, image.shape)
    if not covered.any():
        assert crop.max() <= 200
    if covered.all():
        assert (crop == 200).all()
