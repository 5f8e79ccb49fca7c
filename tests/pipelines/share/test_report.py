"""The report page: its counts, its choice of photos, and how it behaves in a browser."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manifests.errors import UsageError
from manifests.reading import open_manifest
from manifests.schema import BOUND_COLUMNS, COLUMNS, Bound
from manifests.streaming import open_stream
from manifests.writing import write_manifest
from pipelines.share.report.cards import SIDE
from pipelines.share.report.charts import POSE, Scale, choose_scale, people_bins
from pipelines.share.report.counts import MAX_REASONS, OTHER, count, survey
from pipelines.share.report.page import write_report
from pipelines.share.report.sampling import Pick, choose
from pipelines.terminal.progress_bar import progress
from tests.pipelines.share.share_samples import EVIL, make_manifest, small_dataset
from tests.pipelines.share.webdriver import Browser


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_dataset(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def page(manifest: Path) -> Path:
    return write_report([manifest], manifest.parent / "report.html", quiet=True).path


class Elements(HTMLParser):
    """Which elements a page has, and the text of each script, as a browser would find them."""

    def __init__(self, page: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.lasttag == "script":
            self.scripts[-1] += data


def data_of(page: Path) -> dict[str, Any]:
    return json.loads(Elements(page.read_text()).scripts[0])


def test_every_row_is_counted_once_in_every_chart(manifest: Path):
    stream = open_stream(manifest)
    with progress("", None, "", quiet=True) as shown:
        found = survey([stream], shown)
        counts = count([stream], found, shown)
    assert sum(found.groups.values()) == 10
    assert {group.reason: rows for group, rows in found.groups.items() if group.status == "ok"} == {None: 5}
    sizes = np.array(list(found.groups.values()))
    for name, bins in counts.scores.items():
        np.testing.assert_array_equal(bins.sum(axis=1) + counts.missing[name], sizes, err_msg=name)
    assert counts.missing["sharpness"].sum() == 1  # the photo that failed
    assert "valence" not in counts.scores  # which no row has
    assert counts.pose.sum() == 9
    assert found.people == {("raw", "a"): (5, 1), ("raw", "b b"): (5, 4)}


def test_values_fall_into_the_bin_that_holds_them():
    scale = Scale(0.0, 1.0, 10)
    np.testing.assert_array_equal(
        scale.cells(np.array([np.nan, 0.0, 0.05, 0.3, 1.0, -5, 7])), [-1, 0, 0, 3, 9, 0, 9]
    )
    log = Scale(0.0, 3.0, 3, log=True)
    np.testing.assert_array_equal(log.cells(np.array([0.0, 1.0, 9.9, 10.0, 999.0, 1e6])), [0, 0, 0, 1, 2, 2])
    assert POSE["yaw"].cells(np.array([-90.0, 0.0, 89.9])).tolist() == [0, 18, 35]
    assert people_bins([0, 1, 4, 4, 100, 600]) == [1, 1, 0, 2, 0, 0, 0, 0, 1, 0, 1]


def test_a_histogram_reaches_beyond_every_bound_but_not_to_every_outlier():
    values = np.r_[np.random.default_rng(0).uniform(0.2, 0.8, 10_000), 1e6]
    columns = {column.name: column for column in COLUMNS}
    error, yaw = columns["landmark_shift_error"], columns["yaw"]
    scale = choose_scale(error, values, [Bound(error.name, 0.9, "above")])
    assert scale is not None
    assert scale.low <= 0.21
    assert 0.9 < scale.high < 1.1
    assert choose_scale(yaw, np.full(3, np.nan), []) is None
    same = choose_scale(yaw, np.full(3, 5.0), [])
    assert same is not None
    assert same.low <= 5 < same.high


def lines_of(data: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The bounds that are drawn, by score."""
    return {score["name"]: score["bounds"] for score in data["scores"] if score["bounds"]}


