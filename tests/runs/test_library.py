"""distill.distill(): own data, network and losses in one call, by the same loop as the command."""

import copy
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import distill
from distill import SGD, Adam, DataError, DistilledSet, NetworkError, Recompute, UserError
from distill.data.images import load
from distill.inner.losses import soft_cross_entropy
from distill.methods.kernel_ridge import FRePo
from distill.methods.unroll import BPTT
from distill.randomness import stream
from distill.runs import job
from distill.runs.settings import ImageSettings
from distill.student import initial_weights, replay, train
from distill.student.comparison.coresets import random_real
from distill.student.training import build_problem
from tests.helpers import blobs, change_settings, write_npz

QUICK = {"n": 2, "outer_steps": 20, "inner_steps": 4, "outer_batch": 32}


def make_data(count: int = 300, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Items (count, 1, 8, 8) of three classes, of mean 0 and spread 1."""
    images, labels = blobs(count, seed)
    x = torch.from_numpy(images).float().unsqueeze(1)
    return (x - 77) / 53, torch.from_numpy(labels).long()


class Net(nn.Module):
    """A user's network: instance norm with gains, an activation with a parameter."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.InstanceNorm2d(4, affine=True), nn.PReLU(), nn.AvgPool2d(2)
        )
        self.head = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).flatten(1))


@pytest.fixture(scope="module")
def learned_set() -> DistilledSet:
    torch.manual_seed(0)
    return distill.distill(
        make_data(), Net(), n=1, labels="soft", rule=SGD(), lr=0.1, inner_steps=8, outer_steps=60,
        outer_lr=0.1, test=make_data(90, 1),
    )  # fmt: skip


def mean_accuracy(network: nn.Module, data: DistilledSet, seeds: int = 5) -> float:
    """The mean test accuracy of networks trained on data."""
    weights = initial_weights(data, network, "random", seeds)
    students = [replay(data, build_problem(data, network), w) for w in weights]
    x, y = make_data(90, 1)
    return sum(float((s.logits(x).argmax(1) == y).float().mean()) for s in students) / seeds


def test_it_beats_as_many_random_real_items(learned_set: DistilledSet) -> None:
    real = distill.Dataset("real", *make_data(), ("0", "1", "2"), (0.0,), (1.0,))
    scores = []
    for k in range(5):
        x, y = random_real(learned_set, real)(stream("draw", k))
        lrs = (learned_set.lrs, torch.full_like(learned_set.lrs, 0.02), torch.full_like(learned_set.lrs, 0.1))
        scores.append(max(mean_accuracy(Net(), replace(learned_set, items=x, labels=y, lrs=r)) for r in lrs))
    assert learned_set.scores["accuracy"]["mean"] > sum(scores) / len(scores) + 0.2


def test_the_score_is_that_of_twenty_new_networks_and_names_its_split(learned_set: DistilledSet) -> None:
    score = learned_set.scores["accuracy"]
    assert score["mean"] == pytest.approx(mean_accuracy(Net(), learned_set, 20))
    assert (score["n"], score["split"], score["weights"]) == (20, "test", "held-out")
    data = distill.distill(make_data(), Net(), **QUICK | {"outer_steps": 1})
    assert data.scores["accuracy"]["split"] == "held-out"
    assert (data.source["train"], data.source["test"]) == (270, 0)


def test_the_set_loaded_from_its_file_trains_the_same_network(
    learned_set: DistilledSet, tmp_path: Path
) -> None:
    learned_set.save(tmp_path / "set.pt")
    second_set = DistilledSet.load(tmp_path / "set.pt")
    x, network = make_data(30, 2)[0], Net()
    assert torch.equal(train(second_set, network).logits(x), train(learned_set, network).logits(x))
    assert second_set.network["name"] == "Net"
    assert second_set.source["name"] == "own data"
    assert second_set.scores == learned_set.scores
    with pytest.raises(UserError, match='no network called "Net".* pass your own module as `network`'):
        train(second_set)


