"""The report in a real browser, clicked through as a user would."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from manifests.reading import open_manifest
from manifests.writing import write_manifest
from pipelines.curate.build import decide
from pipelines.curate.decisions import Decisions
from pipelines.curate.exclusion import drop_excluded, read_excluded
from pipelines.curate.recipe import Recipe, load_recipe
from pipelines.share.report.page import write_report
from tests.pipelines.share.share_samples import small_dataset
from tests.pipelines.share.webdriver import Browser

ROWS, PERSONS = 120, 8
CHANGES = {
    **{"max_per_identity": None, "min_per_identity": 1, "near_duplicates": None},
    **{"identity_agreement": None},
}
RECIPE = load_recipe("strict", CHANGES)
SCORES = {
    "face_size": (90, 200),
    "sharpness": (35, 120),
    "yaw": (-80, 80),
    "landmark_shift_error": (0, 0.055),
    "landmark_shift_back": (0, 0.21),
    "identity_score": (0.915, 1),
    "identity_margin": (-0.02, 0.1),
    "brightness": (0.3, 0.6),
}


def scored_rows(folder: Path) -> tuple[list[dict[str, Any]], Mapping[str, Path]]:
    """Rows of 120 names over the four kept photos of a small dataset, with scores drawn at random."""
    opened = open_manifest(small_dataset(folder))
    photos = [row for row in opened.table.to_pylist() if row["status"] == "ok"][1:]
    rng = np.random.default_rng(3)
    rows = []
    for number in range(ROWS):
        row = {**photos[number % len(photos)], "sample_id": f"raw/photo {number:03d}.jpg", "clip": None}
        row |= {name: float(np.float32(rng.uniform(*ends))) for name, ends in SCORES.items()}
        row |= {"identity": f"p{number % PERSONS}", "content_hash": f"{number:032x}", "skin_fraction": 0.9}
        rows.append(row)
    return rows, opened.roots


def decided(rows: list[dict[str, Any]], recipe: Recipe) -> Decisions:
    """What a build decides about the rows."""
    names = (*SCORES, "faces", "box_score", "skin_fraction", "content_hash")
    frame = pd.DataFrame({name: [row[name] for row in rows] for name in names})
    for name in SCORES:
        frame[name] = frame[name].astype(np.float32)
    frame["sample_id"] = [row["sample_id"] for row in rows]
    frame["person"] = [int(row["identity"][1:]) for row in rows]
    frame["status"], frame["stage"], frame["reason"] = "ok", None, None
    made = Decisions.begin(frame)
    decide(made, [f"raw/p{number}" for number in range(PERSONS)], recipe)
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest as a build writes it, and its page."""
    folder = tmp_path_factory.mktemp("clicked")
    rows, roots = scored_rows(folder)
    made = decided(rows, RECIPE)
    for number, row in enumerate(rows):
        bound = made.bounds[made.bound[number]] if made.bound[number] >= 0 else (None, None, None)
        row |= {name: getattr(made, name)[number] for name in ("status", "stage", "reason")}
        row |= dict(zip(("reason_column", "reason_bound", "reason_side"), bound, strict=True))
    opened = open_manifest(folder / "train.parquet")
    table = type(opened.table).from_pylist(rows, schema=opened.table.schema)
    alike = [["raw/p0", "raw/p1", 0.97], ["raw/p2", "raw/p7", 0.96]]
    info = {"recipe": RECIPE.model_dump(), "bounds": made.bounds, "lookalikes": alike}
    write_manifest(table, folder / "train.parquet", roots=roots, info=info)
    write_report([folder / "train.parquet"], folder / "report.html", photos=1, quiet=True)
    return folder


@pytest.fixture
def page(folder: Path, browser: Browser) -> Browser:
    browser.open((folder / "report.html").as_uri())
    browser.run("localStorage.clear(); MARKS.clear(); drawMarks()")
    return browser


def names(browser: Browser, part: str = "#browse-grid") -> list[str]:
    return browser.run(
        "return [...document.querySelectorAll(arguments[0] + ' button.card')].map((each) => each.title)", part
    )


