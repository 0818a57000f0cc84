"""Coresets, and the command that compares a distilled set with them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from distill.commands.compare import main
from distill.data.images import load
from distill.errors import UserError
from distill.networks.initial import draw_weights
from distill.randomness import stream
from distill.registry import load as load_entry
from distill.student import CORESETS
from distill.student.comparison import build_draws, choose_networks, format_table
from distill.student.comparison.coresets import label_by_teacher, pick_herding, pick_k_center
from distill.student.training import Student, build_set_network
from tests.helpers import read_json_line, small_set, write_npz


def build_teacher(data) -> Student:
    network = build_set_network(data)
    return Student(network, draw_weights(network, stream("compare")))


def test_herding_approximates_the_mean_better_than_random_items() -> None:
    x = torch.randn(50, 4, generator=stream("herding"))
    indices = pick_herding(x, 10)
    assert len(set(indices.tolist())) == 10
    assert indices[0] == (x - x.mean(dim=0)).norm(dim=1).argmin()
    gap = (x[indices].mean(dim=0) - x.mean(dim=0)).norm()
    assert gap < (x[:10].mean(dim=0) - x.mean(dim=0)).norm() / 3


def test_k_center_starts_in_the_middle_and_covers_the_corners() -> None:
    corners = torch.tensor([[5.0, 5], [5, -5], [-5, 5], [-5, -5]])
    x = torch.cat([0.1 * torch.randn(20, 2, generator=stream("k-center")), corners])
    indices = pick_k_center(x, 5).tolist()
    assert indices[0] < 20
    assert sorted(indices[1:]) == [20, 21, 22, 23]


def test_more_picks_than_items_repeat_items() -> None:
    x = torch.randn(2, 3, generator=stream("few"))
    assert len(pick_herding(x, 3)) == 3
    assert len(pick_k_center(x, 3)) == 3


def test_features_are_the_inputs_of_the_last_matrix() -> None:
    data = small_set()
    teacher = build_teacher(data)
    *_, weight, bias = teacher.state_dict().values()
    torch.testing.assert_close(teacher.features(data.items) @ weight.T + bias, teacher.logits(data.items))


@pytest.mark.parametrize("word", CORESETS)
def test_a_coreset_has_as_many_items_as_the_set_the_classes_in_turn(word: str, tmp_path: Path) -> None:
    data = small_set(n=4)
    train, _ = load(str(write_npz(tmp_path / "blobs.npz")))
    draw = load_entry(CORESETS[word])(data, train, build_teacher(data))
    items, labels = draw(stream("draw"))
    assert items.shape == data.items.shape
    assert labels.sum(dim=0).sort().values.tolist() == [1, 1, 2]
    assert all(torch.equal(a, b) for a, b in zip((items, labels), draw(stream("draw")), strict=True))
    if word == "k-means centres":
        return
    real = train.batch(slice(None))[0].float()
    for item, label in zip(items, labels, strict=True):
        match = (real - item).flatten(1).abs().amax(dim=1) < 1e-6
        assert label.argmax() in train.labels[match]


def test_a_teacher_relabels_and_keeps_the_items(tmp_path: Path) -> None:
    data = small_set()
    train, _ = load(str(write_npz(tmp_path / "blobs.npz")))
    teacher = build_teacher(data)
    draw = build_draws(data, train, teacher)["random real"]
    items, labels = label_by_teacher(draw, teacher)(stream("draw"))
    assert torch.equal(items, draw(stream("draw"))[0])
    torch.testing.assert_close(labels, teacher.logits(items).softmax(dim=1))


def test_the_command_writes_a_row_per_network_and_coreset(tmp_path: Path, capsys) -> None:
    small_set().save(tmp_path / "set.pt")
    data = str(write_npz(tmp_path / "blobs.npz"))
    arguments = [str(tmp_path / "set.pt"), "--dataset", data, "--seeds", "2", "--full-data", "--json"]
    assert main([*arguments, "--networks", "mlp"]) == 0
    output = capsys.readouterr().out
    assert "| distilled |" in output
    rows = json.loads((tmp_path / "compare.json").read_text())["rows"]
    assert read_json_line(output)["rows"] == rows
    assert [r["network"] for r in rows] == ["mlp"] * 10
    assert [r["items"] for r in rows[:10]] == [
        "distilled", "random real", "k-means centres", "herding", "k-center",
        *(f"{items}, teacher labels" for items in ("random real", "k-means centres", "herding", "k-center")),
        "all 270",
    ]  # fmt: skip
    assert all(0 <= r["mean"] <= 1 for r in rows)


def test_too_few_real_items_are_refused(tmp_path: Path, capsys) -> None:
    small_set().save(tmp_path / "set.pt")
    data = str(write_npz(tmp_path / "blobs.npz", train=6))
    assert main([str(tmp_path / "set.pt"), "--dataset", data, "--networks", "mlp"]) == 2
    assert "has 6 training items: at least 10 are needed" in capsys.readouterr().err


def test_the_table_has_items_down_and_networks_across() -> None:
    rows = [
        {"network": n, "items": i, "mean": m, "std": 0.01}
        for n, i, m in [("a", "x", 0.5), ("a", "y", 0.25), ("b", "x", 0.75), ("b", "y", 1.0)]
    ]
    assert format_table(rows, ["a", "b"]).splitlines() == [
        "| items | a | b |",
        "|---|---|---|",
        "| x | 50.0 ± 1.0 | 75.0 ± 1.0 |",
        "| y | 25.0 ± 1.0 | 100.0 ± 1.0 |",
    ]


def test_networks_that_need_larger_items_are_left_out(tmp_path: Path) -> None:
    assert choose_networks(small_set(), ()) == ["convnet", "mlp", "alexcifarnet", "resnet"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--networks", "mpl"], 'did you mean "mlp"'),
        (["--networks", "lenet"], "lenet"),
        (["--seeds", "0"], "--seeds must be above 0"),
        (["--out", "nowhere/compare.json"], "there is no folder nowhere"),
    ],
)
def test_bad_input_is_one_sentence(options: list[str], sentence: str, tmp_path: Path, capsys) -> None:
    small_set().save(tmp_path / "set.pt")
    data = str(write_npz(tmp_path / "blobs.npz"))
    assert main([str(tmp_path / "set.pt"), "--dataset", data, *options]) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("distill: ")
    assert sentence in line
    assert not (tmp_path / "compare.json").exists()


def test_a_set_of_its_maker_s_network_is_refused_before_anything_is_trained(tmp_path: Path, capsys) -> None:
    data = small_set()
    replace(data, network={**data.network, "name": "Sequential"}, init_state=None).save(tmp_path / "set.pt")
    blobs = str(write_npz(tmp_path / "blobs.npz"))
    assert main([str(tmp_path / "set.pt"), "--dataset", blobs, "--networks", "mlp"]) == 2
    error = capsys.readouterr().err
    assert "training the teacher" not in error
    assert "the set is of a network of your own, Sequential" in error


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--networks", "mlp", "set.pt"], "SET is missing: name it before the options"),
        (["set.pt", "--networks"], "--networks: expected at least one argument"),
    ],
)
def test_a_set_behind_a_list_and_an_empty_list_are_said(words: list[str], sentence: str, capsys) -> None:
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    assert sentence in capsys.readouterr().err


def test_a_set_for_a_network_of_one_s_own_is_not_compared_by_name() -> None:
    data = small_set(network={"name": "MyNet", "init": "random", "scheme": "own"})
    with pytest.raises(
        UserError, match=r"a network of your own, MyNet: measure it by distill.student.evaluate"
    ):
        choose_networks(data, ("mlp",))
