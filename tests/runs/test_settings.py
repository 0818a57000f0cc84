"""Settings: defaults from n, names and numbers that are refused, and what a resumed run may change."""

from dataclasses import replace
from typing import Any

import pytest

from distill.errors import RunError, UserError
from distill.inner.engines import ENGINES
from distill.inner.engines.base import Engine
from distill.inner.problem import Problem
from distill.methods import METHODS
from distill.methods.base import Method
from distill.networks.build import build_network
from distill.runs.build import build_method
from distill.runs.defaults import DEFAULTS
from distill.runs.resolve import all_options, identity, parts_of, resolve, resume, set_ipc
from distill.runs.settings import (
    DataSettings,
    ImageData,
    ImageSettings,
    Settings,
    TextSettings,
)
from tests.helpers import change_settings

FILES = ("train", "test", "text_column", "label_column", "max_length")
CHOICES = [field.name for field, _ in all_options(ImageSettings()) if field.metadata["choices"]]


def image_settings(**values: Any) -> ImageSettings:
    """Image settings with values in whichever part has them."""
    return change_settings(ImageSettings(), **values)


def get_value(settings: Settings, name: str) -> Any:
    return next(getattr(p, name) for p in parts_of(settings) if hasattr(p, name))


@pytest.mark.parametrize("n", [1, 2, 5, 10, 20, 100, 300])
@pytest.mark.parametrize("init", ["fixed", "random"])
@pytest.mark.parametrize("settings_type", [ImageSettings, TextSettings])
def test_n_decides_every_default(settings_type: type[Settings], n: int, init: str) -> None:
    settings = resolve(change_settings(settings_type(), n=n, init=init))
    empty = {field.name for field, value in all_options(settings) if value is None}
    unset = {"image_size"} if settings_type is ImageSettings else set(FILES)
    assert empty == {"data_dir", "ipc", "depth", "width", "weights", "minutes", "resume"} | unset
    assert n % settings.inner.batch == 0
    assert resolve(settings) == settings


def test_every_default_has_a_text_and_a_reason() -> None:
    names = {
        field.name
        for settings_type in (ImageSettings, TextSettings)
        for field, _ in all_options(settings_type())
    }
    assert {default.name for default in DEFAULTS} <= names
    assert all(default.words and default.reason for default in DEFAULTS)


def test_explicit_values_stay() -> None:
    values = {"inner_steps": 3, "rule": "adam", "lr": 0.5, "outer_steps": 7, "out": "x", "batch": 1}
    settings = resolve(image_settings(**values))
    assert {name: get_value(settings, name) for name in values} == values


@pytest.mark.parametrize("name", CHOICES)
def test_a_misspelt_choice_gets_a_suggestion(name: str) -> None:
    (choices,) = {f.metadata["choices"] for f, _ in all_options(ImageSettings()) if f.name == name}
    with pytest.raises(UserError, match=f'did you mean "{choices[0]}"'):
        resolve(image_settings(**{name: choices[0] + "x"}))


@pytest.mark.parametrize(
    ("name", "value"), [("n", 0), ("n", -3), ("lr", 0.0), ("minutes", -1.0), ("outer_steps", 0), ("ipc", 0)]
)
def test_a_number_that_is_not_above_zero_is_refused(name: str, value: float) -> None:
    with pytest.raises(UserError, match=f"--{name.replace('_', '-')} must be above 0, not {value:g}"):
        resolve(image_settings(**{name: value}))


def test_a_batch_that_does_not_divide_n_is_refused() -> None:
    with pytest.raises(UserError, match="--batch 3 does not divide --n 10"):
        resolve(image_settings(n=10, batch=3))


def test_images_per_class_are_n_by_the_classes_of_the_data() -> None:
    settings = set_ipc(image_settings(ipc=2), classes=10)
    assert settings.data.n == 20
    assert set_ipc(image_settings(n=20, ipc=2), classes=10) == settings
    assert set_ipc(image_settings(n=7), classes=10).data.n == 7
    with pytest.raises(UserError, match="--ipc 2 means 20 items of 10 classes: leave out --n 5"):
        set_ipc(image_settings(n=5, ipc=2), classes=10)


def test_every_name_builds_its_object() -> None:
    problem = Problem(build_network("mlp", (1, 8, 8), 3))
    for word in ENGINES:
        method: Any = build_method(resolve(image_settings(engine=word)), problem)
        assert isinstance(method.engine, Engine)
    for word in METHODS:
        assert isinstance(build_method(resolve(image_settings(method=word)), problem), Method)


def test_an_option_of_another_method_or_engine_is_refused() -> None:
    problem = Problem(build_network("mlp", (1, 8, 8), 3))
    with pytest.raises(UserError, match="--ridge is an option of --method frepo; this run has --method dc"):
        build_method(resolve(image_settings(method="dc", method_options={"ridge": 1.0})), problem)
    with pytest.raises(
        UserError, match="--window is an option of --engine truncated; this run has --engine unr"
    ):
        build_method(resolve(image_settings(engine_options={"window": 3})), problem)


def test_a_resumed_run_keeps_its_settings_and_may_change_its_output() -> None:
    saved = identity(resolve(image_settings(n=10, seed=3)))
    settings = resume(image_settings(resume="r", json=True, threads=2), saved)
    run = settings.run
    assert (settings.data.n, run.seed, run.out, run.json, run.threads) == (10, 3, "r", True, 2)
    assert identity(settings) == saved
    assert resume(image_settings(n=10, resume="r"), saved).data.n == 10


def test_a_resumed_run_refuses_other_settings() -> None:
    saved = identity(resolve(image_settings(n=10)))
    with pytest.raises(RunError, match="r was started with --n 10, not 20"):
        resume(image_settings(n=20, resume="r"), saved)
    with pytest.raises(RunError, match="damaged: lr is not"):
        resume(image_settings(resume="r"), saved | {"lr": "fast"})
    del saved["lr"]
    with pytest.raises(RunError, match="of another version"):
        resume(image_settings(resume="r"), saved)


def test_option_names_are_unique() -> None:
    for settings_type in (ImageSettings, TextSettings):
        names = [field.name for field, _ in all_options(settings_type())]
        assert len(names) == len(set(names))


def test_settings_are_frozen_parts() -> None:
    settings = ImageSettings()
    with pytest.raises(AttributeError):
        settings.data.n = 3  # type: ignore[misc]
    assert isinstance(settings.data, ImageData)
    assert replace(settings.data, n=3) == ImageData(n=3) != DataSettings(n=3)
