"""distill.distill(): own data, network and losses in one call, by the same loop as the command."""

import copy
import re
from collections.abc import Callable
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
from distill.student.coresets import random_real
from distill.student.training import build_problem
from tests.helpers import blobs, set_any, write_npz

QUICK = {"n": 2, "outer_steps": 20, "inner_steps": 4, "outer_batch": 32}


def tensors(count: int = 300, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Items (count, 1, 8, 8) of three classes, of mean 0 and spread 1."""
    images, labels = blobs(count, seed)
    x = torch.from_numpy(images).float().unsqueeze(1)
    return (x - 77) / 53, torch.from_numpy(labels).long()


class Net(nn.Module):
    """A network of one's own: instance norm with gains, an activation with a parameter."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.InstanceNorm2d(4, affine=True), nn.PReLU(), nn.AvgPool2d(2)
        )
        self.head = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).flatten(1))


@pytest.fixture(scope="module")
def learned() -> DistilledSet:
    torch.manual_seed(0)
    return distill.distill(
        tensors(), Net(), n=1, rule=SGD(), lr=0.1, inner_steps=8, outer_steps=60, outer_lr=0.1,
        test=tensors(90, 1),
    )  # fmt: skip


def share(network: nn.Module, data: DistilledSet, seeds: int = 5) -> float:
    """The mean test accuracy of networks trained on data."""
    weights = initial_weights(data, network, "random", seeds)
    students = [replay(data, build_problem(data, network), w) for w in weights]
    x, y = tensors(90, 1)
    return sum(float((s.logits(x).argmax(1) == y).float().mean()) for s in students) / seeds


def test_it_beats_as_many_random_real_items(learned: DistilledSet) -> None:
    real = distill.Dataset("real", *tensors(), ("0", "1", "2"), (0.0,), (1.0,))
    scores = []
    for k in range(5):
        x, y = random_real(learned, real)(stream("draw", k))
        rates = (learned.lrs, torch.full_like(learned.lrs, 0.02), torch.full_like(learned.lrs, 0.1))
        scores.append(max(share(Net(), replace(learned, items=x, labels=y, lrs=r)) for r in rates))
    assert learned.scores["accuracy"]["mean"] > sum(scores) / len(scores) + 0.2


def test_the_score_is_that_of_twenty_networks_never_seen_and_says_on_what(learned: DistilledSet) -> None:
    score = learned.scores["accuracy"]
    assert score["mean"] == pytest.approx(share(Net(), learned, 20))
    assert (score["n"], score["split"], score["weights"]) == (20, "test", "held-out")
    data = distill.distill(tensors(), Net(), **QUICK | {"outer_steps": 1})
    assert data.scores["accuracy"]["split"] == "held-out"
    assert (data.source["train"], data.source["test"]) == (270, 0)


def test_the_set_comes_back_from_its_file_and_trains_the_same_network(
    learned: DistilledSet, tmp_path: Path
) -> None:
    learned.save(tmp_path / "set.pt")
    again = DistilledSet.load(tmp_path / "set.pt")
    x, network = tensors(30, 2)[0], Net()
    assert torch.equal(train(again, network).logits(x), train(learned, network).logits(x))
    assert again.network["name"] == "Net"
    assert again.source["name"] == "own data"
    assert again.scores == learned.scores
    with pytest.raises(UserError, match='no network called "Net".* pass your own module as `network`'):
        train(again)


def test_the_command_and_the_call_give_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "distill.runs.measure.full_data_accuracy", lambda *_: 1.0
    )  # half a minute, and not what is compared
    monkeypatch.setattr("distill.runs.measure.score_baseline", lambda *_: ([0.5], ""))
    file = str(write_npz(tmp_path / "blobs.npz"))
    words = {"n": 2, "init": "fixed", "inner_steps": 4, "outer_steps": 6, "outer_batch": 32, "seed": 3}
    settings = set_any(ImageSettings(), dataset=file, network="mlp", out=str(tmp_path / "run"), **words)
    job.distil(settings, ["distill"])
    theirs, (real, test) = DistilledSet.load(tmp_path / "run" / "set.pt"), load(file)
    ours = distill.distill(real, "mlp", test=test, **words)
    for name in ("items", "labels", "lrs", "schedule"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name))
    assert ours.scores["accuracy"] == theirs.scores["accuracy"]
    assert ours.source | {"name": file} == theirs.source