def test_the_command_and_the_call_give_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "distill.runs.measure.full_data_accuracy", lambda *_: 1.0
    )  # takes half a minute, and is not compared here
    monkeypatch.setattr("distill.runs.measure.score_baseline", lambda *_: ([0.5], ""))
    file = str(write_npz(tmp_path / "blobs.npz"))
    options = {"n": 2, "init": "fixed", "inner_steps": 4, "outer_steps": 6, "outer_batch": 32, "seed": 3}
    settings = change_settings(
        ImageSettings(), dataset=file, network="mlp", out=str(tmp_path / "run"), **options
    )
    job.distil(settings, ["distill"])
    command_set, (real, test) = DistilledSet.load(tmp_path / "run" / "set.pt"), load(file)
    call_set = distill.distill(real, "mlp", test=test, **options)
    for name in ("items", "labels", "lrs", "schedule"):
        assert torch.equal(getattr(call_set, name), getattr(command_set, name))
    assert call_set.scores["accuracy"] == command_set.scores["accuracy"]
    assert call_set.source | {"name": file} == command_set.source


def test_the_seed_decides_the_result_and_the_caller_s_network_and_randomness_stay() -> None:
    network, before = Net(), torch.random.get_rng_state()
    weights = copy.deepcopy(network.state_dict())
    first, second, third = (distill.distill(make_data(), network, **QUICK, seed=s) for s in (0, 0, 1))
    assert torch.equal(first.items, second.items)
    assert not torch.equal(first.items, third.items)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(weights[k], w) for k, w in network.state_dict().items())
    assert network.training


def test_a_fixed_set_holds_the_initial_weights_of_the_network() -> None:
    network = Net()
    data = distill.distill(make_data(), network, **QUICK, init="fixed")
    assert all(torch.equal(data.init_state[k], p) for k, p in network.named_parameters())
    student, x = train(data, Net()), make_data(90, 1)[0]
    assert torch.equal(student.logits(x), train(data, network, init="fixed").logits(x))
    assert data.scores["accuracy"]["weights"] == "fixed"


def test_the_user_s_losses_are_used_and_named() -> None:
    def hinge(logits: Tensor, y: Tensor) -> Tensor:
        return F.multi_margin_loss(logits, y)

    def gentle(logits: Tensor, targets: Tensor) -> Tensor:
        return soft_cross_entropy(logits / 2, targets)

    default = distill.distill(make_data(), Net(), **QUICK)
    data = distill.distill(make_data(), Net(), **QUICK, loss=hinge, inner_loss=gentle)
    assert not torch.equal(data.items, default.items)
    assert (data.inner["loss"], data.provenance["objects"]["loss"]) == ("gentle", "hinge")
    with pytest.raises(UserError, match='no inner loss called "gentle".* pass your own as `inner_loss`'):
        train(data, Net())
    x = make_data(30, 2)[0]
    renamed = replace(data, inner={**data.inner, "loss": "soft-cross-entropy"})
    first, second = train(data, Net(), inner_loss=gentle), train(renamed, Net(), inner_loss=gentle)
    assert torch.equal(first.logits(x), second.logits(x))


def test_engine_and_rule_are_objects() -> None:
    arguments = QUICK | {"outer_steps": 2}
    unrolled = distill.distill(make_data(), Net(), **arguments, rule=Adam())
    recomputed = distill.distill(make_data(), Net(), **arguments, rule=Adam(), engine=Recompute())
    torch.testing.assert_close(unrolled.items, recomputed.items, rtol=1e-4, atol=1e-5)
    assert unrolled.inner["rule"] == "adam"
    assert recomputed.provenance["objects"]["engine"].startswith("Recompute(")


def test_items_may_have_any_shape_and_the_network_may_be_a_name() -> None:
    x, y = make_data()
    rows = distill.distill((x.flatten(1), y), nn.Linear(64, 3), **QUICK)
    assert rows.items.shape == (2, 64)
    assert distill.distill((x, y), "mlp", **QUICK).network["name"] == "mlp"


def test_it_is_silent_unless_progress_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    distill.distill(make_data(), Net(), **QUICK)
    assert capsys.readouterr() == ("", "")
    distill.distill(make_data(), Net(), **QUICK, progress=True)
    assert "step 20/20, loss " in capsys.readouterr().err


