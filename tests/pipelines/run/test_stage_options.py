"""Options of stages (stage_options, stage_plan): a model for one stage, and wrong settings."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import deca_data
from deca_data.stages import facts_of
from manifests.errors import UsageError
from pipelines.curate.recipe import load_recipe
from pipelines.run.stage_options import ask
from pipelines.run.stage_plan import make_stage
from pipelines.workspace.workspace import StageSpec


def asked(*settings: str, known: dict[str, StageSpec] | None = None, stage: str | None = None):
    return ask(known or {}, stage, None, "cpu", None, False, None, list(settings))


def test_a_stage_gets_its_model_by_a_setting(tmp_path: Path):
    weights = tmp_path / "w.pth"
    weights.write_bytes(b"")
    found = asked("masks.backend=bisenet", "masks.device=cuda:1", f"masks.weights={weights}")
    assert found == {
        "masks": StageSpec(name="masks", backend="bisenet", device="cuda:1", weights=weights, settings={})
    }
    more = asked("masks.batch=64", known=found)["masks"]
    assert more == found["masks"].model_copy(update={"batch": 64})
    # another setting of the stage leaves its model, and another model leaves the weights of the old one
    kept = asked(
        "landmarks.min_confidence=0.5", known={"landmarks": StageSpec(name="landmarks", backend="magic")}
    )
    assert kept["landmarks"].backend == "magic"
    assert asked("masks.backend=parsenet", known=found)["masks"].weights is None
    assert asked("masks.device=cpu", known=found)["masks"].weights == weights
    assert asked("masks.backend=null", known=found)["masks"].backend == facts_of("masks").default_backend


def test_a_file_sets_models_too(tmp_path: Path):
    (tmp_path / "c.yaml").write_text("masks: {backend: bisenet, download: true}\n")
    spec = ask({}, None, None, "cpu", None, False, tmp_path / "c.yaml", [])["masks"]
    assert (spec.backend, spec.download, spec.settings) == ("bisenet", True, {})


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("quality.backend=dlib", "quality has no model of its own"),
        ("consistency.backend=mediapipe", "it uses that of landmarks"),
        ("masks.device=mps", "the device 'mps' is not supported; choose cpu, cuda or cuda:N"),
        ("masks.device=3", "the device 3 is not supported"),
        ("masks.weights=/none", "there are no weights at /none"),
        ("masks.backend=[a]", r"masks.backend = \['a'\]: it is a text"),
        ("masks.download=2", "masks.download = 2: it is true or false"),
        ("masks.batch=0", r"masks.batch = 0: it is a whole number from 1 to 1024"),
        ("landmarks.batch=true", r"landmarks.batch = True: it is a whole number"),
        ("consistency.batch=4", "it uses that of landmarks"),
        ("mask.backend=a", "there is no stage 'mask'; similar: masks"),
    ],
)
def test_a_wrong_model_is_one_sentence(setting: str, sentence: str):
    with pytest.raises(UsageError, match=sentence):
        asked(setting)


def test_a_device_is_checked_by_the_command_of_one_stage_too():
    with pytest.raises(UsageError, match="masks: the device 'mps' is not supported"):
        ask({}, "masks", None, "mps", None, False, None, [])


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("min_conf", 0.1, r"^there is no setting landmarks.min_conf; similar: landmarks.min_confidence.$"),
        ("backnd", 0.1, r"^there is no setting landmarks.backnd; similar: landmarks.backend.$"),
        ("qqq", 0.1, r"^there is no setting landmarks.qqq.$"),
        ("min_confidence", 2, r"^landmarks.min_confidence = 2: input should be less than or equal to 1.$"),
    ],
)
def test_a_wrong_setting_names_itself_and_its_like(name: str, value: float, sentence: str):
    with pytest.raises(UsageError, match=sentence):
        make_stage(StageSpec(name="landmarks", backend="mediapipe", settings={name: value}))


def test_a_wrong_threshold_names_itself_and_its_like(tmp_path: Path):
    with pytest.raises(UsageError, match=r"^--set: there is no setting min_fase_size; similar: min_face"):
        load_recipe("deca-paper", {"min_fase_size": 3})
    with pytest.raises(UsageError, match=r"^--set: max_brightness = 3: input should be less than"):
        load_recipe("deca-paper", {"max_brightness": 3})
    own = tmp_path / "own.yaml"
    own.write_text("min_fase_size: 3\n")
    with pytest.raises(UsageError, match=rf"^{own}: there is no setting min_fase_size; similar: min_face"):
        load_recipe(str(own), {"max_brightness": 0.3})


@pytest.mark.parametrize(("command", "shown"), [("run", False), ("quality", False), ("masks", True)])
def test_options_that_are_refused_are_not_listed(command: str, shown: bool):
    text = CliRunner().invoke(deca_data(), [command, "--help"]).output
    assert "--set STAGE.NAME=VALUE" in text
    assert [option in text for option in ("--backend", "--device", "--weights", "--download")] == [shown] * 4


@pytest.mark.parametrize(
    ("setting", "other"),
    [("masks.device=cuda:9", "bisenet, parsenet"), ("identity.device=cuda", "arcface")],
)
def test_a_device_of_a_backend_that_runs_on_the_cpu_is_refused(setting: str, other: str):
    (spec,) = asked(setting).values()
    with pytest.raises(
        UsageError, match=rf"^device cuda.* only runs on the CPU; set its device to cpu.*{other}"
    ):
        make_stage(spec)
