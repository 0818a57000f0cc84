"""Protocols: the settings of the authors' code, their schedules, and the targets of their losses."""

import math
import re
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill import DistilledSet, UserError
from distill.data.augment.dsa import DSA
from distill.errors import SetError
from distill.networks.build import build_network
from distill.randomness import stream
from distill.registry import load as load_entry
from distill.student import LABELS, PROTOCOLS, Student, evaluate, initial_weights, train
from distill.student.protocols import (
    Ordinary,
    SetRecipe,
    choose_protocol,
    continue_protocol,
    describe_protocol,
    softmax_scale,
)
from distill.student.protocols.augment import FREPO, build_changes, build_dc
from distill.student.protocols.base import LongerProtocol, PlannedProtocol
from distill.student.protocols.frepo import FRePo, count_steps
from distill.student.protocols.ordinary import Adam
from distill.student.protocols.standard import DC, DDRanking, SiameseAugmentation, TrajectoryMatching
from distill.student.protocols.targets import choose_targets
from distill.student.training import build_set_network
from tests.data_oddities import X, Y
from tests.helpers import CLASSES, SHAPE, prepare_for, small_set, waves

SHARES = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])
SIGNED = torch.tensor([[2.0, -1.0, 0.5], [-1.0, 3.0, 0.0], [0.0, -0.5, 1.0]])
REGRESSION = {"rule": "sgd", "momentum": 0.9, "loss": "squared-error"}
CROSS = {"rule": "sgd", "momentum": 0.9, "loss": "soft-cross-entropy"}
ZCA = {"mean": torch.zeros(64), "matrix": torch.eye(64)}
OWN = {"rule": "sgd", "momentum": 0.9, "loss": "margin"}


def labelled(labels: Tensor, inner: dict[str, Any] | None = None, **changes: Any) -> DistilledSet:
    """Three small items with these labels."""
    return small_set(
        n=3, labels=labels, inner=inner or CROSS, schedule=torch.arange(3).repeat(4, 1), **changes
    )


def named(name: str, **facts: Any) -> DistilledSet:
    """A set of a data set of this name."""
    source = {"name": name, "classes": ["a", "b", "c"], "mean": [0.0], "std": [1.0], **facts}
    return labelled(SHARES, source=source)


def factors_of(protocol: PlannedProtocol, data: DistilledSet) -> list[float]:
    return list(protocol.plan(data).factors)


# Settings and schedules

SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "dc": (
        "VICO-UoE/DatasetCondensation, main.py and evaluate_synset() of utils.py",
        {"epochs": None, "lr": 0.01, "momentum": 0.9, "weight_decay": 0.0005, "batch": 256},
    ),
    "dsa": (
        "VICO-UoE/DatasetCondensation, main.py with --method DSA",
        {"epochs": 1000, "lr": 0.01, "momentum": 0.9, "weight_decay": 0.0005, "batch": 256},
    ),
    "mtt": (
        "GeorgeCazenavette/mtt-distillation, distill.py: lr_net is the learned syn_lr",
        {"epochs": 1000, "lr": None, "momentum": 0.9, "weight_decay": 0.0005, "batch": 256},
    ),
    "frepo": (
        "yongchaoz/FRePo, script/eval.py",
        {"steps": None, "lr": 0.0003, "warmup": 500, "batch": 500, "label_scale": 1.0},
    ),
    "ddranking": (
        "NUS-HPC-AI-Lab/DD-Ranking 0.2.0, configs/Demo_LRS_Hard_Label.yaml",
        {"epochs": 1000, "lr": 0.01, "momentum": 0.9, "weight_decay": 0.0005, "step_size": 500, "batch": 128},
    ),
    "adam": ("this package", {"steps": 200, "lr": 0.001, "batch": 64, "loss": "auto"}),
}


@pytest.mark.parametrize("word", SETTINGS)
def test_the_settings_of_a_protocol_are_the_published_ones(word: str) -> None:
    source, expected = SETTINGS[word]
    settings = asdict(load_entry(PROTOCOLS[word])())
    assert {name: settings[name] for name in expected} == expected, source


