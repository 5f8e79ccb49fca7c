"""Stages over shards: runner, shard_task, staging, specs, cluster, progress, commands."""

from __future__ import annotations

import shutil
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from cli import deca_data
from deca_data.sample import Sample
from deca_data.stages import closure, stage_class, stages, upstream
from manifests.errors import UsageError, WorkFailed
from pipelines.demo.portraits import make_photos
from pipelines.run import shard_task, within_shard
from pipelines.run.bring_up import Call, open_workspace, run_stages
from pipelines.run.cluster import executor
from pipelines.run.runner import Options, TooManyFailures, after_death, plan, run
from pipelines.run.shard_task import ShardTask
from pipelines.run.stage_options import ask, parse_settings
from pipelines.run.stage_plan import fingerprints, with_defaults
from pipelines.run.status import ended_rows
from pipelines.run.within_shard import ShardCounter
from pipelines.terminal.progress_bar import progress
from pipelines.workspace.parts import read_footer, read_part
from pipelines.workspace.workspace import StageSpec, Workspace


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("raw") / "vggface2"
    make_photos(root)
    for path in sorted(root.rglob("*.jpg"))[6:]:  # a few are enough here; the faults are among them
        if not path.name.startswith("01"):
            path.unlink()
    return root


@pytest.fixture
def workspace(tmp_path: Path, photos: Path) -> Workspace:
    return open_workspace(Call(tmp_path / "space", [photos], quiet=True, say=lambda line: None))


def detect_jobs(workspace: Workspace, **settings: object) -> list[ShardTask]:
    spec = StageSpec(name="detect", backend="mediapipe", settings=settings)
    return plan(workspace, [spec])


