from __future__ import annotations

import pytest

from deca_model.settings.groups import TrainingConfig
from deca_model.settings.reading import PRESETS, dump_config, load_config
from manifests.errors import UsageError


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_load_and_come_back_from_their_own_yaml(preset, tmp_path):
    config = load_config(preset)
    path = tmp_path / "config.yaml"
    path.write_text(dump_config(config))
    assert load_config(path) == config


def test_the_defaults_are_the_official_ones():
    config = TrainingConfig()
    assert config.optimizer.learning_rate == 1e-4
    weights = config.loss
    assert (weights.landmark, weights.eye, weights.lip) == (1.0, 1.0, 0.5)
    assert (weights.photometric, weights.identity, weights.light_prior) == (2.0, 0.2, 1.0)
    assert weights.shape_prior == pytest.approx(1e-4 * 64)  # a mean here, a sum over 64 codes there
    assert config.data.scales == (1.4, 1.8)
    assert config.data.size == 224
    sizes = [(s.subjects, s.images) for s in (config.pretrain, config.coarse, config.detail)]
    assert sizes == [(64, 1), (8, 4), (6, 3)]


def test_the_emoca_preset_is_emocas_released_configuration():
    config = load_config("emoca")
    weights, stage, detail = config.loss, config.expression, config.detail
    assert weights.expression_prior == pytest.approx(1e-4 * 32)
    assert (weights.landmark, weights.eye, weights.lip, weights.corner) == (0, 0.5, 0.5, 0.5)
    assert (weights.photometric, weights.photometric_mask) == (2, "rendered")
    assert (weights.emotion, weights.emotion_background, weights.identity) == (1, "black", 0)
    assert (stage.epochs, stage.patience, stage.learning_rate) == (30, 15, 5e-5)
    assert (stage.subjects, stage.images, stage.balance) == (32, 1, "expression")
    assert stage.scales == (pytest.approx(1.25 * 1.1), pytest.approx(1.25 * 1.1))
    assert stage.augment is not None
    assert (stage.augment.scale, stage.augment.rotation, stage.augment.translation) == ((0.9, 1.1), 10, 0.05)
    # imgaug turns a compression c of 50 to 90 into this quality
    assert stage.augment.jpeg == tuple(round(1 + 99 * (1 - c / 101)) for c in (90, 50))
    assert (stage.augment.noise, stage.augment.blur, stage.augment.sharpen) == (10, 1.5, 0.5)
    assert config.log.validations_per_epoch == 5
    assert (detail.epochs, detail.patience, detail.learning_rate) == (12, 5, None)
    assert config.optimizer.learning_rate == 1e-4
    assert (detail.subjects, detail.images, detail.balance, detail.augment) == (4, 3, None, None)
    assert (detail.scales, detail.shift) == ((1.2, 1.6), 0.1)
    # sums over 24 maps; EMOCA's factor for colours and ID-MRF is 5 where DECA's is 2
    assert weights.detail_photometric == 5
    assert weights.id_mrf == pytest.approx(5 * 0.05 * 24)
    assert weights.symmetry == pytest.approx(0.005 * 24 * 256 * 256)


def test_deca_has_no_augmentation_no_balance_and_no_early_stopping():
    for preset in ("open", "paper", "cpu"):
        config = load_config(preset)
        for name in ("pretrain", "coarse", "expression", "detail"):
            stage = config.stage_settings(name)
            assert (stage.augment, stage.balance, stage.patience, stage.scales, stage.shift) == (None,) * 5
    changed = load_config("cpu", ["pretrain.augment.noise=5"]).pretrain.augment
    assert changed is not None
    assert (changed.noise, changed.rotation, changed.jpeg) == (5, 0, None)


@pytest.mark.parametrize(
    ("overrides", "start"),
    [
        (["data.size=64", "loss.photometrc=2"], "--set loss.photometrc: there is no setting"),
        (["optimizer.betas=[1]", "data.size=64"], "--set optimizer.betas: optimizer.betas"),
        (["loss.lip.x=1"], "--set loss.lip.x: loss.lip = {'x': 1}"),
        (["pretrain={subjects: -4, epochs: 1}"], "--set pretrain: pretrain.subjects = -4"),
        (["optimizer.learning_rate=.inf"], "--set optimizer.learning_rate: optimizer.learning_rate = inf"),
    ],
)
def test_a_wrong_set_is_named_and_no_other_setting(overrides, start, tmp_path):
    with pytest.raises(UsageError) as raised:
        load_config("cpu", overrides)
    assert str(raised.value).startswith(start)
    path = tmp_path / "mine.yaml"
    path.write_text("preset: cpu\ndata: {colour: 1}\n")
    with pytest.raises(UsageError) as raised:
        load_config(path, overrides)
    assert str(raised.value).startswith(start)
    with pytest.raises(UsageError, match=r"mine\.yaml: there is no setting data\.colour"):
        load_config(path, ["data.size=64"])


def test_a_file_changes_a_preset_and_the_command_line_changes_the_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("preset: cpu\nloss: {photometric: 3.0, lip: 0.25}\npretrain: {steps: 5}\n")
    config = load_config(path, ["loss.photometric=1e-2", "data.scales=[1.2, 1.6]", "optimizer.clip=null"])
    assert config.loss.photometric == 0.01
    assert config.loss.lip == 0.25
    assert config.data.scales == (1.2, 1.6)
    assert config.pretrain.steps == 5
    assert config.pretrain.subjects == 3  # the preset's
    assert config.optimizer.clip is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("loss.photometrc=2", r"no setting loss\.photometrc; similar: loss\.photometric"),
        ("photometric=2", r"no setting photometric; similar: loss\.photometric"),
        ("optimiser.learning_rate=1", r"no setting optimiser; similar: optimizer"),
        ("loss.lip=-1", r"loss\.lip = -1: .*greater than or equal to 0"),
        ("loss.lip", "write it as name=value"),
        ("loss.lip=[1", "--set loss.lip: it cannot be read as YAML"),
        ("pretrain={subjects: 4, images: 1}", "give epochs or steps"),
    ],
)
def test_wrong_settings_are_one_sentence(override, message):
    with pytest.raises(UsageError, match=message) as raised:
        load_config("cpu", [override])
    assert "\n" not in str(raised.value)


def test_a_missing_file_names_the_presets():
    with pytest.raises(UsageError, match="the presets are open, cpu, paper, emoca"):
        load_config("papper")


def test_a_stage_that_gives_one_value_keeps_its_other_defaults(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("pretrain: {steps: 7}\n")
    config = load_config(path, ["expression.steps=3"])
    assert (config.pretrain.subjects, config.pretrain.images) == (64, 1)
    assert config.expression.learning_rate == 5e-5
