"""Scores by a standard protocol: measured beside baselines, and kept in the file of a set."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from distill.commands.student import main
from distill.data.images import load
from distill.errors import SetError, UserError
from distill.kd.teachers import relabel
from distill.sets.distilled import DistilledSet
from distill.sets.storage import read_tensors, write_tensors
from distill.student.evaluation import evaluate
from distill.student.protocol_scores import (
    check_saving,
    describe_scores,
    estimate_students,
    save_scores,
    score_baselines,
)
from distill.student.protocols import build_start
from distill.student.protocols.standard import DC
from distill.student.scores import Report
from distill.student.training import Student, build_set_network, initial_weights
from tests.helpers import as_users_call, read_json_line, small_set, write_npz

ENTRY = {"mean": 0.7, "std": 0.02, "n": 5, "baselines": {"k-means": {"mean": 0.6, "std": 0.01, "n": 5}}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scores")
    write_npz(root / "blobs.npz", train=90, test=30)
    return root


def test_baselines_are_trained_by_the_same_protocol_with_hard_labels(folder: Path) -> None:
    train, test = load(str(folder / "blobs.npz"))
    data = small_set()
    start = build_start(data, None, None, 2)
    seen = list[DistilledSet]()

    class Recorded:
        def train(self, data: DistilledSet, *_: Any) -> Student:
            seen.append(data)
            return Student(start.network, start.weights[0])

    reports = score_baselines(data, Recorded(), start.network, start.weights, train, test)
    assert {word: len(report.scores) for word, report in reports.items()} == {"random-real": 2, "k-means": 2}
    assert len(seen) == 4
    for items in seen:
        assert items.labels.sum(dim=1).tolist() == [1, 1, 1]
        assert set(items.labels.unique().tolist()) == {0, 1}
        assert items.inner["loss"] == "soft-cross-entropy"
    assert not torch.equal(seen[0].items, seen[1].items)


def test_the_entry_names_the_strongest_baseline_and_what_the_labels_became() -> None:
    baselines = {"random-real": Report("", (0.5, 0.6)), "k-means": Report("", (0.7, 0.8))}
    entry = describe_scores(Report("", (0.9, 0.9)), baselines, "mlp", DC(), small_set())
    assert entry["strongest"] == "k-means"
    assert entry["baselines"]["k-means"] == {
        "mean": pytest.approx(0.75),
        "std": pytest.approx(0.0707, abs=1e-4),
        "n": 2,
    }
    assert "softmax(1 · labels)" in entry["targets"]
    small_set(scores={"protocols": {"dc": entry}})  # a file can hold it


def test_more_students_take_longer_and_all_are_counted() -> None:
    data = small_set()
    network = build_set_network(data)
    weights = initial_weights(data, network, "random", 1)[0]
    assert estimate_students(data, DC(), network, weights, 2, test=1e6) == pytest.approx(6e6, rel=0.01)


def test_a_saved_score_is_that_of_the_protocol_and_all_else_in_the_file_stays(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, options = folder / "set.pt", ["--dataset", str(folder / "blobs.npz"), "--seeds", "2", "--json"]
    small_set(scores={"accuracy": {"mean": 0.5, "std": 0.1, "n": 20}}).save(path)
    write_tensors(path, {**read_tensors(path, "cpu"), "later": 3})
    before = read_tensors(path, "cpu")
    assert main([str(path), *options, "--protocol", "dc", "--save-scores"]) == 0
    result, after = read_json_line(capsys.readouterr().out), read_tensors(path, "cpu")
    entry = after["scores"]["protocols"]["dc"]
    assert {name: entry[name] for name in ("mean", "std", "n")} == result["accuracy"]
    assert entry["baselines"] == result["baselines"]
    assert entry["network"] == "mlp"
    assert after["scores"]["accuracy"] == before["scores"]["accuracy"]
    assert after["later"] == 3
    assert torch.equal(after["items"], before["items"])
    data, (_, test) = DistilledSet.load(path), load(str(folder / "blobs.npz"))
    assert evaluate(data, test, seeds=2, protocol="dc").mean == entry["mean"]
    assert f"{100 * entry['mean']:.2f} ± {100 * entry['std']:.2f} % by dc" in repr(data)
    assert main([str(path), *options]) == 0
    assert (
        f"in its file: 50.0 ± 10.0 % by its own recipe; {100 * entry['mean']:.1f} ±"
        in capsys.readouterr().out
    )


def test_two_protocols_stand_beside_each_other_and_one_is_replaced(tmp_path: Path) -> None:
    path, data = tmp_path / "set.pt", small_set()
    data.save(path)
    save_scores(str(path), data, "dc", ENTRY)
    save_scores(str(path), data, "frepo", ENTRY)
    save_scores(str(path), data, "dc", ENTRY | {"mean": 0.8})
    protocols = DistilledSet.load(path).scores["protocols"]
    assert {word: score["mean"] for word, score in protocols.items()} == {"dc": 0.8, "frepo": 0.7}
    small_set(n=4).save(path)
    with pytest.raises(SetError, match="has changed while it was measured"):
        save_scores(str(path), data, "dc", ENTRY)
    assert DistilledSet.load(path).scores == {}


def test_a_score_that_no_reader_takes_is_not_written(tmp_path: Path) -> None:
    path, data = tmp_path / "set.pt", small_set()
    data.save(path)
    with pytest.raises(SetError, match="scores.protocols.dc.mean must be float"):
        save_scores(str(path), data, "dc", ENTRY | {"mean": 7})
    assert DistilledSet.load(path).scores == {}


REFUSED: dict[str, tuple[str, Callable[[], dict[str, Any]]]] = {
    "own settings": ("leave out options that change it", lambda: {"protocol": DC(epochs=3)}),
    "no standard": ("by a standard protocol with its own settings", lambda: {"protocol": object()}),
    "fixed weights": ("keeps scores of new networks: give --init random", lambda: {"init": "fixed"}),
    "other data": ("on the set's own data, blobs.npz, and these are other", lambda: {"name": "other"}),
    "no file": ("there is no folder", lambda: {"path": "/nowhere/set.pt"}),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_kept_is_refused_before_anything_is_trained(
    case: tuple[str, Callable[[], dict[str, Any]]], folder: Path, tmp_path: Path
) -> None:
    sentence, changes = case
    facts = {
        "protocol": DC(),
        "init": "random",
        "name": "blobs.npz",
        "path": str(tmp_path / "x.pt"),
    } | changes()
    data = small_set()
    options = SimpleNamespace(save_scores=True, set=facts["path"])
    real = replace(load(str(folder / "blobs.npz"))[1], name=facts["name"])
    start = build_start(data, None, None, 1)._replace(init=facts["init"])
    check = as_users_call(check_saving)
    with pytest.raises(UserError, match=sentence):
        check(options, data, real, facts["protocol"], start)
    check(SimpleNamespace(save_scores=False), data, real, facts["protocol"], start)


def test_new_labels_drop_the_scores_of_the_old_ones() -> None:
    data = small_set(scores={"protocols": {"dc": ENTRY}, "full_data": 0.9})
    network = build_set_network(data)
    teacher = Student(network, initial_weights(data, network, "random", 1)[0])
    assert relabel(data, teacher).scores == {"full_data": 0.9}


WRONG: dict[str, tuple[Any, str]] = {
    "list": ([], "scores.protocols must be dict"),
    "score": ({"dc": 0.9}, "scores.protocols must be dict"),
    "mean": ({"dc": {"std": 0.0, "n": 1}}, "scores.protocols.dc.mean must be float"),
    "baseline": ({"dc": {**ENTRY, "baselines": {"x": {"mean": 1}}}}, r"dc.baselines.x.std must be float"),
    "strongest": ({"dc": {**ENTRY, "strongest": "x"}}, "dc.strongest is 'x', which is none of its baselines"),
    "network": ({"dc": {**ENTRY, "network": 3}}, "dc.network must be str, not 3"),
}


@pytest.mark.parametrize(("protocols", "sentence"), WRONG.values(), ids=WRONG)
def test_damaged_scores_of_protocols_are_refused(protocols: Any, sentence: str) -> None:
    with pytest.raises(SetError, match=sentence):
        small_set(scores={"protocols": protocols})


def test_files_without_scores_of_protocols_stay_readable() -> None:
    assert small_set(scores={"protocols": None}).scores == {"protocols": None}
    assert replace(small_set(), scores={}).scores == {}