def test_the_rate_of_dc_drops_tenfold_after_the_middle_and_there_is_one_epoch_more() -> None:
    factors = factors_of(DC(epochs=300), labelled(SHARES))
    assert factors == [1.0] * 152 + [0.1] * 149  # epochs 0 … 151 are trained before the new optimiser
    assert factors_of(DC(epochs=10, batch=2), labelled(SHARES)) == [1.0] * 14 + [0.1] * 8


def test_dc_trains_longer_with_augmentation_as_the_authors_do() -> None:
    assert len(factors_of(DC(), named("mnist"))) == 1001
    assert len(factors_of(DC(augment="none"), named("mnist"))) == 301
    assert len(factors_of(DC(), named("cifar-10"))) == 301
    assert DC().plan(named("fashion-mnist")).augment is None


def test_the_rate_of_ddranking_is_that_of_torch_s_step_lr() -> None:
    parameter = nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([parameter], lr=1.0)
    schedule, expected = torch.optim.lr_scheduler.StepLR(optimiser, step_size=4, gamma=0.1), []
    for _ in range(11):
        expected.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    assert factors_of(DDRanking(epochs=11, step_size=4), labelled(SHARES)) == pytest.approx(expected)


def test_the_rate_of_frepo_rises_linearly_and_falls_as_torch_s_cosine() -> None:
    parameter = nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.Adam([parameter], lr=1.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=500, eta_min=0.01)
    expected = []
    for _ in range(500):
        expected.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    factors = factors_of(FRePo(), labelled(SHARES))
    assert factors[:500] == [t / 500 for t in range(500)]
    assert factors[500:] == pytest.approx(expected, abs=1e-6)
    assert [count_steps(n) for n in (5, 10, 11, 100, 200, 500, 9999)] == [
        1000, 1000, 2000, 2000, 20_000, 5000, 40_000,
    ]  # fmt: skip


def test_the_rate_of_adam_falls_to_zero_as_a_cosine() -> None:
    expected = [(1 + math.cos(math.pi * t / 200)) / 2 for t in range(200)]
    assert factors_of(Adam(), labelled(SHARES)) == pytest.approx(expected)


def test_mtt_takes_the_learned_rate_of_the_set() -> None:
    lrs = torch.tensor([[0.02, 0.04], [0.03, 0.05], [0.002, 0.004], [0.0, 0.0]])
    data = labelled(SHARES, lrs=lrs)
    rate = lambda protocol, of: protocol.plan(of).optimiser([nn.Parameter(torch.zeros(1))]).defaults["lr"]  # noqa: E731
    assert rate(TrajectoryMatching(), data) == pytest.approx(0.04)
    assert rate(TrajectoryMatching(lr=0.5), data) == 0.5
    adam = replace(data, inner={"rule": "adam", "loss": "soft-cross-entropy"})
    assert rate(TrajectoryMatching(), adam) == 0.01


# One loop, the same as plain torch's


def test_dc_is_plain_torch_with_a_new_optimiser_in_the_middle() -> None:
    data = labelled(SHARES)
    network = build_set_network(data)
    weights = initial_weights(data, network, "random", 1)[0]
    network.load_state_dict(weights)
    sgd = partial(torch.optim.SGD, list(network.parameters()), momentum=0.9, weight_decay=0.0005)
    for epochs, lr in ((5, 0.05), (2, 0.005)):  # epochs 0 … 4 of seven, then 5 and 6
        optimiser = sgd(lr=lr)
        for _ in range(epochs):
            optimiser.zero_grad()
            F.cross_entropy(network(data.items), SHARES).backward()
            optimiser.step()
    student = DC(epochs=6, lr=0.05).train(data, network, weights, stream("dc"))
    x = waves(4, *SHAPE, phase=3).float()
    torch.testing.assert_close(student.logits(x), network(x).detach())


