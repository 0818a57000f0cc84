"""Sets for networks that are trained already: adapted to other data, or poisoned, in one gradient step."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import distill.applications.poison as poisoning
from distill.applications.settings import AdaptSettings, PoisonSettings
from distill.commands.adapt import main as adapt
from distill.commands.poison import main as poison
from distill.commands.student import main as measure_student
from distill.data.images import load
from distill.runs.files.log import Log, read_log
from distill.runs.resolve import resolve
from distill.runs.settings import ImageSettings
from distill.sets.distilled import DistilledSet
from tests.helpers import change_settings, read_json_line, small_set, write_npz

TRAINED = [
    "--network", "mlp", "--width", "16", "--outer-batch", "64", "--held-out", "50",
    "--n", "3", "--outer-steps", "150", "--validate-every", "50",
]  # fmt: skip
SMALL = [*TRAINED, "--network-steps", "40"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """blobs.npz, and turned.npz: smaller images of the same classes, bright in the third of another class."""
    root = tmp_path_factory.mktemp("applications")
    arrays = dict(np.load(write_npz(root / "blobs.npz", train=600, test=120, size=12)))
    for part in ("train", "test"):
        small = arrays[f"x_{part}"][:, ::2, ::2]
        arrays[f"x_{part}"] = np.roll(small, 2, axis=2)
    np.savez(root / "turned.npz", **arrays)
    return root


@pytest.fixture(autouse=True)
def without_full_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training on all real data takes longest; other tests cover it."""
    monkeypatch.setattr("distill.runs.measure.full_data_accuracy", lambda *_: 1.0)


def press_ctrl_c() -> None:
    raise KeyboardInterrupt


def read_result(capsys: pytest.CaptureFixture[str]) -> dict:
    return read_json_line(capsys.readouterr().out)


def list_adapt_arguments(folder: Path, out: str, *options: str) -> list[str]:
    names = ["--source", str(folder / "blobs.npz"), "--target", str(folder / "turned.npz")]
    return [*names, *SMALL, "--out", str(folder / out), "--json", *options]


def test_one_step_on_three_images_adapts_a_network_to_the_target(folder: Path, capsys) -> None:
    assert adapt(list_adapt_arguments(folder, "adapted")) == 0
    result = read_result(capsys)
    assert result["baselines"]["before"]["mean"] < 0.2
    assert result["accuracy"]["mean"] > 0.9
    data = DistilledSet.load(result["path"])
    assert len(data.lrs) == 1
    assert (data.items.shape, data.source["size"]) == ((3, 1, 12, 12), 12)
    assert measure_student([result["path"], "--json"]) == 0
    assert read_result(capsys)["accuracy"] == {k: result["accuracy"][k] for k in ("mean", "std", "n")}


def test_new_networks_are_adapted_and_their_weights_saved_in_the_set(folder: Path, capsys) -> None:
    options = ("--init", "random", "--test-networks", "2", "--pool", "3", "--outer-steps", "300")
    assert adapt(list_adapt_arguments(folder, "unseen", *options)) == 0
    result = read_result(capsys)
    assert (result["accuracy"]["n"], result["accuracy"]["weights"]) == (2, "held-out")
    assert result["accuracy"]["mean"] > result["baselines"]["before"]["mean"] + 0.5
    init_state = DistilledSet.load(result["path"]).init_state
    assert [len(init_state), len({float(w["1.weight"].sum()) for w in init_state})] == [2, 2]
    files = next(p for p in (folder / "networks").iterdir() if len(list(p.iterdir())) == 2 + 2 + 3)
    write_times = {p.name: p.stat().st_mtime_ns for p in files.iterdir()}
    assert (
        adapt([*list_adapt_arguments(folder, "unseen", *options), "--overwrite", "--outer-steps", "1"]) == 0
    )
    assert {p.name: p.stat().st_mtime_ns for p in files.iterdir()} == write_times


@pytest.mark.parametrize("network", ["lenet", "convnet"])
@pytest.mark.parametrize("settings_type", [AdaptSettings, PoisonSettings, ImageSettings])
def test_a_set_for_trained_networks_is_learned_by_unrolling(settings_type: type, network: str) -> None:
    values = {"network": network, "dataset": "usps", "init": "random"}
    weights = {"weights": "networks"} if settings_type is ImageSettings else {}
    settings = resolve(change_settings(settings_type(), **values, **weights))
    assert settings.outer.method == "unroll"


def test_poisoned_networks_misclassify_one_class_and_no_other(folder: Path, capsys) -> None:
    arguments = ["--dataset", str(folder / "blobs.npz"), *SMALL, "--attacked", "2", "--target", "0"]
    assert poison([*arguments, "--out", str(folder / "poisoned"), "--json"]) == 0
    result = read_result(capsys)["attack"]
    assert result["before"]["attacked"]["mean"] < 0.1
    assert result["distilled"]["attacked"]["mean"] > 0.9
    assert result["distilled"]["others"]["mean"] > 0.9
    path = folder / "poisoned" / "set.pt"
    assert DistilledSet.load(path).scores["attack"] == result
    path.unlink()
    config = json.loads((path.parent / "config.json").read_text())
    del config["fixed_items"], config["skip_damaged"]  # as in runs of older versions
    (path.parent / "config.json").write_text(json.dumps(config))
    assert poison(["--resume", str(path.parent), "--json"]) == 0  # a stopped run is resumed
    assert read_result(capsys)["attack"] == result
    assert measure_student([str(path), "--json"]) == 0
    accuracy = read_result(capsys)["accuracy"]["mean"]  # by the true labels the attacked third is wrong
    assert accuracy == pytest.approx(result["distilled"]["others"]["mean"] * 2 / 3, abs=0.04)


