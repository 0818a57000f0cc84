"""Settings: defaults from n, words that cannot be meant, and what a resumed run may be asked."""

from dataclasses import asdict, replace

import pytest

from distill.errors import RunError, UserError
from distill.inner.engines.base import Engine
from distill.inner.problem import Problem
from distill.networks.build import build_network
from distill.runs.build import RULES as RULE_OBJECTS
from distill.runs.build import engine_for
from distill.runs.settings import (
    CHOICES,
    ENGINES,
    RULES,
    Config,
    ImageConfig,
    TextConfig,
    identity,
    resolved,
    resumed,
)

FILES = ("train", "test", "text_column", "label_column", "max_length")


@pytest.mark.parametrize("n", [1, 2, 5, 10, 20, 100, 300])
@pytest.mark.parametrize("init", ["fixed", "random"])
@pytest.mark.parametrize("kind", [ImageConfig, TextConfig])
def test_the_dial_fills_everything_in(kind: type[Config], n: int, init: str) -> None:
    config = resolved(kind(n=n, init=init))
    empty = {name for name, value in asdict(config).items() if value is None}
    own = {"image_size"} if kind is ImageConfig else set(FILES)
    assert empty == {"data_dir", "depth", "width", "weights", "grow", "minutes", "resume"} | own
    assert n % config.batch == 0
    assert resolved(config) == config


def test_what_is_given_is_kept() -> None:
    config = resolved(ImageConfig(inner_steps=3, rule="adam", lr=0.5, outer_steps=7, out="x", batch=1))
    assert (config.inner_steps, config.rule, config.lr, config.outer_steps, config.out) == (
        3,
        "adam",
        0.5,
        7,
        "x",
    )


@pytest.mark.parametrize("name", CHOICES)
def test_a_misspelt_word_gets_the_nearest(name: str) -> None:
    word = CHOICES[name][0]
    with pytest.raises(UserError, match=f'did you mean "{word}"'):
        resolved(replace(ImageConfig(), **{name: word + "x"}))


@pytest.mark.parametrize(
    ("name", "value"), [("n", 0), ("n", -3), ("lr", 0.0), ("minutes", -1.0), ("outer_steps", 0)]
)
def test_a_number_that_is_not_above_zero_is_refused(name: str, value: float) -> None:
    with pytest.raises(UserError, match=f"--{name.replace('_', '-')} must be above 0, not {value:g}"):
        resolved(replace(ImageConfig(), **{name: value}))


def test_a_batch_that_does_not_divide_n_is_refused() -> None:
    with pytest.raises(UserError, match="--batch 3 does not divide --n 10"):
        resolved(ImageConfig(n=10, batch=3))


def test_words_and_objects_agree() -> None:
    assert set(RULE_OBJECTS) == set(RULES)
    problem = Problem(build_network("mlp", (1, 8, 8), 3))
    for word in ENGINES:
        assert isinstance(engine_for(resolved(ImageConfig(engine=word)), problem), Engine)


def test_a_resumed_run_keeps_its_settings_and_takes_new_plumbing() -> None:
    saved = identity(resolved(ImageConfig(n=10, seed=3)))
    config = resumed(ImageConfig(resume="r", json=True, threads=2), saved)
    assert (config.n, config.seed, config.out, config.json, config.threads) == (10, 3, "r", True, 2)
    assert identity(config) == saved
    assert resumed(ImageConfig(n=10, resume="r"), saved).n == 10


def test_a_resumed_run_refuses_other_settings() -> None:
    saved = identity(resolved(ImageConfig(n=10)))
    with pytest.raises(RunError, match="r was started with --n 10, not 20"):
        resumed(ImageConfig(n=20, resume="r"), saved)
    del saved["lr"]
    with pytest.raises(RunError, match="of another version"):
        resumed(ImageConfig(resume="r"), saved)


def test_the_inner_training_grows_from_the_window_to_all_steps() -> None:
    from distill.runs.build import reach

    config = resolved(ImageConfig(n=100, init="random", grow=200))
    assert [reach(config, step) for step in (0, 100, 200, 5000)] == [15, 57, 100, 100]
    assert reach(resolved(ImageConfig(n=100, init="random")), 0) == 100