def test_frepo_is_plain_adam_on_half_the_squared_error() -> None:
    data = labelled(5 * SIGNED, REGRESSION)
    network = build_set_network(data)
    weights = initial_weights(data, network, "random", 1)[0]
    network.load_state_dict(weights)
    optimiser = torch.optim.Adam(network.parameters())
    for factor in (0.0, 0.5, 1.0, 0.505):
        optimiser.param_groups[0]["lr"] = 0.01 * factor
        optimiser.zero_grad()
        (F.mse_loss(network(data.items), 5 * SIGNED, reduction="sum") / 6).backward()
        optimiser.step()
    protocol = FRePo(steps=4, lr=0.01, augment="none")
    student = protocol.train(data, network, weights, stream("frepo"))
    x = waves(4, *SHAPE, phase=3).float()
    torch.testing.assert_close(student.logits(x), network(x).detach())


def test_minibatches_are_drawn_anew_in_each_pass_and_hold_every_item() -> None:
    data = small_set(n=5, schedule=torch.arange(5).repeat(4, 1), labels=torch.eye(3)[torch.arange(5) % 3])
    batches: list[Tensor] = []

    class Spy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(64, 3)

        def forward(self, x: Tensor) -> Tensor:
            if len(x) < 4:
                batches.append(x.detach()[:, 0, 0, 0])
            return self.linear(x.flatten(1))

    network = Spy()
    batches.clear()
    Adam(steps=6, batch=2).train(data, network, dict(network.named_parameters()), stream("b"))
    steps = batches[-6:]
    assert [len(b) for b in steps] == [2, 2, 1, 2, 2, 1]
    first, second = torch.cat(steps[:3]), torch.cat(steps[3:])
    assert torch.equal(first.sort().values, data.items[:, 0, 0, 0].sort().values)
    assert torch.equal(first.sort().values, second.sort().values)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("word", [word for word in PROTOCOLS if word != "recipe"])
def test_batch_norm_and_dropout_work_in_every_protocol(word: str) -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(144, 3)
    )
    data, protocol = prepare_for(word, labelled(SHARES)), shorten(word)
    weights = initial_weights(data, network, "random", 1)[0]
    first, second = (protocol.train(data, network, weights, stream("norm")) for _ in range(2))
    x = waves(5, *SHAPE).float()
    assert not first.training
    assert not torch.equal(first.state_dict()["1.running_mean"], weights["1.running_mean"])
    assert torch.equal(first(x), second(x))
    assert torch.allclose(first(x)[:1], first(x[:1]), atol=1e-6)


def shorten(word: str, count: int = 4, **settings: Any) -> Any:
    """The protocol of a word for a few steps or epochs."""
    protocol = load_entry(PROTOCOLS[word])()
    return replace(
        protocol, **({"steps": count} if hasattr(protocol, "steps") else {"epochs": count}), **settings
    )


@pytest.mark.parametrize("word", [word for word in PROTOCOLS if word not in ("recipe", "ordinary")])
def test_every_protocol_learns_ten_items_better_than_chance(word: str) -> None:
    items, labels = X[:12], torch.eye(4)[Y[:12]]
    source = {"name": "easy", "classes": ["ant", "bee", "cat", "dog"], "mean": [90 / 255], "std": [62 / 255]}
    schedule, lrs = torch.arange(12).repeat(30, 1), torch.full((30,), 0.05)
    data = small_set(n=12, items=items, labels=labels, source=source, schedule=schedule, lrs=lrs)
    data = prepare_for(word, data)
    report = evaluate(data, (X[12:], Y[12:]), seeds=2, protocol=shorten(word, 60, lr=0.02))
    assert report.mean > 0.5


# Targets

