"""What both programs have at the terminal: version, help, completion, and the settings in words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import cli
from commands.exit_codes import run_app
from commands.printing import print_diagnosis
from deca_data.stages import stage_class, stages
from deca_model.settings.describing import MEANINGS, settings_of
from deca_model.settings.reading import PRESETS, load_config
from pipelines.doctor import Backend, Diagnosis, Package
from pipelines.workspace.workspace import StageSpec, Workspace
from tests.pipelines.share.share_samples import small_dataset


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """Runs a command line in an empty folder; the exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def run(line: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", line.split())
        with pytest.raises(SystemExit) as ended:
            run_app(cli.deca_data if line.startswith("deca-data") else cli.deca)
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    return run


@pytest.mark.parametrize("program", ["deca", "deca-data"])
def test_version_and_short_help(call, program: str):
    assert call(f"{program} --version") == (0, f"{program} {version('deca-data')}\n", "")
    code, short, _ = call(f"{program} -h")
    assert code == 0
    assert (code, short, "") == call(f"{program} --help")
    assert "Begin with: " in short


@pytest.mark.parametrize("line", ["deca train -h", "deca-data export -h", "deca evaluate now -h"])
def test_every_command_has_the_short_help(call, line: str):
    code, text, _ = call(line)
    assert code == 0
    assert "Example: " in text


@pytest.mark.parametrize(
    ("program", "begun", "completed"), [("deca-data", "exp", "export"), ("deca", "pre", "presets")]
)
def test_a_shell_completes_commands(program: str, begun: str, completed: str):
    entry = f"cli.{program.replace('-', '_')}_main()"
    names = {
        **{f"_{program.upper().replace('-', '_')}_COMPLETE": "complete_bash", "COMP_CWORD": "1"},
        "COMP_WORDS": f"{program} {begun}",
    }
    code = f"import sys; sys.argv = [{program!r}]; import cli; {entry}"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **names}, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == [completed], done.stderr


@pytest.mark.parametrize("preset", PRESETS)
def test_config_prints_a_settings_file_that_means_the_same(call, tmp_path: Path, preset: str):
    code, text, told = call(f"deca config --preset {preset} --set loss.eye=0.25")
    assert (code, told) == (0, "")
    (tmp_path / "mine.yaml").write_text(text)
    chosen = load_config(tmp_path / "mine.yaml")
    assert chosen == load_config(preset, ["loss.eye=0.25"])
    lines = [line.strip() for line in text.splitlines()]
    for setting in settings_of(chosen):
        at = next(n for n, line in enumerate(lines) if line.startswith(setting.name.split(".")[-1] + ":"))
        assert setting.meaning, setting.name
        assert lines[at - 1].startswith("# ")
    assert json.loads(call("deca config --config mine.yaml --json")[1]) == chosen.model_dump(mode="json")


def test_config_and_train_refuse_the_same_calls(call):
    code, _, told = call("deca config --preset cpu --set loss.photometrik=1")
    assert code == 2
    assert "there is no setting loss.photometrik; similar: loss.photometric" in told
    code, _, told = call("deca config --preset cpu --config mine.yaml")
    assert code == 2
    assert "--preset and --config: give one of them" in told


def test_presets_are_compared_in_eighty_columns(call, monkeypatch: pytest.MonkeyPatch):
    rows = json.loads(call("deca presets --json")[1])
    by_name = {row["setting"]: row for row in rows}
    assert by_name["data.size"]["cpu"] == 112
    assert by_name["data.size"]["paper"] == by_name["data.size"]["emoca"] == 224
    assert all(len({json.dumps(row[name]) for name in PRESETS}) > 1 for row in rows)
    code, text, _ = call("deca presets")
    assert code == 0
    table = text.partition("\n\n")[2]
    assert max(len(line.rstrip()) for line in table.splitlines()) <= 80
    assert all(f"\n{row['setting']}  " in text for row in rows)  # no name is broken
    assert set(MEANINGS) == set(PRESETS)


def test_doctor_is_quiet_about_what_is_optional(capsys: pytest.CaptureFixture[str]):
    found = Diagnosis(
        "Python",
        [
            Package("numpy", "1", "everything", "pip install numpy", optional=False),
            Package("mediapipe", None, "the default", "pip install 'deca-data[data]'", optional=False),
            Package("facexlib", None, "parsing", "pip install 'deca-data[parsing]'", optional=True),
        ],
        [Backend("parser", "bisenet", False, "masks", "no weights: fetch them", optional=True)],
        [],
        None,
    )
    print_diagnosis(found, everything=False)
    text = capsys.readouterr().out
    assert "to fix: mediapipe" in text
    assert "facexlib, for parsing" not in text
    assert "fetch them" not in text
    assert "not here, and not needed: facexlib, parser bisenet" in text
    print_diagnosis(found, everything=True)
    text = capsys.readouterr().out
    assert "to fix: facexlib, for parsing: pip install 'deca-data[parsing]'" in text
    assert "to fix: no weights: fetch them" in text
    assert "not needed" not in text


def test_settings_of_the_stages_are_listed_with_what_the_workspace_has(call, tmp_path: Path):
    workspace = Workspace.open(tmp_path / "deca-workspace")
    workspace.set_stage(StageSpec(name="detect", backend="mediapipe", settings={"min_size": 32.0}))
    rows = {row["setting"]: row for row in json.loads(call("deca-data settings --json")[1])}
    assert (rows["detect.min_size"]["value"], rows["detect.min_size"]["default"]) == (32.0, 16.0)
    assert rows["consistency.shift"]["value"] == rows["consistency.shift"]["default"] == 0.05
    assert all(row["meaning"] for row in rows.values())
    known = {f"{stage}.{name}" for stage in stages() for name in stage_class(stage).Settings.model_fields}
    assert set(rows) == known


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("deca", "README.txt in out says which attributes"),
        ("emoca", "data.training_datasets=[vggface2]"),
        ("smirk", "README.txt in out has the command that starts SMIRK's training"),
    ],
)
def test_export_says_what_to_do_next(call, tmp_path: Path, form: str, said: str):
    small_dataset(tmp_path)
    code, text, told = call(f"deca-data export --format {form} --out out --quiet")
    assert (code, told) == (0, "")
    assert said in " ".join(text.split())
    readme = (tmp_path / "out/README.txt").read_text()
    assert readme.startswith(f"Written by `deca-data export --format {form}`.\n")
    assert str(tmp_path / "out") in readme or form == "deca"
    assert call(f"deca-data export --format {form} --out out --quiet")[0] == 0  # its own results it replaces


@pytest.mark.parametrize("form", ["deca", "emoca", "smirk"])
def test_an_export_without_a_manifest_leaves_nothing_behind(call, tmp_path: Path, form: str):
    code, _, told = call(f"deca-data export --format {form} --out out")
    assert code == 2
    assert "train.parquet: there is no such manifest" in told
    assert not list((tmp_path / "out").iterdir())
