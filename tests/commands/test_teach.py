"""`distill teach`, `distill relabel` and --teacher, as a user runs them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from distill.commands.relabel import main as relabel
from distill.commands.student import main as measure_student
from distill.commands.teach import main as teach
from distill.kd.network_files import load_weights, read_architecture
from distill.kd.networks import create_network, load_checkpoint
from distill.kd.teachers import WithTeacher, append_logits, load_teacher
from distill.kd.teachers import relabel as relabel_set
from distill.networks.build import build_network
from distill.networks.initial import draw_weights
from distill.randomness import stream
from distill.sets.distilled import DistilledSet
from distill.student.training import build_problem, initial_weights, replay
from tests.helpers import CLASSES, SHAPE, read_json_line, run_module, small_set, write_npz
from tests.recipes import CE, NET, build_raw_recipe, kd, write_recipe

SCORES = {"accuracy": {"mean": 0.5, "std": 0.1, "n": 20, "split": "test", "weights": "held-out"}}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A distilled set of three generated classes, its data, and a network trained on them by a recipe."""
    data = write_npz(tmp_path / "blobs.npz")
    raw_recipe = build_raw_recipe(
        tmp_path, {"full": {"name": "mlp", "width": 16}}, [{"turns": {"full": [CE]}, "epochs": 4}]
    )
    assert teach([str(write_recipe(tmp_path, raw_recipe)), "--out", str(tmp_path / "full")]) == 0
    small_set(scores=SCORES).save(tmp_path / "set.pt")
    return {"set": tmp_path / "set.pt", "data": data, "full": tmp_path / "full" / "full.pt"}