def test_every_photo_can_be_reached_page_by_page_and_shows_its_face(page: Browser):
    seen = []
    for number in range(1, 6):
        assert page.texts("#browse-grid .pager span") == ["Page", "of 5"]
        assert page.run("return document.querySelector('#browse-grid .pager input').value") == f"{number}"
        seen += names(page)
        if number < 5:
            page.click("#browse-grid .pager button:last-child")
    assert seen == [f"raw/photo {number:03d}.jpg" for number in range(ROWS)]
    drawn = """return [...document.querySelectorAll('#browse-grid li')]
        .map((each) => each.querySelector('image') !== null)"""
    assert all(page.run(drawn))
    loaded = """const at = document.querySelector('#browse-grid image[href^="file:///"]').href.baseVal;
        const probe = new Image();
        probe.onload = () => { window.size = probe.naturalWidth; };
        probe.src = at"""
    page.run(loaded)
    page.wait(lambda: page.run("return window.size") == 512)
    assert page.messages() == []


def test_the_worst_come_first_by_any_score_and_a_person_has_a_page(page: Browser, folder: Path):
    table: Any = open_manifest(folder / "train.parquet").to_pandas()
    for score, order in (
        ("sharpness", table["sharpness"]),
        ("landmark_shift_error", -table["landmark_shift_error"]),
        ("yaw", -table["yaw"].abs()),
    ):
        page.choose("#sort", score)
        wanted = table["sample_id"].iloc[np.argsort(order.to_numpy(), kind="stable")]
        assert names(page) == wanted.iloc[:24].tolist()
    page.click("#turn")
    assert names(page)[0] == wanted.iloc[-1]
    page.click("#browse-grid li:nth-child(3) button.card")
    page.click("#viewer-doings button:last-child")
    person = names(page)
    table = table.set_index("sample_id")
    assert len(person) == ROWS // PERSONS
    assert set(table.loc[person, "identity"]) == {table.loc[wanted.iloc[-3], "identity"]}
    page.click("#browse-person button:nth-of-type(2)")
    assert not set(names(page)) & set(person)
    page.type("#find", "photo 01")
    assert all("photo 01" in name for name in names(page))


def test_moving_a_bound_shows_at_once_what_a_build_would_change(page: Browser, folder: Path):
    rows, _ = scored_rows(folder / "again")
    before = decided(rows, RECIPE).ok
    moves = {
        **{"min_face_size": 120, "max_abs_yaw": 60, "max_landmark_shift_error": 0.07, "min_sharpness": 36.5},
        **{"identity_margin": -0.05, "identity_outliers_turned": 0.97},
    }
    for number in range(1, len(moves) + 1):
        setting = list(moves)[number - 1]
        field = f'input[type=number][aria-label="{setting}, number"]'
        page.run("document.querySelector(arguments[0]).value = ''", field)
        page.type(field, str(moves[setting]))
        now = decided(rows, Recipe(**{**RECIPE.model_dump(), **dict(list(moves.items())[:number])})).ok
        gone, back = (before & ~now).sum(), (~before & now).sum()
        words = page.text("#moved-words")
        assert words.endswith(f": {gone} kept photos would go, {back} could come back."), setting
    assert gone > 5
    assert back > 5
    line = page.text("#moved-line")
    assert line.startswith("deca-data build-manifest --recipe strict --set ")
    assert all(f"--set {setting}={value}" in line for setting, value in moves.items())
    assert "--set near_duplicates=null" in line  # which the manifest's own build changed
    assert page.run("return document.querySelectorAll('[data-score=yaw] line.moved').length") == 2
    page.click("#reset-moved")
    page.run("""const at = document.querySelector('[data-rule=min_face_size]');
        at.value = 200;
        at.dispatchEvent(new Event('input'))""")
    assert "min_face_size 96 → " in page.text("#moved-words")


def test_marks_are_saved_as_a_list_that_a_build_takes(page: Browser, folder: Path):
    page.click("#browse-grid li:nth-child(2) button[data-mark]")
    page.choose("#why", "wrong person")
    page.click("#browse-grid li:nth-child(5) button.card")
    page.click("#viewer button[data-mark]")
    page.click("#viewer form button")
    page.run("document.getElementById('theme').click()")
    assert page.text("#marked") == "2 marked"
    assert page.run("return document.querySelectorAll('#browse-grid [aria-pressed=true]').length") == 2
    page.open((folder / "report.html").as_uri())  # marks outlive the page
    assert page.text("#marked") == "2 marked"
    page.click("#show-marks")
    assert names(page) == ["raw/photo 001.jpg", "raw/photo 004.jpg"]
    page.click("#save-marks")
    saved = page.downloads / "marks.csv"
    page.wait(saved.exists)
    assert saved.read_text() == (
        "sample_id,reason\nraw/photo 001.jpg,looked at\nraw/photo 004.jpg,wrong person\n"
    )
    rows, _ = scored_rows(folder / "marked")
    made = decided(rows, load_recipe("keep-all"))
    drop_excluded(made, read_excluded([saved]))
    assert np.flatnonzero(made.stage == "exclude").tolist() == [1, 4]


