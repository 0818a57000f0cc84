"""Sets for networks that are trained already: adapted to other data, or poisoned, in one gradient step."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import distill.applications.poison as poisoning
from distill.applications.settings import PoisonSettings
from distill.commands.adapt import main as adapt
from distill.commands.poison import main as poison
from distill.commands.student import main as study
from distill.data.images import load
from distill.sets.distilled import DistilledSet
from tests.helpers import small_set, write_npz

SMALL = [
    "--network", "mlp", "--width", "16", "--network-steps", "40", "--outer-batch", "64", "--held-out", "50",
    "--n", "3", "--outer-steps", "150", "--validate-every", "50",
]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """blobs.npz, and turned.npz: smaller images of the same classes, each bright where another was."""
    root = tmp_path_factory.mktemp("applications")
    arrays = dict(np.load(write_npz(root / "blobs.npz", train=600, test=120, size=12)))
    for part in ("train", "test"):
        small = arrays[f"x_{part}"][:, ::2, ::2]
        arrays[f"x_{part}"] = np.roll(small, 2, axis=2)
    np.savez(root / "turned.npz", **arrays)
    return root


@pytest.fixture(autouse=True)
def without_full_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training on all real data takes longest, and other tests look at it."""
    monkeypatch.setattr("distill.runs.measure.full_data_accuracy", lambda *_: 1.0)


def facts(capsys: pytest.CaptureFixture[str]) -> dict:
    found: dict = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


def adapted(place: Path, out: str, *more: str) -> list[str]:
    names = ["--source", str(place / "blobs.npz"), "--target", str(place / "turned.npz")]
    return [*names, *SMALL, "--out", str(place / out), "--json", *more]


def test_one_step_on_three_images_adapts_a_network_that_was_wrong(place: Path, capsys) -> None:
    assert adapt(adapted(place, "adapted")) == 0
    found = facts(capsys)
    assert found["baselines"]["before"]["mean"] < 0.2
    assert found["accuracy"]["mean"] > 0.9
    data = DistilledSet.load(found["path"])
    assert len(data.lrs) == 1
    assert (data.items.shape, data.source["size"]) == ((3, 1, 12, 12), 12)
    assert study([found["path"], "--json"]) == 0
    assert facts(capsys)["accuracy"] == {k: found["accuracy"][k] for k in ("mean", "std", "n")}


def test_networks_never_seen_are_adapted_and_carried(place: Path, capsys) -> None:
    more = ("--init", "random", "--test-networks", "2", "--pool", "3", "--outer-steps", "300")
    assert adapt(adapted(place, "unseen", *more)) == 0
    found = facts(capsys)
    assert (found["accuracy"]["n"], found["accuracy"]["weights"]) == (2, "held-out")
    assert found["accuracy"]["mean"] > found["baselines"]["before"]["mean"] + 0.5
    carried = DistilledSet.load(found["path"]).init_state
    assert [len(carried), len({float(w["1.weight"].sum()) for w in carried})] == [2, 2]
    files = next(p for p in (place / "networks").iterdir() if len(list(p.iterdir())) == 2 + 2 + 3)
    kept = {p.name: p.stat().st_mtime_ns for p in files.iterdir()}
    assert adapt([*adapted(place, "unseen", *more), "--overwrite", "--outer-steps", "1"]) == 0
    assert {p.name: p.stat().st_mtime_ns for p in files.iterdir()} == kept


def test_poisoned_networks_mistake_one_class_and_no_other(place: Path, capsys) -> None:
    words = ["--dataset", str(place / "blobs.npz"), *SMALL, "--attacked", "2", "--target", "0"]
    assert poison([*words, "--out", str(place / "poisoned"), "--json"]) == 0
    found = facts(capsys)["attack"]
    assert found["before"]["attacked"]["mean"] < 0.1
    assert found["distilled"]["attacked"]["mean"] > 0.9
    assert found["distilled"]["others"]["mean"] > 0.9
    path = place / "poisoned" / "set.pt"
    assert DistilledSet.load(path).scores["attack"] == found
    path.unlink()
    assert poison(["--resume", str(path.parent), "--json"]) == 0  # a stopped one goes on
    assert facts(capsys)["attack"] == found
    assert study([str(path), "--json"]) == 0
    third = facts(capsys)["accuracy"]["mean"]  # by the true labels the attacked third is wrong
    assert third == pytest.approx(found["distilled"]["others"]["mean"] * 2 / 3, abs=0.04)


def test_relabelling_moves_one_class_and_nothing_else(place: Path) -> None:
    train, _ = load(str(place / "blobs.npz"))
    moved = train.relabel(2, 0)
    assert torch.equal(moved.labels, torch.tensor([0, 1, 0])[train.labels])
    assert moved.items is train.items


def test_images_are_resized_as_asked_and_stay_what_they_are_at_their_own_size(place: Path) -> None:
    same, larger = (load(str(place / "turned.npz"), size=size)[0] for size in (6, 12))
    assert same.items.dtype == torch.uint8
    assert larger.shape == (1, 12, 12)
    assert larger.mean == pytest.approx(same.mean, rel=0.02)
    assert 0 <= float(larger.items.min()) <= float(larger.items.max()) <= 1


@pytest.mark.parametrize(
    ("job", "words", "sentence"),
    [
        (poison, ["--attacked", "9"], 'no class called "9"'),
        (poison, ["--attacked", "1", "--target", "1"], "name two classes"),
        (poison, ["--start", "real"], "a poison starts as noise"),
        (poison, ["--pool", "0"], "--pool must be above 0, not 0"),
        (poison, ["--weights", "nowhere.pt"], "nowhere.pt cannot be read (No such file or directory)"),
        (poison, ["--weights", "empty"], "empty holds 0 networks (*.pt), and 1 are needed"),
        (poison, ["--weights", "set.pt"], "set.pt is not a state dict"),
        (poison, ["--weights", "other.pt"], "other.pt holds the weights of another network"),
        (
            poison,
            ["--weights", "other.pt", "--init", "random"],
            "other.pt holds 1 networks (*.pt), and 7 are needed",
        ),
        (adapt, ["--source", "nowhere.npz"], "nowhere.npz: no such file"),
        (adapt, ["--source", "mnist"], "adapt between sets with the same channels and classes"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    job, words: list[str], sentence: str, place: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    small_set().save("set.pt")
    torch.save({"weight": torch.zeros(2)}, "other.pt")
    Path("empty").mkdir()
    data = ["--target" if job is adapt else "--dataset", str(place / "blobs.npz")]
    pair = ["--attacked", "0", "--target", "1"] if job is poison else []
    assert job([*data, *pair, *SMALL, "--out", "run", *words]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("distill: ")
    assert sentence in said
    assert {p.name for p in tmp_path.iterdir()} == {"set.pt", "other.pt", "empty"}


def test_a_process_that_is_not_the_first_measures_no_attack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distill.applications.poison.distil", lambda *_: {})
    monkeypatch.setattr("distill.applications.poison.prepare_poison", lambda settings: settings)
    assert poisoning.poison(PoisonSettings(), []) == {}
