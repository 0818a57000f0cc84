"""Settings: defaults from n, names and numbers that are refused, and what a resumed run may change."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from distill.errors import RunError, UserError
from distill.inner.engines import ENGINES
from distill.inner.engines.base import Engine
from distill.inner.engines.recompute import Recompute
from distill.inner.engines.truncated import Truncated
from distill.inner.problem import Problem
from distill.methods import METHODS
from distill.methods.base import Method
from distill.methods.rat_bptt import RaTBPTT
from distill.methods.unroll import BPTT
from distill.networks.build import build_network
from distill.registry import options_of
from distill.runs.build import build_method
from distill.runs.resolve import all_options, identity, parts_of, resolve, resume, set_ipc
from distill.runs.settings import (
    DataSettings,
    ImageData,
    ImageSettings,
    Settings,
    TextSettings,
)
from distill.runs.settings.defaults.table import DEFAULTS
from distill.runs.settings.defaults.values import FOREVER
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
    unset = (
        {"image_size", "cache", "autocast"}
        if settings_type is ImageSettings
        else {*FILES, "encoder", "cache", "train_parts", "pooling", "attention_labels"}
    )
    if settings.outer.method == "frepo":
        unset |= {"engine"}  # it unrolls nothing
    assert (settings.outer.method == "frepo") == (init == "random" and settings_type is ImageSettings)
    assert (
        empty
        == {"data_dir", "ipc", "depth", "width", "weights", "minutes", "distil_minutes", "resume"} | unset
    )
    assert n % settings.inner.batch == 0
    assert resolve(settings) == settings


def test_every_default_has_a_text_and_a_reason() -> None:
    names = {
        field.name
        for settings_type in (ImageSettings, TextSettings)
        for field, _ in all_options(settings_type())
    } | {field.name for method in (BPTT, RaTBPTT) for field in options_of(method)}
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


def test_items_per_class_are_checked_by_the_n_that_they_mean() -> None:
    """Until the classes are known no batch is refused for not dividing the default n, nor an engine's option
    for not being that of the default n's engine.
    """
    settings = image_settings(ipc=11, batch=11, init="random", engine_options={"window": 4})
    resolve(settings)
    resolved = resolve(set_ipc(settings, classes=3))
    assert (resolved.data.n, resolved.inner.inner_steps, resolved.inner.engine) == (33, 33, "truncated")
    with pytest.raises(UserError, match="--batch 4 does not divide --n 6"):
        resolve(set_ipc(image_settings(ipc=2, batch=4), classes=3))


def test_every_name_builds_its_object() -> None:
    problem = Problem(build_network("mlp", (1, 8, 8), 3))
    for word in ENGINES:
        method: Any = build_method(resolve(image_settings(engine=word)), problem)
        assert isinstance(method.engine, Engine)
    for word in METHODS:
        assert isinstance(build_method(resolve(image_settings(method=word)), problem), Method)


def test_an_option_of_another_method_or_engine_is_refused() -> None:
    with pytest.raises(
        UserError, match="--ridge is an option of --method frepo and rcig; this run has --method dc"
    ):
        resolve(image_settings(method="dc", method_options={"ridge": 1.0}))
    with pytest.raises(
        UserError, match="--window is an option of --engine truncated; this run has --engine unr"
    ):
        resolve(image_settings(engine_options={"window": 3}))
    with pytest.raises(UserError, match="--window is for methods that unroll"):
        resolve(image_settings(method="dm", engine="truncated", engine_options={"window": 3}))
    with pytest.raises(UserError, match="--engine is for methods that unroll"):
        resolve(image_settings(method="dm", engine="unroll"))


@pytest.mark.parametrize(
    ("settings_type", "init", "method"),
    [
        (ImageSettings, "random", "frepo"),
        (ImageSettings, "fixed", "unroll"),
        (TextSettings, "random", "unroll"),
    ],
)
def test_auto_is_kernel_ridge_for_images_and_random_networks(
    settings_type: type[Settings], init: str, method: str
) -> None:
    settings = resolve(change_settings(settings_type(), method="auto", init=init))
    assert settings.outer.method == method
    assert resolve(settings) == settings


@pytest.mark.parametrize(("dataset", "method"), [
    ("mnist", "rat-bptt"), ("usps", "rat-bptt"), ("cifar-10", "frepo"), ("photos", "frepo"),
    ("a.npz", "frepo"),
])  # fmt: skip
def test_auto_takes_windows_where_the_images_are_known_to_be_grey(dataset: str, method: str) -> None:
    values = {"init": "random", "network": "convnet", "minutes": 5.0, "dataset": dataset}
    assert resolve(change_settings(ImageSettings(), method="auto", **values)).outer.method == method


def test_a_method_that_does_not_unroll_has_no_engine() -> None:
    settings = resolve(image_settings(method="dm"))
    assert settings.inner.engine is None
    assert resolve(settings) == settings


@pytest.mark.parametrize(
    ("word", "options", "sentence"),
    [
        ("truncated", {"window": 0}, "--window must be above 0, not 0"),
        ("truncated", {"window": 2.5}, "--window must be a whole number, not 2.5"),
        ("truncated", {"window_at": "lsat"}, 'no place called "lsat"; did you mean "last"'),
        ("truncated", {"grow_over": -1}, "--grow-over must be above 0, not -1"),
        ("recompute", {"every": 0}, "--every must be above 0, not 0"),
        ("frepo", {"ridge": -1.0}, "--ridge must be above 0, not -1"),
        ("frepo", {"ridge": float("nan")}, "--ridge must be a finite number, not nan"),
    ],
)
def test_a_value_that_a_method_or_an_engine_cannot_have_is_refused(
    word: str, options: dict[str, Any], sentence: str
) -> None:
    plug_in = "method" if word in METHODS else "engine"
    with pytest.raises(UserError, match=sentence):
        resolve(image_settings(**{plug_in: word, f"{plug_in}_options": options}))


def test_an_unknown_device_for_states_is_refused() -> None:
    problem = Problem(build_network("mlp", (1, 8, 8), 3))
    with pytest.raises(UserError, match='states_device: no device "nowhere" on this machine'):
        build_method(
            resolve(image_settings(engine="recompute", engine_options={"states_device": "nowhere"})), problem
        )


@pytest.mark.parametrize(
    ("engine", "sentence"),
    [
        (lambda: Truncated(0), "^window must be above 0, not 0"),
        (lambda: Truncated(2, "lsat"), '^window_at: no place called "lsat"; did you mean "last"'),
        (lambda: Truncated(grow_over=0), "^grow_over must be above 0, not 0"),
        (lambda: Recompute(every=-1), "^every must be above 0, not -1"),
    ],
)
def test_an_engine_with_impossible_values_is_refused(engine: Callable, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        engine()


def test_infinite_numbers_are_refused() -> None:
    for name in ("lr", "minutes", "outer_lr"):
        with pytest.raises(UserError, match=f"{name.replace('_', '-')} must be a finite number, not inf"):
            resolve(image_settings(**{name: float("inf")}))
    with pytest.raises(UserError, match="--ema-decay must be between 0 and 1, not 2"):
        resolve(image_settings(ema_decay=2.0))


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
    with pytest.raises(RunError, match="r was started without --ipc, not 2"):
        resume(image_settings(ipc=2, resume="r"), saved)
    saved_random = identity(resolve(image_settings(n=10, init="random")))
    with pytest.raises(RunError, match="r was started with --init random, not fixed"):
        resume(image_settings(init="fixed", resume="r", given=frozenset(("init", "resume"))), saved_random)
    assert resume(image_settings(init="fixed", resume="r"), saved_random).network.init == "random"
    with pytest.raises(RunError, match=r"damaged: lr is not float \| None"):
        resume(image_settings(resume="r"), saved | {"lr": "fast"})
    with pytest.raises(RunError, match="damaged: n is not int"):
        resume(image_settings(resume="r"), saved | {"n": None, "ipc": 2})
    del saved["lr"]
    with pytest.raises(RunError, match="of another version"):
        resume(image_settings(resume="r"), saved)


def test_a_resumed_run_keeps_the_options_of_its_method_and_engine() -> None:
    saved = identity(
        resolve(image_settings(engine="truncated", engine_options={"window": 4, "grow_over": 9}))
    )
    assert resume(image_settings(resume="r", engine_options={"window": 4}), saved).inner.engine_options == {
        "window": 4,
        "grow_over": 9,
    }
    with pytest.raises(RunError, match="r was started with --window 4, not 5"):
        resume(image_settings(resume="r", engine_options={"window": 5}), saved)
    with pytest.raises(RunError, match="r was started without --ridge, not 1.0"):
        resume(image_settings(resume="r", method_options={"ridge": 1.0}), saved)
    with pytest.raises(RunError, match="damaged: engine_options is not"):
        resume(image_settings(resume="r"), saved | {"engine_options": {"window": [4]}})
    with pytest.raises(UserError, match="--window must be above 0, not 0"):
        resume(image_settings(resume="r"), saved | {"engine_options": {"window": 0}})


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


def test_the_time_of_the_run_and_of_distilling_exclude_each_other() -> None:
    for name in ("minutes", "distil_minutes"):
        assert resolve(image_settings(**{name: 2.0})).outer.outer_steps == FOREVER
    with pytest.raises(UserError, match="--minutes and --distil-minutes both limit the time"):
        resolve(image_settings(minutes=2.0, distil_minutes=1.0))


def test_only_images_for_random_networks_are_measured_by_dc_and_fewer_times_where_there_are_more() -> None:
    def count(**values: Any) -> int:
        return resolve(image_settings(**values)).measure.dc_networks

    assert [count(init="random", n=n) for n in (10, 100, 1000)] == [3, 1, 0]
    assert count(init="random", n=10, dc_networks=0) == 0
    assert count(init="fixed", n=10) == 0
    assert count(init="random", n=10, weights="folder") == 0
    text = change_settings(TextSettings(), init="random")
    assert resolve(text).measure.dc_networks == 0


@pytest.mark.parametrize(
    ("values", "is_brief"),
    [
        ({"n": 5, "minutes": 1.0}, True),
        ({"n": 10, "distil_minutes": 0.5}, True),
        ({"n": 5, "minutes": 2.0}, True),
        ({"n": 5, "minutes": 2.1}, False),
        ({"n": 5}, False),
        ({"n": 10, "minutes": 1.0, "batch": 5}, True),
    ],
)
def test_two_minutes_for_known_weights_have_few_inner_steps_and_ggt(values: dict, is_brief: bool) -> None:
    settings = resolve(image_settings(**values))
    long_steps = 12 if values["n"] == 5 else 8
    assert settings.inner.inner_steps == (6 if is_brief else long_steps)
    assert settings.outer.outer_rule == ("ggt" if is_brief else "adam")
    assert settings.outer.start == ("means" if is_brief else "real")
    assert settings.outer.warmup == (20 if is_brief else 200)
    assert settings.inner.lr_profile == ("lenet" if is_brief else "even")


@pytest.mark.parametrize(
    ("network", "minutes", "scale"),
    [("lenet", 1.0, 8.0), ("mlp", 1.0, 8.0), ("convnet", 1.0, None), ("lenet", 9.0, None)],
)
def test_labels_begin_large_where_that_is_measured(network: str, minutes: float, scale: float | None) -> None:
    settings = resolve(image_settings(n=5, minutes=minutes, network=network))
    assert settings.outer.method_options.get("start_scale") == scale


@pytest.mark.parametrize("changes", [{"network": "mlp"}, {"inner_steps": 4}, {"lr_per": "step"}])
def test_other_networks_and_steps_begin_with_even_rates(changes: dict) -> None:
    assert resolve(image_settings(n=5, minutes=1.0, **changes)).inner.lr_profile == "even"


def test_the_quick_start_leaves_trained_networks_alone() -> None:
    trained = resolve(image_settings(n=5, minutes=1.0, weights="networks.pt"))
    assert (trained.outer.start, trained.outer.warmup) == ("real", 200)