def test_a_recipe_file_gives_scores_and_network_files(tmp_path: Path) -> None:
    networks = {"teacher": {"name": "mlp", "width": 16}, "student": NET}
    stages = [{"turns": {"teacher": [CE]}, "epochs": 4}, {"turns": {"student": kd("teacher")}, "epochs": 8}]
    path, out = write_recipe(tmp_path, build_raw_recipe(tmp_path, networks, stages)), tmp_path / "out"
    result = run_module("distill", "teach", path, "--out", out, "--set", "seed=2", "--json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    line = read_json_line(result.stdout)
    scores = json.loads((out / "scores.json").read_text())
    assert line["networks"] == scores["networks"]
    assert scores["networks"]["student"]["accuracy"] > 0.8
    assert f"student  {100 * scores['networks']['student']['accuracy']:.2f} %" in result.stdout
    resolved = yaml.safe_load((out / "recipe.yaml").read_text())
    assert (resolved["seed"], resolved["stages"][1]["lr"]) == (2, 0.01)
    assert sorted(p.name for p in out.iterdir()) == [
        "log.jsonl", "predictions.npz", "recipe.yaml", "report.html", "scores.json", "student.pt",
        "teacher.pt",
    ]  # fmt: skip
    assert read_architecture(str(out / "student.pt")) is not None
    second_result = run_module("distill", "teach", path, "--out", out, cwd=tmp_path)
    assert second_result.returncode == 2
    assert "holds another run: give --overwrite" in second_result.stderr


def test_the_resolved_recipe_runs_to_the_same_scores(tmp_path: Path) -> None:
    raw_recipe = build_raw_recipe(tmp_path, {"a": NET}, [{"turns": {"a": [CE]}}])
    path = write_recipe(tmp_path, raw_recipe)
    assert teach([str(path), "--set", "seed=3", "--out", str(tmp_path / "one")]) == 0
    assert teach([str(tmp_path / "one" / "recipe.yaml"), "--out", str(tmp_path / "two")]) == 0
    first_scores, second_scores = (
        json.loads((tmp_path / name / "scores.json").read_text()) for name in ("one", "two")
    )
    assert first_scores["networks"] == second_scores["networks"]
    first, second = (
        torch.load(tmp_path / name / "a.pt", weights_only=True)["state"] for name in ("one", "two")
    )
    assert all(torch.equal(first[k], second[k]) for k in first)


def test_relabelling_gives_the_teacher_s_softened_answers(files: dict[str, Path]) -> None:
    out = files["set"].with_name("new.pt")
    arguments = [str(files["set"]), "--teacher", str(files["full"]), "--dataset", str(files["data"])]
    assert relabel([*arguments, "--tau", "2", "--seeds", "2", "--out", str(out)]) == 0
    before, after = DistilledSet.load(files["set"]), DistilledSet.load(out)
    logits = load_teacher(str(files["full"]), before).logits(before.items)
    torch.testing.assert_close(after.labels, (logits / 2).softmax(dim=1))
    assert torch.equal(after.items, before.items)
    assert after.scores["accuracy"]["n"] == 2
    assert after.scores["accuracy"]["mean"] != before.scores["accuracy"]["mean"]
    assert "relabel --teacher full.pt --tau 2" in after.provenance["relabelled"]


def test_a_teacher_beside_the_set_s_own_labels(
    files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(files["set"]), "--dataset", str(files["data"]), "--seeds", "2", "--json"]
    assert measure_student([*arguments, "--teacher", str(files["full"]), "--kd", "hinton"]) == 0
    result = read_json_line(capsys.readouterr().out)
    assert result["with_teacher"]["n"] == result["accuracy"]["n"] == 2
    assert result["with_teacher"]["mean"] != result["accuracy"]["mean"]


@pytest.mark.parametrize("loss", ["hinton", "weighted"])
def test_a_share_of_zero_uses_only_the_set_s_own_labels(loss: str, files: dict[str, Path]) -> None:
    data = DistilledSet.load(files["set"])
    teacher, problem = load_teacher(str(files["full"]), data), build_problem(data)
    weights = initial_weights(data, problem.network, "random", 1)[0]
    zero_share, large_share = (
        WithTeacher(teacher, loss, 4.0, share).train(data, problem.network, weights, stream("unused"))
        for share in (0.0, 0.9)
    )
    alone = replay(data, problem, weights).state_dict()
    torch.testing.assert_close(zero_share.state_dict(), alone)
    assert any(not torch.allclose(large_share.state_dict()[name], w) for name, w in alone.items())


def test_at_temperature_one_a_share_of_one_equals_a_relabelled_set(files: dict[str, Path]) -> None:
    """The gradient of τ² KL at τ = 1 is that of the soft cross-entropy to the teacher's probabilities."""
    data = DistilledSet.load(files["set"])
    teacher, problem = load_teacher(str(files["full"]), data), build_problem(data)
    weights = initial_weights(data, problem.network, "random", 1)[0]
    relabelled = replay(relabel_set(data, teacher, 1.0), problem, weights)
    shared = WithTeacher(teacher, "hinton", 1.0, 1.0).share_loss(problem)
    distilled = replay(append_logits(data, teacher), shared, weights)
    torch.testing.assert_close(distilled.state_dict(), relabelled.state_dict())


BAD = [
    (["--tau", "0"], "--tau must be above 0, not 0"),
    (["--share", "1.5"], "--share must be between 0 and 1, not 1.5"),
    (["--kd", "hinten"], '--kd: no loss called "hinten"; did you mean "hinton"?'),
    (["--optimizer", "Adam"], "--teacher has no effect beside --optimizer: leave one of them out"),
    (["--teacher-network", "lenet", "--teacher", "BARE"], "too small for the network"),
    (
        ["--teacher-network", "resnt", "--teacher", "BARE"],
        'no network called "resnt"; did you mean "resnet"?',
    ),
    (["--teacher", "gone.pt"], "gone.pt cannot be read (No such file or directory)"),
    (["--teacher", "JUNK"], "is not a file of weights, or is damaged: torch.save(network.state_dict()"),
    (
        ["--teacher", "OTHER"],
        "the weights of another network: its 1.weight is 8×64, the network's 16×64",
    ),
    (["--teacher", "CLASSES"], "holds the weights of another network: its 5.weight is 4×16"),
]


@pytest.mark.parametrize(("options", "message"), BAD, ids=[m for _, m in BAD])
def test_a_teacher_that_does_not_fit_is_refused(
    options: list[str],
    message: str,
    files: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def draw_mlp_weights(classes: int, width: int) -> dict[str, torch.Tensor]:
        return draw_weights(build_network("mlp", SHAPE, classes, width=width), stream("bare"))

    torch.save(draw_mlp_weights(CLASSES, 16), tmp_path / "BARE")
    torch.save(draw_mlp_weights(CLASSES, 8), tmp_path / "OTHER")
    torch.save(draw_mlp_weights(4, 16), tmp_path / "CLASSES")
    (tmp_path / "JUNK").write_bytes(b"not torch")
    options = [str(tmp_path / w) if w.isupper() else w for w in options]
    arguments = [
        str(files["set"]),
        "--dataset",
        str(files["data"]),
        "--teacher",
        str(files["full"]),
        "--seeds",
        "1",
    ]
    assert measure_student([*arguments, *options]) == 2
    assert message in capsys.readouterr().err.strip().split("\n")[-1]


@pytest.mark.parametrize(
    ("out", "sentence"),
    [("set.pt", "would replace what is read from"), ("nowhere/new.pt", "there is no folder")],
)
def test_relabel_never_overwrites_the_set_or_writes_into_a_missing_folder(
    out: str, sentence: str, files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    before, path = files["set"].read_bytes(), files["set"].parent / out
    arguments = [str(files["set"]), "--dataset", str(files["data"]), "--teacher", str(files["full"])]
    assert relabel([*arguments, "--out", str(path)]) == 2
    assert sentence in capsys.readouterr().err
    assert files["set"].read_bytes() == before


@pytest.mark.parametrize("content", [{}, {"state": 3}, {"state": {"a": 1}, "network": {"width": 2}}])
def test_a_network_file_without_its_tensors_is_refused(
    content: dict[str, Any], files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"format": "distill-network/1", **content}, tmp_path / "odd.pt")
    arguments = [str(files["set"]), "--dataset", str(files["data"]), "--teacher", str(tmp_path / "odd.pt")]
    assert measure_student(arguments) == 2
    assert "odd.pt is not a state dict: it must hold tensors by name" in capsys.readouterr().err


def test_a_teacher_that_does_not_train_is_in_evaluation_mode() -> None:
    architecture = {"name": "torchvision/shufflenet_v2_x0_5"}
    assert not create_network("a", architecture, SHAPE, CLASSES, (0, 0), "cpu").student.training


def test_relabel_without_a_teacher_is_refused(
    files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert relabel([str(files["set"]), "--dataset", str(files["data"])]) == 2
    assert "--teacher FILE.pt is missing" in capsys.readouterr().err


def test_a_state_dict_and_a_network_file_load_the_same_weights(tmp_path: Path) -> None:
    architecture = {"name": "mlp", "width": 4}
    network, second = (create_network("a", architecture, SHAPE, CLASSES, (0, k), "cpu") for k in (0, 1))
    weights = network.student.state_dict()
    network.save(str(tmp_path / "network.pt"))
    torch.save(weights, tmp_path / "bare.pt")
    for name in ("network.pt", "bare.pt"):
        loaded = load_weights(str(tmp_path / name), second.module, second.student.state_dict())
        assert all(torch.equal(loaded[k], w) for k, w in weights.items())
    assert not torch.equal(second.student.state_dict()["1.weight"], weights["1.weight"])


def test_a_torchvision_model_learns_grey_images_as_a_teacher(tmp_path: Path) -> None:
    networks = {"teacher": {"name": "torchvision/squeezenet1_1"}, "student": NET}
    stages = [{"turns": {"teacher": [CE]}, "train": 32}, {"turns": {"student": kd("teacher")}, "train": 32}]
    path = write_recipe(tmp_path, build_raw_recipe(tmp_path, networks, stages))
    assert teach([str(path), "--out", str(tmp_path / "out")]) == 0
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())["networks"]
    assert 0 <= scores["teacher"]["accuracy"] <= 1
    architecture = torch.load(tmp_path / "out" / "teacher.pt", weights_only=True)["network"]
    assert architecture["name"] == "torchvision/squeezenet1_1"


def test_the_buffers_of_batch_norms_are_saved_and_loaded(tmp_path: Path) -> None:
    networks = {"teacher": {"name": "torchvision/shufflenet_v2_x0_5"}}
    path = write_recipe(
        tmp_path,
        build_raw_recipe(tmp_path, networks, [{"turns": {"teacher": [CE]}, "train": 32, "batch": 16}]),
    )
    assert teach([str(path), "--out", str(tmp_path / "out")]) == 0
    architecture, x = {"name": "torchvision/shufflenet_v2_x0_5"}, torch.zeros(2, *SHAPE)
    first, second = (create_network("a", architecture, SHAPE, CLASSES, (0, k), "cpu") for k in (1, 2))
    load_checkpoint(first, str(tmp_path / "out" / "teacher.pt"))
    state = torch.load(tmp_path / "out" / "teacher.pt", weights_only=True)["state"]
    mean = "body.conv1.1.running_mean"
    assert torch.equal(dict(first.module.named_buffers())[mean], state[mean])
    assert float(state[mean].abs().max()) > 0
    torchvision_state = {
        name.removeprefix("body."): w for name, w in state.items()
    }  # as torchvision's own state dict
    torch.save(torchvision_state, tmp_path / "bare.pt")
    load_checkpoint(second, str(tmp_path / "bare.pt"))
    torch.testing.assert_close(first.student.logits(x), second.student.logits(x))


def test_a_folder_that_cannot_be_written_is_refused_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_recipe(tmp_path, build_raw_recipe(tmp_path, {"a": NET}, [{"turns": {"a": [CE]}}]))
    monkeypatch.setattr("distill.runs.recipes.job.run_recipe", lambda *_: pytest.fail("trained first"))
    (tmp_path / "file").touch()
    assert teach([str(path), "--out", str(tmp_path / "file")]) == 2
    assert "file cannot be written (File exists): choose another --out" in capsys.readouterr().err