def photos_of(data: dict[str, Any]) -> list[list[Any]]:
    """What each sheet shows, whatever its reason is called."""
    ids = [card["sample_id"] for card in data["cards"]]
    places = ("photos", "compared")
    return sorted(
        [str(sheet["score"]), str(sheet["beside"]), *([ids[at] for at in sheet[name]] for name in places)]
        for sheet in data["sheets"]
    )


LINES = {
    "identity_score": [{"column": "identity_score", "value": 0.35, "side": "below"}],
    "sharpness": [{"column": "sharpness", "value": 40.0, "side": "below"}],
}


def test_lines_stand_at_the_bounds_that_the_rows_name_in_whatever_words(
    manifest: Path, page: Path, tmp_path: Path
):
    words = {"sharpness below 40": "brightness above 7", "identity_score below 0.35": "niemand gleicht ihr"}
    opened = open_manifest(manifest)
    reasons = [words.get(reason, reason) for reason in opened.table.column("reason").to_pylist()]
    table = opened.table.drop_columns(["reason"]).append_column("reason", pa.array(reasons))
    write_manifest(table, tmp_path / "said.parquet", roots=opened.roots, info=opened.info)
    said = data_of(write_report([tmp_path / "said.parquet"], tmp_path / "said.html", quiet=True).path)
    assert {sheet["reason"] for sheet in said["sheets"]} >= set(words.values())
    assert lines_of(said) == lines_of(data_of(page)) == LINES
    assert photos_of(said) == photos_of(data_of(page))


def test_a_bound_that_dropped_no_row_has_its_line_too(manifest: Path, tmp_path: Path):
    opened = open_manifest(manifest)
    bounds = [["sharpness", 40.0, "below"], ["yaw", 12.5, "above"]]
    path = tmp_path / "train.parquet"
    write_manifest(opened.table, path, roots=opened.roots, info={**opened.info, "bounds": bounds})
    data = data_of(write_report([path], tmp_path / "report.html", quiet=True).path)
    assert lines_of(data) == {**LINES, "yaw": [{"column": "yaw", "value": 12.5, "side": "above"}]}


def test_a_manifest_older_than_its_bounds_has_no_lines(manifest: Path, tmp_path: Path):
    older = tmp_path / "older.parquet"
    pq.write_table(open_manifest(manifest).table.drop_columns(list(BOUND_COLUMNS)), older)
    written = write_report([older], tmp_path / "report.html", quiet=True)
    assert written.statuses == {"ok": 5, "dropped": 4, "failed": 1}
    assert lines_of(data_of(written.path)) == {}


def test_a_bound_on_either_side_is_two_lines_and_one_sheet(tmp_path: Path):
    rows: list[dict[str, Any]] = [
        {"sample_id": f"raw/{number}", "dataset": "raw", "image": "x.jpg", "yaw": yaw, "status": "ok"}
        for number, yaw in enumerate([-80.0, -74.0, -20.0, 0.0, 70.0, 90.0])
    ]
    turned = {"status": "dropped", "stage": "quality", "reason": "turned away", "reason_column": "yaw"}
    rows[0] |= {**turned, "reason_bound": -75.0, "reason_side": "below"}
    rows[5] |= {**turned, "reason_bound": 75.0, "reason_side": "above"}
    stream = open_stream(make_manifest(tmp_path, rows, raw=tmp_path, workspace=tmp_path))
    with progress("", None, "", quiet=True) as shown:
        found = survey([stream], shown)
        sheets = {sheet.reason: sheet for sheet in choose([stream], found, 2, 0, shown)}
    assert found.bounds_on("yaw") == [Bound("yaw", -75.0, "below"), Bound("yaw", 75.0, "above")]
    assert sorted(pick.row for pick in sheets["turned away"].photos) == [0, 5]
    assert [pick.row for pick in sheets["turned away"].compared] == [1, 4]
    assert sheets["turned away"].beside == "Kept, nearest to the bound of 75"