ONE_HOT = torch.eye(3)
CENTRED = ONE_HOT - 1 / 3
TABLE: dict[str, tuple[Tensor, dict[str, Any], str, str, Tensor, str]] = {
    "shares stay": (SHARES, CROSS, "soft-cross-entropy", "auto", SHARES, ""),
    "shares of a regression stay": (SHARES, REGRESSION, "soft-cross-entropy", "auto", SHARES, ""),
    "not negative stays": (2 * SHARES, CROSS, "soft-cross-entropy", "auto", 2 * SHARES, "as they are"),
    "signed becomes hard": (SIGNED, CROSS, "soft-cross-entropy", "auto", ONE_HOT, "hard labels: signed"),
    "a scale makes softmax": (
        SIGNED, REGRESSION | {"softmax_scale": 0.5}, "soft-cross-entropy", "auto", (0.5 * SIGNED).softmax(1),
        r"softmax\(0.5 · labels\)",
    ),
    "untaught classes make softmax": (
        -SIGNED, CROSS, "soft-cross-entropy", "auto", (-SIGNED).softmax(1), "never teach some classes",
    ),
    "hard": (SIGNED, CROSS, "soft-cross-entropy", "hard", ONE_HOT, "hard labels"),
    "hard of a user's loss": (SIGNED, OWN, "soft-cross-entropy", "hard", ONE_HOT, "hard labels"),
    "hard with an untaught class": (
        SIGNED[[0, 0, 2]], CROSS, "soft-cross-entropy", "hard", ONE_HOT[[0, 0, 2]], "never teach 1 of 3",
    ),
    "softmax": (SIGNED, CROSS, "soft-cross-entropy", "softmax", SIGNED.softmax(1), r"softmax\(1 · labels\)"),
    "clipped": (
        SIGNED, CROSS, "soft-cross-entropy", "clipped",
        torch.tensor([[0.8, 0.0, 0.2], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]), "positive parts",
    ),
    "a regression's stay": (10 * SIGNED, REGRESSION, "squared-error", "auto", 10 * SIGNED, ""),
    "soft of a squared error": (SIGNED, CROSS, "squared-error", "soft", SIGNED, ""),
    "shares are centred": (SHARES, CROSS, "squared-error", "auto", SHARES - 1 / 3, r"shares - 1 / 3"),
    "signed becomes hard and centred": (SIGNED, CROSS, "squared-error", "auto", CENTRED, "hard.*; targ"),
    "hard and centred": (10 * SIGNED, REGRESSION, "squared-error", "hard", CENTRED, "shares - 1 / 3"),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLE)
def test_the_targets_of_a_loss(case: str) -> None:
    labels, inner, loss, word, expected, remark = TABLE[case]
    targets = choose_targets(labelled(labels, inner), loss, word)
    torch.testing.assert_close(targets.labels, expected)
    assert targets.loss == loss
    assert bool(re.search(remark, targets.remark)) is True
    assert bool(targets.remark) is bool(remark)


