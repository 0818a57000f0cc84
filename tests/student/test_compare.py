"""Coresets, and the command that compares a distilled set with them."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from distill.commands.compare import main
from distill.data.images import load
from distill.errors import UserError
from distill.networks.initial import draw_weights
from distill.randomness import stream
from distill.registry import Entry
from distill.registry import load as load_entry
from distill.sets.distilled import DistilledSet
from distill.sets.provenance import digest_set
from distill.student import CORESETS, PROTOCOLS
from distill.student.comparison import baselines, cells, teachers
from distill.student.comparison.candidates import as_baseline, list_candidates
from distill.student.comparison.coresets import (
    crop_images,
    join_mosaics,
    pad_to,
    pick_herding,
    pick_k_center,
    rank_crops,
    rded,
    remember_draws,
)
from distill.student.comparison.ddranking import rank_columns
from distill.student.comparison.grid import (
    build_grid,
    choose_networks,
    compare,
    compare_items,
    describe_seconds,
    list_possible,
)
from distill.student.comparison.table import count_wins, find_strongest, format_table, summarise
from distill.student.loop import train_ordinary
from distill.student.training import Student, Weights, build_set_network
from tests.helpers import digit_set, read_json_line, small_set, write_npz


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
    if word in ("means", "rded"):
        return
    real = train.batch(slice(None))[0].float()
    for item, label in zip(items, labels, strict=True):
        match = (real - item).flatten(1).abs().amax(dim=1) < 1e-6
        assert label.argmax() in train.labels[match]


def test_a_teacher_relabels_and_keeps_the_items(tmp_path: Path) -> None:
    data = small_set()
    train, _ = load(str(write_npz(tmp_path / "blobs.npz")))
    teacher = build_teacher(data)
    candidates = {c.name: c for c in list_candidates(data, train, teacher, teacher, ["random"])}
    assert list(candidates) == ["distilled", "distilled, hard labels", "random", "random, teacher labels"]
    items, labels = candidates["random, teacher labels"].draw(stream("draw"))
    assert torch.equal(items, candidates["random"].draw(stream("draw"))[0])
    torch.testing.assert_close(labels, teacher.logits(items).softmax(dim=1))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Teachers and choices of rates that take a moment."""
    monkeypatch.setattr(baselines, "ORDINARY", ((4, 1),))
    monkeypatch.setattr(teachers, "CHECKPOINTS", (1, 2))
    monkeypatch.setattr(teachers, "TRIAL_EPOCHS", 2)
    monkeypatch.setattr(baselines, "CHOOSING_DRAWS", 1)
    for module in (baselines, cells):
        monkeypatch.setattr(module, "LRS", (0.05,))


@dataclass(frozen=True)
class Short:
    """A protocol of few epochs, which takes an augmentation and plans what it makes of labels."""

    epochs: int = 5
    augment: str = "auto"

    def plan(self, data: DistilledSet) -> SimpleNamespace:
        if (data.labels > 2).any():
            raise UserError("labels above two have no meaning here: give a set with smaller ones")
        remark = "targets are hard labels" if (data.labels < 0).any() else ""
        augment = None if self.augment == "none" else torch.clone
        return SimpleNamespace(augment=augment, targets=SimpleNamespace(remark=remark))

    def train(
        self, data: DistilledSet, network: nn.Module, weights: Weights, generator: torch.Generator
    ) -> Student:
        one_hot = replace(data, labels=torch.eye(data.labels.shape[1])[data.labels.argmax(dim=1)])
        return train_ordinary(one_hot, network, weights, baselines.build_adam, self.epochs, 10, generator)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROTOCOLS, "short", Entry("tests.student.test_compare:Short", "few epochs"))


def test_the_command_writes_a_row_per_protocol_network_and_kind_of_items(
    tmp_path: Path, capsys, quick: None, short: None
) -> None:
    small_set().save(tmp_path / "set.pt")
    data = str(write_npz(tmp_path / "blobs.npz"))
    arguments = [str(tmp_path / "set.pt"), "--dataset", data, "--seeds", "2", "--full-data", "--json"]
    assert main([*arguments, "--networks", "mlp", "--protocols", "recipe,short"]) == 0
    captured = capsys.readouterr()
    assert "| items | recipe, mlp | short, mlp | mean | worst |" in captured.out
    assert "short: targets are hard labels" in captured.err
    assert captured.err.index(" for 28 cells") < captured.err.index("training the teacher, mlp")
    assert "soft labels are those of the teacher after " in captured.err
    content = json.loads((tmp_path / "compare.json").read_text())
    assert content["digest"] == digest_set(DistilledSet.load(tmp_path / "set.pt"))
    rows = content["rows"]
    assert read_json_line(captured.out)["rows"] == rows
    words = ("random", "means", "medoids", "herding", "k-center", "rded")
    items = ["distilled", "distilled, hard labels", *words, *(f"{word}, teacher labels" for word in words)]
    assert [(r["protocol"], r["items"]) for r in rows[:28]] == [
        (protocol, name) for protocol in ("recipe", "short") for name in items
    ]
    assert [r["items"] for r in rows[28:]] == [
        "distilled, no augmentation", "random, no augmentation", "random, teacher labels, no augmentation",
        "all 270",
    ]  # fmt: skip
    assert {r["n"] for r in rows[:-1]} == {2}
    assert all(0 <= r["mean"] <= 1 for r in rows)
    assert all(r["rates"] for r in rows[:14])
    assert content["ddranking"] == rank_columns(rows)
    assert content["ddranking"][1]["ars"] is not None
    assert (tmp_path / "compare.png").read_bytes().startswith(b"\x89PNG")