def test_of_a_crowd_the_whole_photo_is_shown(manifest: Path, tmp_path: Path):
    opened = open_manifest(manifest)
    rows = opened.table.to_pylist()
    rows[0].update(reason="zu viele", reason_column="faces", reason_bound=1.0, reason_side="above")
    path = make_manifest(tmp_path, rows, **opened.roots)
    cards = data_of(write_report([path], tmp_path / "report.html", quiet=True).path)["cards"]
    places = {card["sample_id"]: card["landmarks"][0] for card in cards if card["landmarks"]}
    left = rows[0]["landmarks"][0]
    assert places["raw/a/0.jpg"] == round((left + 0.5) * SIDE / 512, 1)  # of 512 pixels
    assert places["raw/a/1.jpg"] < 60  # of the face's surroundings


def test_photos_stand_beside_the_kept_ones_that_tell_most(manifest: Path):
    stream = open_stream(manifest)
    with progress("", None, "", quiet=True) as shown:
        found = survey([stream], shown)
        sheets = {sheet.reason: sheet for sheet in choose([stream], found, 2, 0, shown)}
    ids = [row["sample_id"] for row in stream.take(range(10), ["sample_id"]).to_pylist()]

    def names(picks: list[Pick]) -> list[str]:
        return [ids[pick.row] for pick in picks]

    assert names(sheets["sharpness below 40"].photos) == ["raw/a/0.jpg"]
    assert names(sheets["sharpness below 40"].compared) == ["raw/a/1.jpg", "raw/b b/0.jpg"]  # 40 and 80
    assert names(sheets["near duplicate"].compared) == ["raw/a/1.jpg"]  # the copy
    assert names(sheets["identity_score below 0.35"].compared) == ["raw/a/1.jpg"]  # all that is kept
    assert sheets["not an image"].compared == []
    assert len(sheets[None].photos) == 4


def test_the_same_seed_gives_the_same_bytes(manifest: Path, page: Path, tmp_path: Path):
    write_report([manifest], tmp_path / "again.html", quiet=True)
    assert (tmp_path / "again.html").read_bytes() == page.read_bytes()


def test_names_stay_text_in_the_file(page: Path):
    text = page.read_text()
    assert EVIL not in text
    assert "<b>bold" not in text
    found = Elements(text)
    assert len(found.scripts) == 2
    assert [
        attributes for tag, attributes in found.tags if "src" in attributes or tag in {"link", "iframe", "b"}
    ] == []
    assert not re.search(
        r"(?:https?:)?//(?!www\.w3\.org/2000/svg)\w+\.\w+", text.replace("application//", "")
    )
    assert any(card["sample_id"] == f"raw/b b/{EVIL}" for card in data_of(page)["cards"])


def test_an_unreadable_photo_is_a_card_that_says_why(page: Path):
    cards = {card["sample_id"]: card for card in data_of(page)["cards"]}
    assert cards["raw/a/4.jpg"]["jpeg"] is None
    assert "not an image" in cards["raw/a/4.jpg"]["note"]
    assert len(cards["raw/a/1.jpg"]["landmarks"]) == 136
    assert len(cards["raw/a/1.jpg"]["mask"]) == 1


def test_folders_that_are_gone_cost_the_photos_only(manifest: Path, tmp_path: Path):
    gone = {"raw": tmp_path / "gone"}
    written = write_report([manifest], tmp_path / "report.html", gone, quiet=True)
    assert written.unreadable == 5
    assert written.statuses == {"ok": 5, "dropped": 4, "failed": 1}


def test_a_long_manifest_gives_a_small_page(tmp_path: Path):
    rng = np.random.default_rng(0)
    rows = [
        {
            **{
                "sample_id": f"raw/{number:06d}",
                "dataset": "raw",
                "image": "x.jpg",
                "identity": f"{number % 997}",
            },
            **{"status": "failed" if number % 3 else "ok", "yaw": float(rng.normal(0, 30)), "pitch": 1.0},
            "reason": f"error number {number}" if number % 3 else None,
        }
        for number in range(20_000)
    ]
    manifest = make_manifest(tmp_path, rows, raw=tmp_path, workspace=tmp_path)
    written = write_report([manifest], tmp_path / "report.html", photos=0, quiet=True)
    assert written.bytes < 300_000
    reasons = {group[4]: group[5] for group in data_of(written.path)["groups"]}
    assert len(reasons) == MAX_REASONS + 2
    assert reasons[OTHER] == 20_000 - reasons[None] - MAX_REASONS