def test_ctrl_c_raises_keyboard_interrupt() -> None:
    class InterruptedEngine:
        def gradient(self, *_: object) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distill.distill(make_data(), Net(), **QUICK, engine=InterruptedEngine())


def test_items_of_a_large_scale_give_a_warning() -> None:
    x, y = make_data()
    with pytest.warns(
        UserWarning, match="x has a spread of 1.*: scale it to mean 0 and spread 1"
    ) as warnings:
        distill.distill((100 * x, y), Net(), **QUICK | {"outer_steps": 1})
    assert warnings[0].filename == __file__


X, Y = make_data(60)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ((X, Y[:50]), "x has 60 items and y 50 labels: one label per item"),
        ((X, Y + 0.5), "row 0 of y is 0.5, which is no class number: y must be class numbers (m,)"),
        ((X, 2 * F.one_hot(Y)), "y is int64 of shape (60, 3), but row 0 is not one 1 and else 0"),
        ((X, Y - 1), "own data: the train label -1 is out of range: 2 classes are 0 … 1"),
        ((X, Y * 0), "own data has 1 class: at least two are needed"),
        ((X, Y * 2), "own data has no item of class 1: number the classes 0, 1, … without gaps"),
        ((X, Y * 10**12), "own data: the train label 1000000000000 is out of range"),
        ((X.long(), Y), "x is torch.int64: give floating-point items (m, *item), or uint8 images"),
        ((X / 0, Y), "x holds NaN or infinity"),
        ((X[:0], Y[:0]), "x of shape (0, 1, 8, 8) is not (m, *item)"),
        ((X[:9], Y[:9]), "own data has 9 training items: at least 10 are needed"),
        ((X, Y, Y), "data and test must be pairs (x, y), not a tuple: give (x, y) of tensors, arrays or"),
        (X, "data and test must be pairs (x, y), not a Tensor"),
    ],
    ids=lambda v: v if isinstance(v, str) else "data",
)
def test_invalid_data_is_one_sentence(data: object, sentence: str) -> None:
    with pytest.raises(DataError, match=re.escape(sentence)):
        distill.distill(data, Net(), **QUICK)


class NetWithOutput(Net):
    """Net with another output."""

    def __init__(self, output: Callable[[nn.Module, Tensor], object]) -> None:
        super().__init__()
        self.answer, self.unused = output, nn.Linear(2, 2)

    def forward(self, x: Tensor) -> object:
        return self.answer(self, super().forward(x))


def make_frozen_net() -> nn.Module:
    network = Net()
    network.head.bias.requires_grad_(False)
    return network


def make_layers(*more: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), *more, nn.Flatten(), nn.Linear(4 * 6 * 6, 3))


