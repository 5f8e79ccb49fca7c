"""One process a GPU: runner, cluster and gpus. It needs none: what counts is what each process is shown."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipelines.demo.portraits import make_photos
from pipelines.run import gpus
from pipelines.run.bring_up import Call, open_workspace
from pipelines.run.runner import Options, gpus_for, plan, worker_count
from pipelines.run.shard_task import ShardTask
from pipelines.workspace.workspace import StageSpec


@pytest.mark.parametrize(
    ("named", "count", "found"),
    [
        (None, 3, ["0", "1", "2"]),
        ("2, 5", 2, ["2", "5"]),
        ("GPU-ab", 1, ["GPU-ab"]),
        (None, 0, []),
        ("", 0, []),
    ],
)
def test_gpus_are_named_as_the_user_names_them(monkeypatch, named, count, found):
    monkeypatch.delenv(gpus.VISIBLE, raising=False)
    if named is not None:
        monkeypatch.setenv(gpus.VISIBLE, named)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    assert gpus.visible_gpus() == found


@pytest.fixture
def jobs(tmp_path: Path) -> list[ShardTask]:
    make_photos(tmp_path / "vggface2")
    workspace = open_workspace(Call(tmp_path / "space", [tmp_path / "vggface2"], quiet=True, say=print))
    job, *_ = plan(workspace, [StageSpec(name="detect", backend="mediapipe")])
    masks = StageSpec(name="masks", backend="bisenet", device="cuda")
    return [replace(job, specs=(*job.specs, masks), todo=("detect", "masks"))] * 8


def test_as_many_processes_as_gpus_where_a_stage_wants_them(monkeypatch, jobs):
    monkeypatch.setattr(gpus, "visible_gpus", lambda: ["0", "1", "2"])
    found = gpus_for(jobs, Options())
    assert found == ["0", "1", "2"]
    assert worker_count(jobs, Options(), found) == 3
    assert worker_count(jobs, Options(workers=5), found) == 5
    assert gpus_for(jobs, Options(scheduler="tcp://host:1")) == []  # its workers are not ours
    done = [replace(job, todo=("detect",)) for job in jobs]
    assert gpus_for(done, Options()) == []


def test_each_worker_is_shown_one_gpu(tmp_path: Path):
    script = tmp_path / "look.py"
    script.write_text("""
import os
from collections import deque
from pipelines.run.cluster import Lost, executor

class Die:
    def run(self):
        os._exit(1)

class Look:
    def run(self):
        return os.environ.get("CUDA_VISIBLE_DEVICES"), os.getpid()

def look(execute, enough):
    \"\"\"What the workers are shown; each that answers is asked again until there are answers enough.\"\"\"
    seen, jobs = set(), deque(Look() for _ in range(12))
    for _, found in execute(jobs):
        seen.add(found)
        if not enough(seen):
            jobs.append(Look())
    return seen

if __name__ == "__main__":
    with executor(3, None, ["4", "GPU-x"]) as execute:
        print(sorted(name for name, _ in look(execute, lambda seen: len(seen) == 3)))
    with executor(2, None, ["4", "GPU-x"]) as execute:
        before = look(execute, lambda seen: len(seen) == 2)
        print([type(found) is Lost for _, found in execute(deque([Die()]))])
        after = look(execute, lambda seen: len(seen) > 1 and seen - before)
    print({name for name, _ in after} <= {"4", "GPU-x"}, len(after) == len(dict(after)))
    with executor(2, None) as execute:
        print({name for name, _ in look(execute, lambda seen: len(seen) == 2)})
""")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["['4', '4', 'GPU-x']", "[True]", "True True", "{None}"]
