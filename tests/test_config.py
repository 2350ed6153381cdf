"""Settings: layers in their order, and one clear sentence for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lldm_aug.config.load import load_config, resolved_yaml
from lldm_aug.config.schema import Config
from lldm_aug.config.strict_yaml import MAX_BYTES
from lldm_aug.errors import ConfigError
from lldm_aug.resources import configs_dir

PRESETS = sorted(path.stem for path in configs_dir().glob("*.yaml"))


@pytest.fixture
def file(tmp_path):
    def write(text: str, name: str = "x.yaml") -> Path:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write


def test_defaults():
    assert load_config(None) == Config()


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_load_and_survive_a_round_trip(preset, tmp_path):
    config = load_config(preset)
    (tmp_path / "resolved.yaml").write_text(resolved_yaml(config))
    assert load_config(tmp_path / "resolved.yaml") == config


def test_layers_in_order(file):
    file("seed: 1\nsampling: {steps: 11, guidance: 1.5}\n", "base.yaml")
    path = file("base: base.yaml\nsampling:\n  steps: 12\n")
    config = load_config(path, ["sampling.solver=dpmpp", "seed=3", "seed=4"])
    assert (config.seed, config.sampling.steps, config.sampling.guidance) == (4, 12, 1.5)
    assert config.sampling.solver == "dpmpp"
    assert config.train == Config().train


def test_base_may_be_a_preset(file):
    preset = PRESETS[0]
    assert load_config(file(f"base: {preset}\nseed: 5")) == load_config(preset, ["seed=5"])


def test_base_is_relative_to_its_file(file, tmp_path):
    (tmp_path / "inner").mkdir()
    file("seed: 8", "common.yaml")
    assert load_config(file("base: ../common.yaml", "inner/x.yaml")).seed == 8


def test_lists_are_replaced_not_mixed(file):
    path = file("grid: {shape: [16, 16, 16]}")
    assert load_config(path, ["grid.shape=[24, 16, 8]"]).grid.shape == (24, 16, 8)


@pytest.mark.parametrize(
    ("text", "value"), [("1e-4", 1e-4), ("1E-4", 1e-4), ("0.0001", 1e-4), ("1", 1.0), ("+.5", 0.5), (" 2.5 ", 2.5)]
)
def test_numbers_are_numbers(text, value):
    assert load_config(None, [f"train.diffusion.learning_rate={text}"]).train.diffusion.learning_rate == value


@pytest.mark.parametrize("text", ["null", "~"])
def test_null_is_none(text):
    assert load_config(None, [f"grid.spacing_mm={text}"]).grid.spacing_mm is None


MISTAKES = {
    "unknown key": ("sed: 3", r"x\.yaml:1: unknown key 'sed'\. The nearest is 'seed'"),
    "unknown deep key": (
        "train:\n  diffusion:\n    stesp: 3",
        r"x\.yaml:3: unknown key 'train\.diffusion\.stesp'\. The nearest is 'train\.diffusion\.steps'",
    ),
    "key in the wrong section": ("solver: euler", "unknown key 'solver'. The nearest is 'sampling.solver'"),
    "wrong type": ("seed: x", r"x\.yaml:1: seed: .*valid integer, got 'x'"),
    "text for a number": ("seed: '3'", "valid integer, got '3'"),
    "truth for a number": ("seed: true", "valid integer, got True"),
    "number for a truth": ("autoencoder: {mask_aware: 1}", "valid boolean, got 1"),
    "octal": ("seed: 010", "got '010'"),
    "date": ("seed: 2020-01-01", "got '2020-01-01'"),
    "fraction": ("seed: 1.5", "seed"),
    "out of range": ("\n\nsampling: {steps: 0}", r"x\.yaml:3: sampling\.steps: .*greater than or equal to 1, got 0"),
    "too short": ("grid: {shape: [8, 8]}", r"grid\.shape"),
    "section expected": ("train: 3", "train: input should be an object, got 3"),
    "duplicate key": ("seed: 1\nseed: 2", r"x\.yaml:2: duplicate key 'seed'"),
    "deep duplicate": ("grid:\n  shape: [8, 8, 8]\n  shape: [8, 8, 8]", r"x\.yaml:3: duplicate key 'grid\.shape'"),
    "tab": ("grid:\n\tshape: 3", r"x\.yaml:2: .*TAB.*Indent with spaces"),
    "alias": ("seed: &a 1\ngrid: *a", r"x\.yaml:2: .*aliases are not supported"),
    "merge key": ("<<: {seed: 3}", "unknown key '<<'"),
    "tag": ("seed: !!python/object/apply:os.system [ls]", r"x\.yaml:1"),
    "NaN": ("sampling: {guidance: .nan}", r"sampling\.guidance is nan"),
    "NaN as text": ("sampling: {guidance: 'nan'}", r"sampling\.guidance: .*got 'nan'"),
    "infinity": ("sampling: {guidance: 1e999}", r"sampling\.guidance is inf"),
    "huge integer": ("seed: " + "9" * 10_000, "seed: .*valid integer"),
    "big integer": ("seed: " + "9" * 30, "less than"),
    "deep nesting": ("[" * 100_000, "nested too deeply"),
    "two documents": ("seed: 1\n---\nseed: 2", "another document"),
    "no mapping": ("- 1", "not a mapping"),
    "number as key": ("1: 2", "a key is not text"),
    "list as key": ("? [1]\n: 2", "a key is not text"),
    "control character": ("seed: \x01", "special characters"),
    "too large": ("#" * (MAX_BYTES + 1), "larger than"),
    "unknown preset": ("base: fantom", "no preset 'fantom'"),
    "base of a wrong type": ("base: 3", r"x\.yaml:1: base is 3"),
    "missing base": ("base: gone.yaml", r"gone\.yaml: cannot be read"),
    "cycle": ("base: x.yaml", "leads back to itself"),
}


@pytest.mark.parametrize(("text", "message"), MISTAKES.values(), ids=MISTAKES)
def test_bad_yaml_messages(file, text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(file(text))
    assert caught.value.exit_code == 2
    assert len(str(caught.value)) < 400


OVERRIDES = {
    "no value": ("seed", "not of the form key=value"),
    "empty value": ("seed=", "no value"),
    "no key": ("=3", "not of the form"),
    "odd key": ("a..b=3", "not of the form"),
    "path as key": ("../seed=3", "not of the form"),
    "mapping": ("sampling={steps: 3}", "a mapping cannot be set"),
    "unknown": (
        "sampling.step=3",
        "--set sampling.step=3: unknown key 'sampling.step'. The nearest is 'sampling.steps'",
    ),
    "wrong type": ("seed=many", "--set seed=many: seed: .*valid integer, got 'many'"),
    "through a number": ("seed.x=1", "seed: .*valid integer"),
    "base": ("base=phantom", "unknown key 'base'"),
}


@pytest.mark.parametrize(("text", "message"), OVERRIDES.values(), ids=OVERRIDES)
def test_bad_overrides(text, message):
    with pytest.raises(ConfigError, match=message):
        load_config(None, [text])


def test_message_names_the_layer_at_fault(file):
    file("sampling: {steps: 0}", "base.yaml")
    path = file("base: base.yaml\nsampling:\n  guidance: 2.0")
    with pytest.raises(ConfigError, match=r"base\.yaml:1: sampling\.steps"):
        load_config(path)
    assert load_config(path, ["sampling.steps=3"]).sampling.steps == 3


def test_unknown_preset_lists_those_that_exist():
    with pytest.raises(ConfigError, match=rf"no preset '{PRESETS[0][:-1]}'; there are .*{PRESETS[0]}") as caught:
        load_config(PRESETS[0][:-1])
    assert PRESETS[0] in str(caught.value.fix)


@pytest.mark.parametrize("make", [lambda p: p.mkdir(), lambda p: p.write_bytes(b"seed: \xff")])
def test_unreadable_file(tmp_path, make):
    make(tmp_path / "x.yaml")
    with pytest.raises(ConfigError):
        load_config(tmp_path / "x.yaml")


@given(st.text(max_size=200))
def test_any_text_raises_only_config_errors(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    path.write_bytes(text.encode("utf-8", errors="replace"))
    try:
        load_config(path)
    except ConfigError:
        return
    assert yaml.safe_load(text) in (None, {})


@given(st.text(max_size=60))
def test_any_override_raises_only_config_errors(text):
    with pytest.raises(ConfigError):
        load_config(None, [text])