def test_baselines_are_of_the_words_that_are_asked_for(quick: None, short: None, tmp_path: Path) -> None:
    train, test = load(str(write_npz(tmp_path / "blobs.npz")))
    rows = compare(small_set(), train, test, "mlp", 1, protocols="short", baselines=["means,herding"])
    names = [row["items"] for row in rows if row["kind"] == "baseline"]
    assert names == ["means", "herding", "means, teacher labels", "herding, teacher labels"]


def test_a_baseline_has_nothing_that_holds_for_the_sets_own_labels_and_weights_alone() -> None:
    data = small_set(scores={"full_data": 0.9})
    inner = {**data.inner, "loss": "squared-error", "softmax_scale": 3.0}
    plain = as_baseline(replace(data, inner=inner))
    assert plain.inner == {**data.inner, "loss": "soft-cross-entropy"}
    assert (plain.init_state, plain.scores, plain.network["init"]) == (None, {}, "random")
    assert torch.equal(plain.lrs, data.lrs)


def test_a_protocol_that_cannot_serve_the_labels_is_refused_before_anything_is_trained(
    tmp_path: Path, capsys, short: None
) -> None:
    small_set(labels=5 * torch.eye(3)).save(tmp_path / "set.pt")
    data = str(write_npz(tmp_path / "blobs.npz"))
    assert main([str(tmp_path / "set.pt"), "--dataset", data, "--protocols", "short"]) == 2
    error = capsys.readouterr().err
    assert "by the protocol short, mlp cannot train on distilled items: labels above two" in error
    assert "training" not in error


def test_a_teacher_of_ones_own_gives_the_labels(quick: None, short: None, tmp_path: Path) -> None:
    train, test = load(str(write_npz(tmp_path / "blobs.npz")))
    teacher = build_teacher(small_set())
    rows = compare(small_set(), train, test, "mlp", 1, protocols="short", baselines="random", teacher=teacher)
    assert len(rows) == 7
    assert "all 270" not in {row["items"] for row in rows}