def test_what_is_no_manifest_is_refused(tmp_path: Path):
    (tmp_path / "x.parquet").write_bytes(b"no")
    with pytest.raises(UsageError, match=r"x\.parquet: this is not a readable Parquet file"):
        write_report([tmp_path / "x.parquet"], tmp_path / "report.html", quiet=True)
    with pytest.raises(UsageError, match="there is no such manifest"):
        write_report([tmp_path / "y.parquet"], tmp_path / "report.html", quiet=True)


# --- in a browser ---


@pytest.fixture
def browse(page: Path, browser: Browser) -> Any:
    """Opens the page in a browser at a place of its address; returns the document it ends up as."""

    def dump(place: str = "") -> str:
        browser.open(f"{page.as_uri()}{place}")
        assert browser.messages() == []
        return browser.run("return document.documentElement.outerHTML")

    return dump


def test_the_page_opens_without_an_error_and_names_stay_text(browse: Any):
    shown = browse()
    assert "data-ready" in shown
    assert ">10 of 10 photos<" in shown
    found = Elements(shown)
    assert len(found.scripts) == 2
    assert not [tag for tag, _ in found.tags if tag in {"b", "i"}]
    assert all(text in shown for text in (">cosine 0.97<", ">raw/a<", ">raw/&lt;i&gt;b&lt;/i&gt;<"))
    assert '&lt;b&gt;bold&lt;/b&gt; &amp; "quoted" reason' in shown
    assert EVIL.replace("<", "&lt;").replace(">", "&gt;") in shown
    images = [attributes["href"] for tag, attributes in found.tags if tag == "image"]
    assert len(images) >= 9
    assert all(href.startswith("data:image/jpeg;base64,") for href in images)  # all ten are inside the page


@pytest.mark.parametrize(
    ("place", "counted", "sheets"),
    [
        ("#status=dropped", "4 of 10 photos", {"dropped"}),
        ("#status=failed", "1 of 10 photos", {"failed"}),
        ("#reason=quality%3A+sharpness+below+40", "1 of 10 photos", {"dropped"}),
        ("#status=nonsense&dataset=raw", "10 of 10 photos", {"ok", "dropped", "failed"}),
    ],
)
def test_filters_in_the_address_are_obeyed(browse: Any, place: str, counted: str, sheets: set[str]):
    found = Elements(shown := browse(place))
    assert f">{counted}<" in shown
    assert {
        attributes["data-status"] for _, attributes in found.tags if attributes.get("class") == "sheet"
    } == sheets


def test_a_line_is_drawn_where_its_bound_lies(browse: Any, page: Path):
    drawn: dict[str, list[float]] = {}
    name, width = "", 1.0
    for tag, attributes in Elements(browse()).tags:
        if tag == "svg" and attributes.get("role") == "img":
            name, width = attributes["aria-label"].split(":")[0], float(attributes["width"])
        if tag == "line" and attributes["class"] == "bound":
            drawn.setdefault(name, []).append(float(attributes["x1"]) / width)
    scales = {score["name"]: score for score in data_of(page)["scores"]}

    def share(name: str, value: float) -> float:
        return (value - scales[name]["low"]) / (scales[name]["high"] - scales[name]["low"])

    assert set(drawn) == {"identity_score", "sharpness"}
    assert drawn["identity_score"] == [pytest.approx(share("identity_score", 0.35), abs=1e-6)]
    assert drawn["sharpness"] == [pytest.approx(share("sharpness", np.log10(40)), abs=1e-6)]