def test_a_seed_decides_all_and_the_caller_s_network_and_randomness_stay() -> None:
    network, before = Net(), torch.random.get_rng_state()
    weights = copy.deepcopy(network.state_dict())
    one, same, other = (distill.distill(tensors(), network, **QUICK, seed=s) for s in (0, 0, 1))
    assert torch.equal(one.items, same.items)
    assert not torch.equal(one.items, other.items)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(weights[k], w) for k, w in network.state_dict().items())
    assert network.training


def test_a_fixed_set_carries_the_weights_that_the_network_had() -> None:
    network = Net()
    data = distill.distill(tensors(), network, **QUICK, init="fixed")
    assert all(torch.equal(data.init_state[k], p) for k, p in network.named_parameters())
    student, x = train(data, Net()), tensors(90, 1)[0]
    assert torch.equal(student.logits(x), train(data, network, init="fixed").logits(x))
    assert data.scores["accuracy"]["weights"] == "fixed"


def test_own_losses_are_used_and_named() -> None:
    def hinge(logits: Tensor, y: Tensor) -> Tensor:
        return F.multi_margin_loss(logits, y)

    def gentle(logits: Tensor, targets: Tensor) -> Tensor:
        return soft_cross_entropy(logits / 2, targets)

    plain = distill.distill(tensors(), Net(), **QUICK)
    data = distill.distill(tensors(), Net(), **QUICK, loss=hinge, inner_loss=gentle)
    assert not torch.equal(data.items, plain.items)
    assert (data.inner["loss"], data.provenance["objects"]["loss"]) == ("gentle", "hinge")
    with pytest.raises(UserError, match='no inner loss called "gentle".* pass your own as `inner_loss`'):
        train(data, Net())
    x = tensors(30, 2)[0]
    kept = replace(data, inner={**data.inner, "loss": "soft-cross-entropy"})
    ours, theirs = train(data, Net(), inner_loss=gentle), train(kept, Net(), inner_loss=gentle)
    assert torch.equal(ours.logits(x), theirs.logits(x))


def test_engine_and_rule_are_objects() -> None:
    short = QUICK | {"outer_steps": 2}
    one = distill.distill(tensors(), Net(), **short, rule=Adam())
    other = distill.distill(tensors(), Net(), **short, rule=Adam(), engine=Recompute())
    torch.testing.assert_close(one.items, other.items, rtol=1e-4, atol=1e-5)
    assert one.inner["rule"] == "adam"
    assert other.provenance["objects"]["engine"].startswith("Recompute(")


def test_items_of_any_shape_and_a_name_for_a_network() -> None:
    x, y = tensors()
    rows = distill.distill((x.flatten(1), y), nn.Linear(64, 3), **QUICK)
    assert rows.items.shape == (2, 64)
    assert distill.distill((x, y), "mlp", **QUICK).network["name"] == "mlp"


def test_it_is_silent_unless_progress_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    distill.distill(tensors(), Net(), **QUICK)
    assert capsys.readouterr() == ("", "")
    distill.distill(tensors(), Net(), **QUICK, progress=True)
    assert "step 20/20, loss " in capsys.readouterr().err


def test_ctrl_c_is_an_exception() -> None:
    class Pressed:
        def gradient(self, *_: object) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distill.distill(tensors(), Net(), **QUICK, engine=Pressed())


def test_items_out_of_proportion_are_warned_of() -> None:
    x, y = tensors()
    with pytest.warns(UserWarning, match="x has a spread of 1.*: scale it to mean 0 and spread 1") as seen:
        distill.distill((100 * x, y), Net(), **QUICK | {"outer_steps": 1})
    assert seen[0].filename == __file__


