"""Measuring: the splits, how long it will take, and that it shows how far it is."""

import pytest

from distill.data.images import load
from distill.errors import DataError, UserError
from distill.inner.problem import Problem
from distill.networks.build import build_network
from distill.networks.initial import draw_weights
from distill.randomness import stream
from distill.runs import measure as measure_module
from distill.runs.estimates import measuring
from distill.runs.estimates.measuring import estimate_seconds
from distill.runs.measure import measure, progress, split_data
from distill.runs.settings import MeasureSettings
from distill.student.comparison.baselines import epochs_on_all
from distill.student.evaluation import evaluate
from distill.student.protocols.standard import DC
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
        estimate_seconds(MeasureSettings(test_networks=n, full_data_networks=0), data, problem, splits)
        for n in (1, 200)
    )
    assert 0 < few < many


def make_splits(tmp_path):
    train, test = load(str(write_npz(tmp_path / "blobs.npz", train=300, test=60)))
    problem = Problem(build_network("mlp", SHAPE, CLASSES, width=16))
    return problem, split_data(train, test, 30, seed=0)


@pytest.mark.parametrize(("pretrained", "seconds"), [(False, 3 * 2 + 3 * (100 + 3)), (True, 3 * 3 + 3 * 103)])
def test_every_known_network_is_part_of_the_estimate(
    pretrained: bool, seconds: float, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem, splits = make_splits(tmp_path)
    weights = [draw_weights(problem.network, stream("known", k), "xavier") for k in range(3)]
    network = {"name": "mlp", "arguments": {"width": 16}, "init": "fixed", "scheme": "xavier"}
    monkeypatch.setattr(measuring, "seconds_of", lambda _: 1.0)
    monkeypatch.setattr(measuring, "estimate_ordinary", lambda *_: 100.0)
    settings = MeasureSettings(test_networks=9, full_data_networks=4, baseline_networks=0, dc_networks=0)
    data = small_set(network=network, init_state=weights)
    assert estimate_seconds(settings, data, problem, splits, pretrained=pretrained) == seconds


def test_networks_by_dc_are_part_of_the_estimate(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    problem, splits = make_splits(tmp_path)
    monkeypatch.setattr(measuring, "estimate_students", lambda *arguments: 1e6 * arguments[4])
    without, with_two = (
        estimate_seconds(
            MeasureSettings(test_networks=1, full_data_networks=0, dc_networks=n),
            small_set(),
            problem,
            splits,
        )
        for n in (0, 2)
    )
    assert without < 1e6
    assert 2e6 < with_two < 3e6


def test_a_set_is_measured_by_its_recipe_and_by_dc(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    problem, splits = make_splits(tmp_path)
    settings = MeasureSettings(test_networks=2, full_data_networks=0, dc_networks=2)
    moments = {"mean": list(splits.train.mean), "std": list(splits.train.std)}
    data = small_set(source={"name": "blobs.npz", "classes": ["0", "1", "2"], **moments})
    monkeypatch.setattr(measure_module, "DC", lambda: DC(epochs=4))
    result = measure(settings, data, problem, splits, "images", "random", pretrained=False)
    entry = result.scores["protocols"]["dc"]
    assert entry["mean"] == evaluate(data, splits.test, seeds=2, protocol=DC(epochs=4)).mean
    assert entry["strongest"] == max(entry["baselines"], key=lambda word: entry["baselines"][word]["mean"])
    assert [report.name for report in result.reports][-3:] == [
        "these 3 distilled images, by dc",
        "3 random real images, by dc (hard labels)",
        "3 k-means centres of images, by dc (hard labels)",
    ]
    assert result.scores["full_data"] is None
    small_set(scores=result.scores)  # a file can hold them


def test_a_set_on_which_dc_cannot_train_is_measured_by_its_recipe(
    tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    problem, splits = make_splits(tmp_path)

    def refuse(*_: object) -> None:
        raise UserError("the loss became nan")

    monkeypatch.setattr(measure_module, "score_students", refuse)
    settings = MeasureSettings(test_networks=1, full_data_networks=1, dc_networks=1)
    monkeypatch.setattr(measure_module, "full_data_accuracy", lambda *_: 0.5)
    scores = measure(settings, small_set(), problem, splits, "images", "random", pretrained=False).scores
    assert "protocols" not in scores
    assert scores["full_data"] == 0.5
    assert "not measured by dc: the loss became nan" in capsys.readouterr().err


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