@pytest.mark.parametrize("job", [adapt, poison])
def test_a_run_that_torchrun_starts_again_goes_on_and_trains_no_networks(
    job, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    blobs = str(folder / "blobs.npz")
    data = ["--source", blobs, "--target", str(folder / "turned.npz"), "--network-steps", "3", "--json"]
    if job is poison:
        data = ["--dataset", blobs, "--attacked", "2", "--target", "0", *data[4:]]
    line = [*data, *TRAINED, "--outer-steps", "6", "--validate-every", "2", "--baseline-networks", "0"]
    add = Log.add
    with monkeypatch.context() as patch:
        patch.setattr(Log, "add", lambda log, r: press_ctrl_c() if r["step"] == 4 else add(log, r))
        assert job([*line, "--out", str(tmp_path / "run")]) == 2
    capsys.readouterr()
    assert job([*line, "--out", str(tmp_path / "run")]) == 2  # not by itself
    assert "another run" in capsys.readouterr().err
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    for module in ("adapt", "poison"):
        monkeypatch.setattr(
            f"distill.applications.{module}.train_networks", lambda *_: pytest.fail("trained")
        )
    assert job([*line, "--out", str(tmp_path / "run")]) == 0
    assert "started again by torchrun" in capsys.readouterr().err
    assert [record["step"] for record in read_log(tmp_path / "run")] == [1, 2, 3, 4, 5, 6]


def test_relabelling_changes_one_class_and_nothing_else(folder: Path) -> None:
    train, _ = load(str(folder / "blobs.npz"))
    relabelled_data = train.relabel(2, 0)
    assert torch.equal(relabelled_data.labels, torch.tensor([0, 1, 0])[train.labels])
    assert relabelled_data.items is train.items


def test_images_are_resized_as_asked_and_unchanged_at_their_own_size(folder: Path) -> None:
    original, larger = (load(str(folder / "turned.npz"), size=size)[0] for size in (6, 12))
    assert original.items.dtype == torch.uint8
    assert larger.shape == (1, 12, 12)
    assert larger.mean == pytest.approx(original.mean, rel=0.02)
    assert 0 <= float(larger.items.min()) <= float(larger.items.max()) <= 1


@pytest.mark.parametrize(
    ("job", "options", "sentence"),
    [
        (poison, ["--attacked", "9"], 'no class called "9"'),
        (poison, ["--attacked", "1", "--target", "1"], "name two classes"),
        (poison, ["--start", "real"], "a poison starts as noise"),
        (poison, ["--method", "dc", "--n", "2"], "--n 2 is below the 3 classes"),
        (poison, ["--start", "set.pt", "--n", "2"], "set.pt holds items"),
        (adapt, ["--method", "dm", "--n", "2"], "--n 2 is below the 3 classes"),
        (adapt, ["--start", "set.pt", "--n", "2"], "set.pt holds items"),
        (poison, ["--pool", "3"], "--pool has no effect without --init random"),
        (adapt, ["--target", ""], "--target is empty: give a value, or leave it out"),
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
    job, options: list[str], sentence: str, folder: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    small_set().save("set.pt")
    torch.save({"weight": torch.zeros(2)}, "other.pt")
    Path("empty").mkdir()
    blobs = str(folder / "blobs.npz")
    data = ["--target", blobs, "--source", blobs] if job is adapt else ["--dataset", blobs]
    monkeypatch.setattr("distill.applications.pretrained.train_student", lambda *_: pytest.fail("trained"))
    pair = ["--attacked", "0", "--target", "1"] if job is poison else []
    common = TRAINED if "--weights" in options else SMALL
    assert job([*data, *pair, *common, "--out", "run", *options]) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("distill: ")
    assert sentence in message
    assert {p.name for p in tmp_path.iterdir()} == {"set.pt", "other.pt", "empty"}


@pytest.mark.parametrize(
    ("job", "options"),
    [
        (adapt, ["--source", "mnist"]),
        (adapt, ["--source-dir", "data"]),
        (adapt, ["--network-steps", "9"]),
        (poison, ["--network-steps", "9"]),
        (poison, ["--init", "random", "--pool", "3"]),
    ],
)
def test_options_of_a_training_are_refused_where_networks_are_given(
    job, options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    assert job(["--weights", "networks", *options]) == 2
    sentence = f"distill: {options[-2]} has no effect beside --weights: leave one of them out\n"
    assert capsys.readouterr().err.endswith(sentence)
    assert not list(tmp_path.iterdir())


def test_a_process_that_is_not_the_first_measures_no_attack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distill.applications.poison.distil", lambda *_: {})
    monkeypatch.setattr("distill.applications.poison.prepare_poison", lambda settings: settings)
    assert poisoning.poison(PoisonSettings(), []) == {}