class Stage:
    """Takes the place of detection: it remembers its calls, and throws on the photo ``broken``."""

    name, version, batch = "detect", 1, 32
    reads, writes = (), ("box_score",)

    def __init__(self) -> None:
        self.seen: list[list[str]] = []
        self.broken: str | None = None
        self.marker: Path | None = None
        self.marked: list[str] = []

    def run(self, samples: Sequence[Sample], workspace: Path) -> None:
        self.seen.append([sample.row["image"] for sample in samples])
        if self.marker is not None:
            self.marked.append(self.marker.read_text())
        if self.broken in self.seen[-1]:
            raise ValueError("broken tensor")
        for sample in samples:
            sample.row["box_score"] = 1.0


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Is the stage of every job."""
    made = Stage()
    monkeypatch.setattr(shard_task, "make_stage", lambda spec: made)
    return made


def statuses(workspace: Workspace, job: ShardTask, stage: str) -> dict[str, str | None]:
    images = read_part(job.parts["scan"]).column("image").to_pylist()
    return dict(zip(images, read_part(job.parts[stage]).column("status").to_pylist(), strict=True))


def test_every_row_has_an_outcome_and_the_footer_says_what_it_is(workspace: Workspace):
    jobs = detect_jobs(workspace)
    reports = [job.run() for job in jobs]
    total = sum((report.statuses for report in reports), Counter())
    assert total == {"ok": 9, "dropped": 1, "failed": 1}
    for job in jobs:
        part = read_part(job.parts["detect"])
        assert part.num_rows == job.shard.rows
        assert read_footer(job.parts["detect"])["fingerprint"] == job.parts["detect"].parent.name
    assert detect_jobs(workspace) == []


def test_changed_settings_redo_what_they_touch_and_old_results_stay(workspace: Workspace):
    specs = with_defaults({}, ["landmarks"])
    for job in plan(workspace, specs):
        job.run()
    assert plan(workspace, specs) == []
    stricter = [specs[0].model_copy(update={"settings": {"min_size": 20}}), specs[1]]
    assert {job.todo for job in plan(workspace, stricter)} == {("detect", "landmarks")}
    surer = [specs[0], specs[1].model_copy(update={"settings": {"min_confidence": 0.1}})]
    assert {job.todo for job in plan(workspace, surer)} == {("landmarks",)}
    assert plan(workspace, specs) == []


def test_a_file_that_vanished_fails_and_can_be_retried(tmp_path: Path, photos: Path):
    raw = tmp_path / "vggface2"
    shutil.copytree(photos, raw)
    workspace = open_workspace(Call(tmp_path / "space", [raw], quiet=True, say=lambda line: None))
    lost = raw / "train/n000001/0002_01.jpg"
    data = lost.read_bytes()
    lost.unlink()
    for job in detect_jobs(workspace):
        job.run()
        if "train/n000001/0002_01.jpg" in statuses(workspace, job, "detect"):
            assert statuses(workspace, job, "detect")["train/n000001/0002_01.jpg"] == "failed"
    lost.write_bytes(data)
    assert detect_jobs(workspace) == []
    spec = StageSpec(name="detect", backend="mediapipe")
    again = plan(workspace, [spec], retry_failed=True)
    assert again
    for job in again:
        job.run()
        if "train/n000001/0002_01.jpg" in statuses(workspace, job, "detect"):
            assert statuses(workspace, job, "detect")["train/n000001/0002_01.jpg"] == "ok"


def test_a_photo_that_kills_its_worker_costs_its_own_row(workspace: Workspace):
    job = max(detect_jobs(workspace), key=lambda job: job.shard.rows)
    deaths: Counter[str] = Counter()
    first = after_death(workspace, job, deaths)
    assert first.marker is not None
    first.marker.write_text("1")  # what the task writes before it opens the photo
    second = after_death(workspace, first, deaths)
    first.marker.write_text("2")
    second = after_death(workspace, second, deaths)
    assert second.skip == ()  # two photos, one death each: that may be chance
    first.marker.write_text("2")
    second = after_death(workspace, second, deaths)
    assert second.skip == (2,)
    second.run()
    part = read_part(job.parts["detect"])
    assert part.column("reason").to_pylist()[2] == "a worker process died on this image"
    assert part.column("status").to_pylist().count("ok") >= job.shard.rows - 3
    assert int(first.marker.read_text()) == job.shard.rows - 1


def test_with_a_marker_each_photo_is_finished_before_the_next_is_begun(workspace: Workspace, stage: Stage):
    job = max(detect_jobs(workspace), key=lambda job: job.shard.rows)
    again = after_death(workspace, job, Counter())
    assert again.marker is not None
    stage.marker = again.marker
    again.run()
    images = read_part(job.parts["scan"]).column("image").to_pylist()
    assert len(stage.seen) > 3
    assert [[images[int(marked)]] for marked in stage.marked] == stage.seen


def test_workers_that_die_before_any_photo_end_the_run(workspace: Workspace):
    job, deaths = detect_jobs(workspace)[0], Counter()
    with pytest.raises(WorkFailed, match="died repeatedly"):
        for _ in range(20):
            job = after_death(workspace, job, deaths)


def test_an_exception_in_a_batch_costs_one_row(workspace: Workspace, stage: Stage):
    job = max(detect_jobs(workspace), key=lambda job: job.shard.rows)
    images = read_part(job.parts["scan"]).column("image").to_pylist()
    stage.broken = images[1]
    job.run()
    assert len(stage.seen[0]) > 2  # all at once first, then one by one
    assert stage.seen[1:] == [[image] for image in stage.seen[0]]
    part = read_part(job.parts["detect"])
    assert part.column("reason").to_pylist()[1] == "ValueError: broken tensor"
    for row in part.append_column("image", [images]).to_pylist():
        if row["image"] in stage.seen[0]:
            expected = ("failed", None) if row["image"] == stage.broken else ("ok", 1.0)
            assert (row["status"], row["box_score"]) == expected


def test_a_folder_of_broken_files_stops_the_run_with_a_summary(tmp_path: Path):
    for number in range(450):
        path = tmp_path / f"raw/p{number % 9}/{number:03d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\xff\xd8 no photo")
    call = Call(
        tmp_path / "space", [tmp_path / "raw"], quiet=True, say=lambda line: None, options=Options(workers=1)
    )
    with pytest.raises(TooManyFailures, match=r"rows failed \(most often.*--retry-failed"):
        run_stages(call, ["detect"])


def test_closures_follow_the_columns():
    assert upstream("detect") == ()
    assert closure(["masks"]) == {"detect", "landmarks", "masks"}
    with pytest.raises(UsageError, match="there is no stage 'sharpen'"):
        closure(["sharpen"])
    assert list(stages()) == ["detect", "landmarks", "consistency", "quality", "masks", "identity"]
    written = {column for facts in stages().values() for column in facts.writes}
    for name, facts in stages().items():
        made = stage_class(name)
        assert (made.name, made.reads, made.writes) == (name, facts.reads, facts.writes)
        assert set(facts.reads) <= written


def test_fingerprints_pass_changes_on():
    specs = with_defaults({}, ["masks"])
    before = fingerprints(specs)
    specs[0] = specs[0].model_copy(update={"settings": {"min_score": 0.3}})
    after = fingerprints(specs)
    assert all(before[name] != after[name] for name in before)


def test_options_become_specs(tmp_path: Path):
    (tmp_path / "c.yaml").write_text("detect: {min_size: 30}\n")
    specs = ask(
        {}, "landmarks", None, "cpu", None, False, tmp_path / "c.yaml", ["landmarks.min_confidence=0.5"]
    )
    assert specs["detect"].settings == {"min_size": 30}
    assert specs["landmarks"].settings == {"min_confidence": 0.5}
    remembered = {"landmarks": StageSpec(name="landmarks", backend="face-alignment", weights=Path("/w"))}
    kept = ask(remembered, "landmarks", None, "cuda", None, False, None, [])
    assert (kept["landmarks"].backend, kept["landmarks"].weights) == ("face-alignment", Path("/w"))
    with pytest.raises(UsageError, match=r"run several|--set masks.backend=mediapipe"):
        ask({}, None, "mediapipe", "cpu", None, False, None, [])
    for text, match in (
        ("detect", "NAME=VALUE"),
        ("detect=3", "STAGE.NAME=VALUE"),
        ("x.y=3", "no stage 'x'"),
    ):
        with pytest.raises(UsageError, match=match):
            ask({}, None, None, "cpu", None, False, None, [text])
    with pytest.raises(UsageError, match="given twice"):
        parse_settings(["a=1", "a=2"])
    assert parse_settings(["a=1.5", "b=null", "c=true", "d=x", "e=[1, 2]"]) == {
        **{"a": 1.5, "b": None, "c": True, "d": "x", "e": [1, 2]}
    }


def test_run_in_process_counts_rows(workspace: Workspace):
    with progress("detect", None, "images", quiet=True) as shown:
        summary = run(workspace, detect_jobs(workspace), Options(workers=1), shown)
    assert summary.rows == 11
    assert summary.reasons["detect: no face found"] == 1


def test_a_shard_says_how_many_photos_are_done(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(within_shard, "EVERY", 0)
    task = detect_jobs(workspace)[0]
    counter = workspace.counter_path(task.dataset, task.shard.key)
    said: list[int] = []
    say = ShardCounter.say

    def listen(self: ShardCounter, done: float) -> None:
        say(self, done)
        said.append(int(counter.read_text()))

    monkeypatch.setattr(ShardCounter, "say", listen)
    rows = replace(task, counter=counter).run().rows
    assert len(said) > 1
    assert said == sorted(said)
    assert said[0] > 0
    assert rows - 2 <= said[-1] <= rows  # a photo that cannot be read is in no group


def test_plain_progress_prints_a_last_line_with_rate(capsys: pytest.CaptureFixture[str]):
    with progress("scan", 10, "files") as shown:
        shown.advance(10, {"ok": 10})
    line = capsys.readouterr().err
    assert line.startswith("scan: 10/10 files, ")
    assert "/s" in line
    assert line.rstrip().endswith("ok 10")


def test_an_executor_of_one_worker_runs_all(workspace: Workspace):
    jobs = deque(detect_jobs(workspace))
    with executor(1, None) as execute:
        found = [outcome for _, outcome in execute(jobs)]
    assert sum(report.rows for report in found) == 11


def test_failures_retry_runs_a_fixed_photo_again(tmp_path: Path, photos: Path):
    raw = tmp_path / "raw" / "n1"
    raw.mkdir(parents=True)
    whole = sorted(photos.rglob("0001_01.jpg"))[0].read_bytes()
    (raw / "1.jpg").write_bytes(whole[:2000])
    space = str(tmp_path / "space")
    deca_data()(["detect", str(raw.parent), "--workspace", space, "--quiet"], standalone_mode=False)
    assert len(ended_rows(Workspace.open(Path(space)), 0)) == 1
    (raw / "1.jpg").write_bytes(whole)
    deca_data()(["failures", "--workspace", space], standalone_mode=False)  # without --retry nothing is run
    assert len(ended_rows(Workspace.open(Path(space)), 0)) == 1
    deca_data()(["failures", "--retry", "--workspace", space], standalone_mode=False)
    assert ended_rows(Workspace.open(Path(space)), 0) == []