X, Y = tensors(60)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ((X, Y[:50]), "x has 60 items and y 50 labels: one label per item"),
        ((X, Y.float()), "y is torch.float32 of shape (60,): it must be long (m,)"),
        ((X, F.one_hot(Y)), "y is torch.int64 of shape (60, 3): it must be long (m,)"),
        ((X, Y - 1), "own data: the train label -1 is out of range: 2 classes are 0 … 1"),
        ((X, Y * 0), "own data has 1 class: at least two are needed"),
        ((X, Y * 2), "own data has no item of class 1: number the classes 0, 1, … without gaps"),
        ((X, Y * 10**12), "own data: the train label 1000000000000 is out of range"),
        ((X.byte(), Y), "x is torch.uint8: give floating-point items of mean 0 and spread 1 or so"),
        ((X / 0, Y), "x holds NaN or infinity"),
        ((X[:0], Y[:0]), "x of shape (0, 1, 8, 8) is not (m, *item)"),
        ((X[:9], Y[:9]), "own data has 9 training items: at least 10 are needed"),
        ((X.numpy(), Y.numpy()), "data and test must be pairs of tensors (x, y), not a tuple: torch.stack"),
        (X, "data and test must be pairs of tensors (x, y), not a Tensor"),
    ],
    ids=lambda v: v if isinstance(v, str) else "data",
)
def test_data_that_cannot_be_meant_is_one_sentence(data: object, sentence: str) -> None:
    with pytest.raises(DataError, match=re.escape(sentence)):
        distill.distill(data, Net(), **QUICK)


class Changed(Net):
    """Net with another answer."""

    def __init__(self, answer: Callable[[nn.Module, Tensor], object]) -> None:
        super().__init__()
        self.answer, self.idle = answer, nn.Linear(2, 2)

    def forward(self, x: Tensor) -> object:
        return self.answer(self, super().forward(x))


def frozen() -> nn.Module:
    network = Net()
    network.head.bias.requires_grad_(False)
    return network


def layers(*more: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), *more, nn.Flatten(), nn.Linear(4 * 6 * 6, 3))


class Attention(nn.Module):
    """Torch's own has a fast kernel on CPUs whose backward cannot be differentiated."""

    def forward(self, x: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(x, x, x)


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        (Net(4), "the network answers 16×4 for 16 items of 3 classes: its last layer needs 3 columns"),
        (nn.Linear(3, 3), "the network does not take 16×1×8×8 items ("),
        (layers(nn.BatchNorm2d(4)), "training changes 1.running_mean, 1.running_var, 1.num_batches_tracked"),
        (layers(nn.BatchNorm2d(4)), "use nn.GroupNorm or nn.InstanceNorm2d"),
        (layers(nn.Dropout()), "answers the same items differently each time: leave dropout out"),
        (layers(Attention()), "the network cannot be differentiated twice (derivative for aten::_scaled_dot"),
        (Changed(lambda _, z: z), "no gradient reaches idle.weight, idle.bias, which have no part in"),
        (Changed(lambda _, z: (z, z)), "the network answers a tuple: forward must return the logits"),
        (Changed(lambda _, z: z / 0), "the network answers NaN or infinity for real items"),
        (
            frozen(),
            "head.bias of the network is frozen (requires_grad is False): distil what the frozen part",
        ),
        (nn.Flatten(), "the network has no parameters"),
        (nn.LazyLinear(3), "the network has lazy layers: call it on a batch"),
        (Net, "network is the class Net: give an nn.Module, as MyNetwork()"),
        (torch.relu, "network is a builtin_function_or_method: give an nn.Module"),
        (None, "network is a NoneType"),
    ],
    ids=lambda v: v if isinstance(v, str) else "network",
)
def test_a_network_that_cannot_be_trained_through_is_one_sentence(network: object, sentence: str) -> None:
    with pytest.raises(NetworkError, match=re.escape(sentence)):
        distill.distill((X, Y), network, **QUICK)


@pytest.mark.parametrize(
    ("given", "sentence"),
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
        ({"start": Path("x.pt")}, "start must be a word, not PosixPath"),
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
    ids=lambda v: v if isinstance(v, str) else "given",
)
def test_a_setting_that_cannot_be_meant_is_one_sentence(given: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)):
        distill.distill((X, Y), **{"network": Net(), **QUICK, **given})


def test_augment_is_for_images() -> None:
    with pytest.raises(UserError, match="augment is for images"):
        distill.distill((X.flatten(1), Y), nn.Linear(64, 3), **QUICK, augment="shift")