@pytest.mark.parametrize(
    ("teacher", "sentence"),
    [
        (
            nn.Sequential(nn.Flatten(), nn.Linear(64, 7)),
            "the teacher answers 3×7 for 3 items of 3 classes: its last layer",
        ),
        (nn.Linear(5, 3), "the teacher does not take 3×1×8×8 items"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.Softmax(1)), "the teacher answers probabilities"),
        ("teacher.pt", "teacher is 'teacher.pt': give a trained module"),
    ],
    ids=["classes", "items", "softmax", "path"],
)
def test_a_teacher_that_cannot_teach_the_set_is_refused(teacher: object, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        build_grid(small_set(), "mlp", "recipe", teacher=teacher)


def test_checkpoints_of_a_teacher_come_from_one_training(tmp_path: Path) -> None:
    train, held_out = load(str(write_npz(tmp_path / "blobs.npz")))
    network = build_set_network(small_set())
    weights = draw_weights(network, stream("compare"))
    early = teachers.train_with_checkpoints(train, network, weights, (1, 3))
    assert list(early) == [1, 3]
    alone = teachers.train_with_checkpoints(train, network, weights, (3,))[3]
    assert all(torch.equal(w, alone.state_dict()[k]) for k, w in early[3].state_dict().items())
    assert any(not torch.equal(w, alone.state_dict()[k]) for k, w in early[1].state_dict().items())


def test_the_teacher_is_chosen_whose_labels_teach_best(tmp_path: Path) -> None:
    train, held_out = load(str(write_npz(tmp_path / "blobs.npz")))
    data = small_set(n=3)
    network = build_set_network(data)
    weights = draw_weights(network, stream("compare"))
    good = teachers.train_with_checkpoints(train, network, weights, (60,))[60]
    wrong = Student(nn.Sequential(good, Reverse()))
    draw = load_entry(CORESETS["random"])(data, train)
    name, chosen = teachers.choose_teacher(data, {1: wrong, 2: good}, draw, held_out, network, weights)
    assert (name, chosen) == (2, good)


class Reverse(nn.Module):
    """The logits in reverse order: of another class for each item but those of the middle one."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flip(1)


def test_rded_keeps_the_crops_of_least_loss(tmp_path: Path) -> None:
    """A teacher that likes bright images: a dark class gets the darkest crops of its images."""
    train, _ = load(str(write_npz(tmp_path / "blobs.npz")))
    data = small_set(n=3)
    teacher = Student(Brightness())
    items, labels = rded(data, train, teacher)(stream("rded"))
    losses = -teacher.logits(items).log_softmax(dim=1).gather(1, labels.argmax(dim=1)[:, None])
    random, y = load_entry(CORESETS["random"])(data, train)(stream("rded"))
    others = -teacher.logits(random).log_softmax(dim=1).gather(1, y.argmax(dim=1)[:, None])
    assert losses.mean() < others.mean() - 0.1


def test_rded_repeats_no_crop_beyond_its_pool(tmp_path: Path) -> None:
    """Twelve items of ten images of a class: all first crops, then second ones."""
    train, _ = load(str(write_npz(tmp_path / "blobs.npz", train=30)))
    data = small_set(n=36)
    for most in (3, 300):
        items, labels = rded(data, train, Student(Brightness()), most)(stream("rded"))
        assert len(items.flatten(1).unique(dim=0)) == 36
        assert labels.sum(dim=0).tolist() == [12, 12, 12]
    rded(small_set(n=150), train, Student(Brightness()))
    with pytest.raises(UserError, match=r"rded: 51 items .* take 51 crops, and the 10 real items .* give 50"):
        rded(small_set(n=151), train, Student(Brightness()))


def test_compare_refuses_too_few_items_for_rded_before_it_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, test = load(str(write_npz(tmp_path / "blobs.npz", train=30)))
    monkeypatch.setattr("distill.student.comparison.grid.train_teachers", None)
    data = small_set(n=151)
    with pytest.raises(UserError, match="take fewer items, or another coreset"):
        compare_items(data, train, test, build_grid(data, ["mlp"], ["recipe"], ["rded"], 1))


def test_of_all_baselines_rded_is_left_out_where_items_are_too_few(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, _ = load(str(write_npz(tmp_path / "blobs.npz", train=30)))
    assert list_possible(small_set(n=36), train, list(CORESETS)) == list(CORESETS)
    assert list_possible(small_set(n=151), train, list(CORESETS)) == [w for w in CORESETS if w != "rded"]
    assert capsys.readouterr().err.startswith("the baseline rded is left out: rded: 51 items per class take")


def test_crops_are_ranked_by_image_and_then_by_their_order_within_it() -> None:
    losses = torch.tensor([[3.0, 1, 9], [2, 5, 4]])
    assert [v.tolist() for v in rank_crops(losses, 2)] == [[0, 1], [1, 0]]
    assert [v.tolist() for v in rank_crops(losses, 5)] == [[0, 1, 1, 0, 1], [1, 0, 2, 0, 1]]


@pytest.mark.parametrize("word", ["means", "medoids", "herding", "k-center"])
def test_a_coreset_beyond_its_pool_repeats_no_item(word: str, tmp_path: Path) -> None:
    train, _ = load(str(write_npz(tmp_path / "blobs.npz", train=60)))
    data = small_set(n=45)
    items, _ = load_entry(CORESETS[word])(data, train, build_teacher(data), most=5)(stream("draw"))
    assert len(items.flatten(1).unique(dim=0)) == 45


@pytest.mark.parametrize("word", ["random", "medoids", "herding", "k-center"])
def test_items_of_a_class_that_is_used_up_come_round_in_turn(word: str, tmp_path: Path) -> None:
    train, _ = load(str(write_npz(tmp_path / "blobs.npz", train=9)))  # three of each class
    data = small_set(n=21)
    items, _ = load_entry(CORESETS[word])(data, train, build_teacher(data))(stream("draw"))
    counts = items.flatten(1).unique(dim=0, return_counts=True)[1].tolist()
    assert sorted(counts) == [2] * 6 + [3] * 3


class Brightness(nn.Module):
    """Logits ± the mean of an image for the first two classes."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = 5 * x.flatten(1).mean(dim=1)
        return torch.stack([-mean, mean, torch.zeros_like(mean)], dim=1)


def test_crops_show_parts_of_their_images_and_mosaics_hold_four() -> None:
    x = torch.arange(64.0).view(1, 1, 8, 8).repeat(5, 1, 1, 1)
    crops = crop_images(x, 1, stream("crops"))
    assert crops.shape == x.shape
    spread = (crops.amax((1, 2, 3)) - crops.amin((1, 2, 3))).tolist()
    assert max(spread) < 63
    assert len(set(spread)) == 5
    halves = crop_images(x, 2, stream("crops"))
    assert halves.shape == (5, 1, 4, 4)
    assert torch.equal(pad_to(halves, x)[:, :, 2:6, 2:6], halves)
    assert pad_to(halves, x).sum() == halves.sum()
    parts = torch.arange(8.0).view(8, 1, 1, 1).expand(8, 1, 4, 4)
    mosaics = join_mosaics(parts, x, 2)
    assert mosaics.shape == (2, 1, 8, 8)
    assert mosaics[0, 0, ::4, ::4].tolist() == [[0, 2], [4, 6]]
    assert mosaics[1, 0, ::4, ::4].tolist() == [[1, 3], [5, 7]]


def test_a_remembered_draw_is_computed_once_for_a_seed() -> None:
    calls = []

    def draw(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        calls.append(generator)
        return torch.rand(1, generator=generator), torch.zeros(1)

    remembered = remember_draws(draw)
    first, again, other = (remembered(stream("draw", k))[0] for k in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len(calls) == 2


def test_too_few_real_items_are_refused(tmp_path: Path, capsys) -> None:
    small_set().save(tmp_path / "set.pt")
    data = str(write_npz(tmp_path / "blobs.npz", train=6))
    assert main([str(tmp_path / "set.pt"), "--dataset", data, "--networks", "mlp"]) == 2
    assert "has 6 training items: at least 10 are needed" in capsys.readouterr().err


def make_row(protocol: str, items: str, kind: str, mean: float, n: int = 3) -> dict[str, object]:
    return {
        "protocol": protocol,
        "network": "a",
        "items": items,
        "kind": kind,
        "mean": mean,
        "std": 0.01,
        "n": n,
    }


ROWS = [
    make_row("recipe", "distilled", "set", 0.5), make_row("recipe", "means", "baseline", 0.25),
    make_row("recipe", "random", "baseline", 0.3),
    make_row("dc", "distilled", "set", 0.75), make_row("dc", "means", "baseline", 0.9),
    make_row("dc", "random", "baseline", 0.2),
    make_row("dc", "random, no augmentation", "no augmentation", 1),
    make_row("ordinary training", "all 9", "all real items", 0.98, n=1),
]  # fmt: skip


def test_the_table_has_items_down_columns_across_and_the_strongest_baselines_last() -> None:
    assert format_table(ROWS).splitlines() == [
        "| items | recipe, a | dc, a | mean | worst |",
        "|---|---|---|---|---|",
        "| distilled | 50.0 ± 1.0 | 75.0 ± 1.0 | 62.5 | 50.0 |",
        "| means | 25.0 ± 1.0 | 90.0 ± 1.0 | 57.5 | 25.0 |",
        "| random | 30.0 ± 1.0 | 20.0 ± 1.0 | 25.0 | 20.0 |",
        "| random, no augmentation |  | 100.0 ± 1.0 |  |  |",
        "| all 9 | 98.0 | 98.0 |  |  |",
        "| **strongest baseline** | random 30.0 | means 90.0 |  |  |",
    ]


def test_the_strongest_baseline_is_of_the_column_and_no_variant() -> None:
    strongest = find_strongest(ROWS, "dc", "a")
    assert strongest is not None
    assert strongest["items"] == "means"
    assert find_strongest(ROWS, "adam", "a") is None
    assert count_wins(ROWS) == (1, 2)
    assert [(s.items, s.columns) for s in summarise(ROWS)] == [("distilled", 2), ("means", 2), ("random", 2)]


def test_times_are_said_in_the_unit_that_one_reads() -> None:
    words = [describe_seconds(seconds) for seconds in (0.1, 99, 600, 7200)]
    assert words == ["1 second", "99 seconds", "10 minutes", "2.0 hours"]


def test_the_default_networks_are_the_sets_own_and_two_that_fit() -> None:
    assert choose_networks(small_set(), ()) == ["mlp"]  # the items are too small for a lenet
    assert choose_networks(digit_set(), ()) == ["lenet", "mlp"]
    assert choose_networks(small_set(), ("convnet", "resnet")) == ["convnet", "resnet"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--networks", "mpl"], 'did you mean "mlp"'),
        (["--networks", "lenet"], "lenet"),
        (["--protocols", "recipe,ordinari"], 'no protocol called "ordinari"; did you mean "ordinary"?'),
        (["--baselines", "mean"], 'no baseline called "mean"; did you mean "means"?'),
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