def test_a_click_copies_the_path_of_a_photo(page: Browser, folder: Path):
    page.click("#browse-grid li:nth-child(3) button[data-copy]")
    page.wait(lambda: page.texts("#browse-grid li:nth-child(3) button[data-copy]") == ["Copied"])
    page.type("#find", "\ue009v\ue009")  # Ctrl-V
    path = Path(page.run("return document.getElementById('find').value"))
    assert path.is_relative_to(folder / "raw")
    assert path.is_file()


def test_faces_stand_side_by_side(page: Browser, folder: Path):
    assert page.texts("#alike .measure") == ["cosine 0.97", "cosine 0.96"]
    sides = """return [...document.querySelectorAll('#alike .versus > div')]
        .map((each) => [...each.querySelectorAll('.card')].map((one) => one.title))"""
    table: Any = open_manifest(folder / "train.parquet").to_pandas().set_index("sample_id")
    for person, shown in zip(("p0", "p1", "p2", "p7"), page.run(sides), strict=True):
        assert len(shown) == 4
        kept = table[(table["identity"] == person) & (table["status"] == "ok")]
        assert shown == kept["identity_score"].sort_values(ascending=False).index[:4].tolist()
    outliers = table[(table["stage"] == "identity") & (table["status"] == "dropped")]
    ordered = outliers["identity_score"].sort_values().index.tolist()
    first = """return [...document.querySelectorAll('#outlier-rows .versus > div:first-child .card')]
        .map((each) => each.title)"""
    assert page.run(first) == ordered[:6]
    assert len(ordered) > 6
    page.click("#outlier-rows .pager button:last-child")
    assert page.run(first) == ordered[6:12]
    page.click("#alike .person")
    assert len(names(page)) == ROWS // PERSONS
    assert set(table.loc[names(page), "identity"]) == {"p0"}


@pytest.mark.parametrize("width", [390, 800, 1280])
def test_no_label_is_cut_and_nothing_is_wider_than_the_window(page: Browser, width: int, folder: Path):
    page.open((folder / "report.html").as_uri(), width)
    cut = """return [...document.querySelectorAll('svg[role=img] text')].filter((text) => {
        const own = text.getBoundingClientRect(), place = text.ownerSVGElement.getBoundingClientRect();
        return own.left < place.left - 0.5 || own.right > place.right + 0.5 || own.top < place.top - 2;
    }).map((text) => text.textContent)"""
    assert page.run(cut) == []
    assert page.run("return document.documentElement.scrollWidth <= innerWidth")
    assert page.messages() == []


def test_the_number_of_faces_has_a_bar_for_each_whole_number(page: Browser):
    chart = "return [...document.querySelectorAll('figure[data-score=faces] ' + arguments[0])]"
    texts = f"{chart}.map((each) => each.textContent)"
    assert page.run(texts, "svg text.muted")[-2:] == ["0", "1"]
    assert [title.split(":")[0] for title in page.run(texts, ".hit title")] == ["0", "1"]


def test_a_folder_beside_the_page_has_a_picture_of_every_photo(
    browser: Browser, folder: Path, tmp_path: Path
):
    written = write_report(
        [folder / "train.parquet"], tmp_path / "r.html", photos=1, all_photos=True, quiet=True
    )
    pictures = sorted((tmp_path / "r-photos").rglob("*.jpg"))
    assert written.listed == len(pictures) == ROWS
    shapes = {cv2.imread(str(path)).shape for path in pictures}
    assert shapes == {(160, 160, 3)}
    (tmp_path / "elsewhere").mkdir()
    for name in ("r.html", "r-photos"):
        (tmp_path / name).rename(tmp_path / "elsewhere" / name)
    browser.open((tmp_path / "elsewhere" / "r.html").as_uri())
    assert "r-photos/" in browser.run(
        "return document.querySelector('#browse-grid image:not([href^=data])').href.baseVal"
    )
    assert browser.run("return document.querySelectorAll('#browse-grid .none').length") == 0
    assert browser.messages() == []