@pytest.mark.parametrize(
    ("protocol", "scale"),
    [
        (SetRecipe(), 0.1), (Adam(), 0.1), (Ordinary(), 0.1), (FRePo(), 0.1),
        (LongerProtocol(FRePo(), 2), 0.1), (DC(), 1.0),
        (Adam(loss="soft-cross-entropy"), 1.0), (FRePo(labels="hard"), 1.0),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_logits_have_the_scale_of_the_labels_that_they_learn(protocol: Any, scale: float) -> None:
    data = labelled(10 * SIGNED, REGRESSION | {"softmax_scale": 0.1})
    assert softmax_scale(data, protocol) == scale
    assert softmax_scale(labelled(SHARES), protocol) == 1.0


def test_the_scale_of_a_squared_error_s_targets_is_a_setting() -> None:
    targets = choose_targets(labelled(ONE_HOT), "squared-error", "auto", scale=10.0)
    torch.testing.assert_close(targets.labels, 10 * CENTRED)
    assert "10 · (shares - 1 / 3)" in targets.remark


def test_a_row_without_a_positive_label_is_clipped_to_its_largest() -> None:
    labels = torch.tensor([[-3.0, -1.0, -2.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    targets = choose_targets(labelled(labels), "soft-cross-entropy", "clipped")
    assert targets.labels[0].tolist() == [0.0, 1.0, 0.0]


REFUSED: dict[str, tuple[Any, str]] = {
    "soft labels that are signed": (
        lambda: DC(labels="soft").plan(labelled(SIGNED)),
        "signed, and leave a cross-entropy without a lower bound: use labels hard",
    ),
    "a label map of another name": (
        lambda: choose_targets(labelled(SIGNED), "soft-cross-entropy", "hrad"),
        'labels: no label map called "hrad"; did you mean "hard"',
    ),
    "a label map in a setting": (lambda: DC(labels="sotfmax"), 'labels: no label map called "sotfmax"'),
    "a loss of another name": (lambda: Adam(loss="squared"), 'no loss called "squared"; did you mean "squ'),
    "signed labels of a user's loss": (
        lambda: DC().plan(labelled(SIGNED, OWN)), "for a loss of your own, margin, and signed: say",
    ),
    "an augmentation of another protocol": (
        lambda: DC(augment="flip").plan(named("mnist")), 'no augmentation of this protocol called "flip"',
    ),
    "whitened grey images": (
        lambda: TrajectoryMatching().plan(named("mnist", zca=ZCA)),
        "whitened grey images, and mtt whitens colours",
    ),
    "a rate of nothing": (lambda: DC(lr=0.0), "lr must be above 0, not 0"),
    "a word of another protocol": (
        lambda: choose_protocol("dcc", labelled(SHARES)), 'no protocol called "dcc"; did you mean "dc"',
    ),
    "no recommendation": (lambda: choose_protocol("recommended", labelled(SHARES)), "recommends no protocol"),
    "an unknown recommendation": (
        lambda: choose_protocol("recommended", labelled(SHARES, protocol={"name": "sgdd"})),
        'recommends cannot be built: protocol: no protocol called "sgdd"',
    ),
    "an unknown setting of a recommendation": (
        lambda: choose_protocol("recommended", labelled(SHARES, protocol={"name": "adam", "epochs": 7})),
        'cannot be built: adam: no setting called "epochs"; did you mean "steps"',
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_protocol_refuses(case: str) -> None:
    call, sentence = REFUSED[case]
    with pytest.raises(UserError, match=sentence):
        call()


def test_a_protocol_that_changes_images_refuses_texts_and_others_take_them() -> None:
    items = waves(3, 12, 5).float()
    data = labelled(SHARES, items=items, network={"name": "average", "arguments": {}, "init": "random"})
    for word in ("dsa", "mtt", "frepo", "ddranking"):
        with pytest.raises(UserError, match="changes images at random, and the set's items are 12×5 numbers"):
            train(data, protocol=word)
    for protocol in (DC(epochs=3), Adam(steps=3), FRePo(steps=3, augment="none")):
        assert train(data, protocol=protocol).logits(items).shape == (3, 3)


def test_a_loss_that_explodes_is_said_with_its_step() -> None:
    with pytest.raises(UserError, match=r"the loss became nan by step 50: give a lower learning rate"):
        train(labelled(50 * SIGNED, REGRESSION), protocol=FRePo(lr=1e20, warmup=0, augment="none"))


# Recommended protocols, and doors


def test_a_recommended_protocol_is_saved_loaded_and_trained_by(tmp_path: Any) -> None:
    data = labelled(SIGNED, REGRESSION, protocol={"name": "adam", "steps": 7, "lr": 0.01})
    data.save(tmp_path / "set.pt")
    again = DistilledSet.load(tmp_path / "set.pt")
    assert again.protocol == {"name": "adam", "steps": 7, "lr": 0.01}
    assert choose_protocol("recommended", again) == Adam(steps=7, lr=0.01)
    x = waves(4, *SHAPE).float()
    expected = train(data, protocol=Adam(steps=7, lr=0.01))
    assert torch.equal(train(again, protocol="recommended")(x), expected(x))


def test_a_file_without_the_new_keys_is_read_and_written_as_before(tmp_path: Any) -> None:
    content = labelled(SHARES).to_dict()
    assert "protocol" not in content
    torch.save(content, tmp_path / "old.pt")
    assert DistilledSet.load(tmp_path / "old.pt").protocol is None


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"protocol": "adam"}, "protocol must be None or a dict of a name and settings"),
        (
            {"protocol": {"name": "adam", "lr": [1.0]}},
            "protocol must be None or a dict of a name and settings",
        ),
        ({"protocol": {"lr": 0.1}}, "protocol.name must be str, not absent"),
        (
            {"inner": REGRESSION | {"softmax_scale": 0.0}},
            r"inner.softmax_scale must be float \(above 0\), not 0.0",
        ),
        (
            {"inner": REGRESSION | {"softmax_scale": "2"}},
            r"inner.softmax_scale must be float \(above 0\), not '2'",
        ),
    ],
)
def test_the_new_keys_of_a_file_are_checked(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SetError, match=sentence):
        replace(labelled(SIGNED), **changes)


def test_train_gives_the_student_of_the_protocol_and_of_the_seed() -> None:
    data, x = labelled(SHARES), waves(4, *SHAPE).float()
    network = build_set_network(data)
    weights = initial_weights(data, network, "random", 1, first=3)[0]
    expected = DC(epochs=5).train(data, network, weights, stream("ordinary", 3))
    student = train(data, protocol=DC(epochs=5), seed=3)
    assert isinstance(student, Student)
    assert torch.equal(student(x), expected(x))
    assert not torch.equal(student(x), train(data, protocol=DC(epochs=5), seed=4)(x))


def test_evaluate_says_on_stderr_what_becomes_of_labels(capsys: pytest.CaptureFixture[str]) -> None:
    test = (waves(6, *SHAPE).float(), torch.arange(6) % 3)
    evaluate(labelled(SIGNED), test, seeds=2, protocol=DC(epochs=2))
    assert capsys.readouterr().err.startswith("targets are hard labels: signed labels leave a cross-entropy")
    evaluate(labelled(SHARES), test, seeds=2, protocol=DC(epochs=2))
    assert capsys.readouterr().err == ""


def test_a_description_names_the_protocol_its_settings_and_the_targets() -> None:
    facts = describe_protocol(DC(epochs=7), labelled(SHARES))
    assert (facts["name"], facts["epochs"], facts["targets"]) == (
        "dc",
        7,
        "targets are the labels as they are",
    )
    facts = describe_protocol(Ordinary(partial(torch.optim.RMSprop, lr=0.5)), labelled(SHARES))
    assert (facts["name"], facts["optimiser"], facts["batch"]) == ("ordinary", "RMSprop, lr 0.5", 10)
    assert set(LABELS) == {"auto", "hard", "soft", "softmax", "clipped"}


def test_ordinary_training_maps_signed_labels_and_takes_the_loss_of_a_regression() -> None:
    assert torch.equal(Ordinary().plan(labelled(SIGNED)).targets.labels, ONE_HOT)
    plan = Ordinary(epochs=4, batch=2).plan(labelled(SIGNED, REGRESSION))
    assert plan.targets.loss == "squared-error"
    assert plan.factors == pytest.approx([1 - t / 8 for t in range(8)])


# Augmentation

IMAGES = waves(6, 1, 16, 16).float() + 2


@pytest.mark.parametrize("words", ["crop", "scale", "rotate", "crop-scale-rotate"])
def test_the_changes_of_dc_differ_between_the_images_and_keep_their_shape(words: str) -> None:
    x = IMAGES[:1].expand(6, -1, -1, -1)
    changed = build_dc(words)(x, stream("dc", words))
    assert changed.shape == x.shape
    assert changed.isfinite().all()
    assert len({tuple(image.flatten().tolist()) for image in changed}) >= 4


def test_the_crop_of_dc_moves_by_whole_pixels_and_fills_with_the_mean() -> None:
    x = torch.zeros(40, 1, 16, 16)
    x[:, 0, 8, 8] = 256.0  # the mean is 1
    changed = build_dc("crop")(x, stream("crop"))
    places = changed.flatten(1).argmax(dim=1)
    rows = places // 16
    assert set(rows.tolist()) <= set(range(5, 13))
    assert {int(rows.min()), int(rows.max())} == {5, 12}
    torch.testing.assert_close(changed.amax((1, 2, 3)), torch.full((40,), 256.0), rtol=1e-4, atol=1e-3)
    outside = changed[rows == 12][:, 0, 0]
    torch.testing.assert_close(outside, torch.ones_like(outside), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("table", [DSA, FREPO], ids=["dsa", "frepo"])
def test_each_change_has_numbers_for_each_image_and_follows_the_generator(table: dict[str, Any]) -> None:
    x = IMAGES[:1].expand(8, -1, -1, -1)
    for word in table:
        augment = build_changes(table, word)
        first, second = (augment(x, stream("change", word)) for _ in range(2))
        assert torch.equal(first, second)
        assert first.shape == x.shape
        assert len({tuple(image.flatten().tolist()) for image in first}) >= 2


def test_the_hole_of_dsa_is_half_a_side_and_may_reach_over_the_border() -> None:
    holes = build_changes(DSA, "cutout")(torch.ones(200, 1, 16, 16), stream("hole"))
    sizes = (holes[:, 0] == 0).sum(dim=(1, 2))
    assert int(sizes.max()) == 64
    assert int(sizes.min()) >= 16


def test_digits_are_not_flipped() -> None:
    seen: set[bool] = set()
    x = torch.arange(16.0).expand(4, 1, 16, 16)
    for name in ("svhn", "cifar-10"):
        plan = SiameseAugmentation(epochs=1).plan(named(name))
        assert plan.augment is not None
        flips = [torch.equal(plan.augment(x, stream(name, k)).flip(3)[:1], x[:1]) for k in range(40)]
        seen.add(any(flips))
        assert any(flips) is (name == "cifar-10")
    assert seen == {True, False}


def test_a_network_of_a_name_is_trained_by_a_protocol() -> None:
    data = labelled(SHARES)
    student = train(data, "mlp", protocol=DC(epochs=2))
    assert student.state_dict().keys() == build_network("mlp", SHAPE, CLASSES).state_dict().keys()


# Beyond the end of a protocol


def test_a_continued_protocol_goes_on_at_its_first_rate() -> None:
    data = labelled(SHARES)
    longer = continue_protocol(Adam(steps=3), data, 2)
    assert isinstance(longer, LongerProtocol)
    assert factors_of(longer, data) == [*factors_of(Adam(steps=3), data), 1.0, 1.0]


def test_a_continued_recipe_repeats_its_last_rate() -> None:
    data = labelled(SHARES)
    longer = continue_protocol(SetRecipe(), data, 5)
    assert longer == SetRecipe(steps=len(data.schedule) + 5)
    assert continue_protocol(SetRecipe(steps=2), data, 5) == SetRecipe(steps=7)


def test_a_protocol_without_a_plan_cannot_go_on() -> None:
    class Own:
        """A protocol of a user, of one step."""

        def train(self, *arguments: Any) -> None: ...

    message = "Own cannot go on after its end: derive it from PlannedProtocol"
    with pytest.raises(UserError, match=f"^{message}$"):
        continue_protocol(Own(), labelled(SHARES), 5)  # type: ignore[arg-type]


def test_adam_stays_where_the_loss_of_shares_is_least() -> None:
    """One linear layer of few items fits any shares, and then more steps change nothing."""
    data = labelled(SHARES)
    network = nn.Sequential(nn.Flatten(), nn.Linear(data.items[0].numel(), 3))
    weights = {name: p.detach().clone() for name, p in network.named_parameters()}
    protocol = Adam(steps=300, lr=0.02)
    ends = [
        p.train(data, network, weights, stream("on"))(data.items).softmax(dim=1)
        for p in (protocol, continue_protocol(protocol, data, 300))
    ]
    assert torch.allclose(ends[0], SHARES, atol=0.02)
    assert torch.allclose(ends[1], SHARES, atol=0.02)