class Attention(nn.Module):
    """Torch's attention has a fast kernel on CPUs whose backward cannot be differentiated."""

    def forward(self, x: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(x, x, x)


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        (Net(4), "the network answers 16×4 for 16 items of 3 classes: its last layer needs 3 columns"),
        (nn.Linear(3, 3), "the network does not take 16×1×8×8 items ("),
        (
            make_layers(nn.BatchNorm2d(4)),
            "training changes 1.running_mean, 1.running_var, 1.num_batches_tracked",
        ),
        (make_layers(nn.BatchNorm2d(4)), "use nn.GroupNorm or nn.InstanceNorm2d"),
        (make_layers(nn.Dropout()), "answers the same items differently each time: leave dropout out"),
        (
            make_layers(Attention()),
            "the network cannot be differentiated twice (derivative for aten::_scaled_dot",
        ),
        (
            NetWithOutput(lambda _, z: z),
            "no gradient reaches unused.weight, unused.bias, which have no part in",
        ),
        (NetWithOutput(lambda _, z: (z, z)), "the network answers a tuple: forward must return the logits"),
        (NetWithOutput(lambda _, z: z / 0), "the network answers NaN or infinity for real items"),
        (
            make_frozen_net(),
            "head.bias of the network is frozen (requires_grad is False): distil what the frozen part",
        ),
        (nn.Flatten(), "the network has no parameters"),
        (nn.LazyLinear(3), "the network has lazy layers: call it on a batch"),
        (torch.relu, "network is a builtin_function_or_method: give an nn.Module"),
        (None, "network is a NoneType"),
    ],
    ids=lambda v: v if isinstance(v, str) else "network",
)
def test_a_network_without_an_outer_gradient_is_one_sentence(network: object, sentence: str) -> None:
    with pytest.raises(NetworkError, match=re.escape(sentence)):
        distill.distill((X, Y), network, **QUICK)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"n": 0}, "n must be above 0, not 0"),
        ({"n": 2.5}, "n must be a whole number, not 2.5"),
        ({"engine": "recompute"}, "engine is 'recompute': give Unroll(), Recompute() or"),
        (
            {"engine": Recompute},
            "engine is <class 'distill.inner.engines.recompute.Recompute'>: give Unroll()",
        ),
        ({"method": FRePo(), "engine": Recompute()}, 'engine is for methods that unroll, not for "FRePo"'),
        ({"method": BPTT(), "engine": Recompute()}, "engine is passed beside a Method object, which has its"),
        ({"outer_steps": "2"}, "outer_steps must be a whole number, not '2'"),
        ({"inner_steps": 2.5}, "inner_steps must be a whole number, not 2.5"),
        ({"lr": "fast"}, "lr must be a finite number, not 'fast'"),
        ({"start": Path("x.pt")}, "x.pt: no such file"),
        ({"n": True}, "n must be a whole number, not True"),
        ({"outer_steps": -1}, "outer_steps must be above 0, not -1"),
        ({"labels": "sotf"}, 'labels: no labels called "sotf"; did you mean "soft"?'),
        ({"init": "fxed"}, 'init: no init called "fxed"; did you mean "fixed"?'),
        ({"network": "lenett"}, 'network: no network called "lenett"; did you mean "lenet"?'),
        ({"augment": "shfit"}, 'augment: no augmentation called "shfit"; did you mean "shift"?'),
        ({"rule": "adam"}, "rule is a str: give SGD(), SGD(0.9) or Adam() of distill"),
        (
            {"loss": lambda z, y: F.cross_entropy(z, y, reduction="none")},
            "loss answers 16 values: it must be one",
        ),
        ({"loss": lambda z, y: (z.argmax(1) == y).float().mean()}, "loss has no gradient for the logits"),
        ({"loss": lambda z, y: 0.0}, "loss answers a float: it must be one number"),
        ({"loss": lambda z, y: z.sum() / 0}, "loss is "),
        ({"inner_loss": F.nll_loss}, "inner_loss does not take logits 16×3 and torch.float32 targets 16×3 ("),
        ({"test": (X[:, :, :4], Y)}, "test has items of shape (1, 4, 8), data of (1, 8, 8)"),
        ({"test": (X, Y + 1)}, "test: the test label 3 is out of range: 3 classes are 0 … 2"),
        ({"start": "nowhere.pt"}, "nowhere.pt: no such file"),
    ],
    ids=lambda v: v if isinstance(v, str) else "arguments",
)
def test_an_invalid_setting_is_one_sentence(arguments: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)):
        distill.distill((X, Y), **{"network": Net(), **QUICK, **arguments})


def test_augment_is_for_images() -> None:
    with pytest.raises(UserError, match="augment is for images"):
        distill.distill((X.flatten(1), Y), nn.Linear(64, 3), **QUICK, augment="shift")


def test_two_threads_get_what_each_would_alone() -> None:
    """torch has one random state: without turns a thread drew its networks from the other's."""

    def learn() -> DistilledSet:
        return distill.distill(make_data(), nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), **QUICK)

    with ThreadPoolExecutor(2) as pool:
        first, second = (future.result() for future in [pool.submit(learn), pool.submit(learn)])
    alone = learn()
    assert torch.equal(first.items, alone.items)
    assert torch.equal(second.items, alone.items)
    assert first.scores == second.scores == alone.scores


def test_a_compiled_network_names_its_weights_as_the_plain_one() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    few = distill.distill(make_data(), torch.compile(network, backend="eager"), init="fixed", **QUICK)
    assert few.init_state is not None
    assert set(few.init_state) == {"1.weight", "1.bias"}
