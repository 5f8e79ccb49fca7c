from __future__ import annotations

import os
import signal

import pytest

from deca_model.training import run_folder
from deca_model.training.checkpoints import checkpoints
from deca_model.training.run_folder import claim_folder
from manifests.errors import UsageError
from tests.deca_model.synthetic import make_manifest
from tests.deca_model.training.test_training import Watch, run

INPUTS = {"settings": {"a": 1}, "manifest": "m", "start_from": None}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return make_manifest(tmp_path_factory.mktemp("faces"), (4, 4, 3))


def interrupt(step: int) -> None:
    if step == 2:
        os.kill(os.getpid(), signal.SIGINT)


def test_the_same_command_goes_on_and_says_so(manifest, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = run(manifest, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt, match=r"^runs/001: stopped at step 2 of 4$"):
        run(manifest, None, watch=Watch(interrupt))
    second = run(manifest, None, "data.workers=1")  # the processes do not make another run of it
    assert second.totals == whole.totals[2:]
    note = "runs/001: a run with these settings and this manifest was stopped here; it goes on from step 2"
    assert any(text.startswith(note) for text in second.notes)
    # that run has ended now, so the same command begins a new one
    third = run(manifest, None)
    assert third.totals == whole.totals
    assert not any("goes on" in text for text in third.notes)
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["001", "002"]


def test_other_settings_or_faces_begin_a_new_run(manifest, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run(manifest, None, watch=Watch(interrupt))
    assert len(run(manifest, None, "loss.eye=0.5").totals) == 4
    assert len(run(make_manifest(tmp_path / "other", (4, 4, 4)), None).totals) == 4
    assert len(run(manifest, None).totals) == 2  # runs/001, though it is not the newest
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["001", "002", "003"]


def test_a_named_folder_goes_on_only_with_the_same_settings(manifest, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run(manifest, out, watch=Watch(interrupt))
    with pytest.raises(UsageError, match="already holds a run; continue it with --resume"):
        run(manifest, out, "loss.eye=0.5")
    assert len(run(manifest, out).totals) == 2
    with pytest.raises(UsageError, match="already holds a run; continue it with --resume"):
        run(manifest, out)


def test_all_stages_go_on(manifest, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    short = [f"{stage}.steps=3" for stage in ("pretrain", "coarse", "detail")]
    small = [f"{stage}.{of}=2" for stage in ("coarse", "detail") for of in ("subjects", "images")]
    settings = ["stage=all", *short, *small, "loss.identity=0", "loss.id_mrf=0"]
    watch = Watch()

    def in_coarse(step):
        if len(watch.totals) == 5:
            os.kill(os.getpid(), signal.SIGINT)

    watch.act = in_coarse
    with pytest.raises(KeyboardInterrupt, match=r"runs/001/coarse: stopped at step 2 of 3"):
        run(manifest, None, *settings, watch=watch)
    assert len(run(manifest, None, *settings).totals) == 4


@pytest.mark.reliability("two trainings at once", tried=2)
def test_two_commands_do_not_share_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    notes = []
    with claim_folder(None, False, INPUTS, notes.append) as first:
        with claim_folder(None, False, INPUTS, notes.append) as second:
            assert [each.folder.name for each in (first, second)] == ["001", "002"]
        with pytest.raises(UsageError, match=r"runs/001: another `deca train` is writing to this run folder"):
            with claim_folder(first.folder, True, INPUTS, notes.append):
                pass
    assert notes == []


@pytest.mark.reliability("two trainings at once")
def test_a_folder_that_appears_meanwhile_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/001").mkdir(parents=True)
    monkeypatch.setattr(run_folder, "_numbered", list)  # it was not there yet when the command looked
    with claim_folder(None, False, INPUTS, print) as claimed:
        assert claimed.folder.name == "002"


def test_a_command_that_failed_before_a_checkpoint_takes_its_folder_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ZeroDivisionError):
        with claim_folder(None, False, INPUTS, print):
            raise ZeroDivisionError
    with claim_folder(None, False, INPUTS, print) as again:
        assert (again.folder.name, again.resume) == ("001", False)


def test_resume_without_a_run_and_an_out_that_is_a_file_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"there is no run in \./runs yet"):
        with claim_folder(None, True, INPUTS, print):
            pass
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="this is a file; name a folder"):
        with claim_folder(tmp_path / "file", False, INPUTS, print):
            pass


def test_a_resume_with_fewer_steps_is_refused(manifest, tmp_path):
    run(manifest, tmp_path / "out", "pretrain.steps=3")
    with pytest.raises(UsageError, match="has already made 3 steps, and the settings ask for 2"):
        run(manifest, tmp_path / "out", "pretrain.steps=2", resume=True)
    assert len(checkpoints(tmp_path / "out/checkpoints")) == 1
