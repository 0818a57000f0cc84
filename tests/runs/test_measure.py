"""Measuring: the splits, how long it will take, and that it shows how far it is."""

import pytest

from distill.data.images import load
from distill.errors import DataError
from distill.inner.problem import Problem
from distill.networks.build import build_network
from distill.randomness import stream
from distill.runs.measure import estimate_seconds, progress, split_data
from distill.runs.settings import MeasureSettings
from distill.student.comparison.baselines import epochs_on_all
from tests.helpers import CLASSES, SHAPE, small_set, write_npz


def test_measuring_prints_how_far_it_is_where_no_terminal_is(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(3, every=0.0) as advance:
        assert list(advance("ab")) == ["a", "b"]
        assert list(advance("c")) == ["c"]
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"measured {k} of 3 networks and baselines" for k in (1, 2, 3)]
    with progress(3) as advance:
        list(advance("abc"))
    assert capsys.readouterr().err == ""


def test_more_networks_are_estimated_to_take_longer(tmp_path) -> None:
    train, test = load(str(write_npz(tmp_path / "blobs.npz", train=300, test=60)))
    problem = Problem(build_network("mlp", SHAPE, CLASSES, width=16))
    splits, data = split_data(train, test, 30, seed=0), small_set()
    few, many = (
        estimate_seconds(MeasureSettings(test_networks=n, full_data_networks=1), data, problem, splits)
        for n in (1, 200)
    )
    assert 0 < few < many


def test_the_held_out_items_are_a_tenth_at_most_and_none_of_the_others(tmp_path) -> None:
    train, test = load(str(write_npz(tmp_path / "blobs.npz", train=300, test=60)))
    splits = split_data(train, test, 5000, seed=0)
    assert [len(split) for split in splits] == [270, 30, 60]
    with pytest.raises(DataError, match="has 9 training items: at least 10 are needed"):
        split_data(train.split(9, stream("few"))[1], test, 5, seed=0)


def test_a_large_data_set_is_estimated_by_whole_epochs() -> None:
    assert epochs_on_all(55_000) == [2, 4]
    assert epochs_on_all(300_000) == [2, 4]  # more steps, not fewer epochs
    assert epochs_on_all(1_000) == [77, 218]
