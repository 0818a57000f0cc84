"""Students of networks that someone else owns: dropout, batch norm, frozen layers, factories, seeds."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import distill
from distill import DistilledSet, NetworkError, SetError, UserError
from distill.networks.initial import draw_weights
from distill.randomness import stream
from distill.sets.plain_types import check_seed
from distill.student import Student, accuracy, initial_weights, replay, train, train_ordinary
from distill.student.loop import list_optimisers
from distill.student.training import build_problem
from tests.oddities import CLASSES, NETWORK_ODDITIES, DrawnInConstructor, Projection, TwoNames, stack

SHAPE = (1, 8, 8)
LABELS = torch.arange(120) % CLASSES
CENTRES = 2 * torch.randn(CLASSES, *SHAPE, generator=stream("centres"))
X = CENTRES[LABELS] + torch.randn(120, *SHAPE, generator=stream("items"))
TEST = distill.Dataset("test", X, LABELS, ("a", "b", "c", "d"), (0.0,), (1.0,))
FEW = DistilledSet(
    items=CENTRES,
    labels=torch.eye(CLASSES),
    schedule=torch.arange(CLASSES).repeat(30, 1),
    lrs=torch.full((30,), 0.05),
    inner={"rule": "sgd", "momentum": 0.9, "loss": "soft-cross-entropy"},
    network={"name": "Net", "arguments": {}, "init": "random", "scheme": "own"},
    source={"name": "own data", "classes": list("abcd"), "mean": [0.0], "std": [1.0]},
)


def is_same(first: Student, second: Student) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_dropout_trains_a_student_that_is_the_same_at_each_call_and_answers_in_eval_mode() -> None:
    network = NETWORK_ODDITIES["dropout"]()
    first, second = train(FEW, network), train(FEW, network)
    assert is_same(first, second)
    assert torch.equal(first.logits(X), first.logits(X))
    without = train(FEW, copy.deepcopy(network).eval())
    assert not is_same(first, without)  # dropout was on
    ordinary = [train_ordinary(FEW, network, None, torch.optim.Adam, 3, 2, stream("d")) for _ in range(2)]
    assert is_same(*ordinary)


def test_batch_norm_gives_one_item_sorted_batches_and_all_at_once_the_same_answers() -> None:
    network = stack(nn.BatchNorm1d(64))
    before = copy.deepcopy(network.state_dict())
    for student in (
        train(FEW, network),
        replay(FEW, build_problem(FEW, network), dict(network.named_parameters())),
    ):
        assert int(student.state_dict()["1.num_batches_tracked"]) == 30
        assert student.state_dict()["1.running_mean"].any()
        logits = student.logits(X)
        torch.testing.assert_close(student.logits(X[:1]), logits[:1])
        order = LABELS.argsort()
        torch.testing.assert_close(torch.cat([student.logits(x) for x in X[order].split(30)]), logits[order])
        assert accuracy(student, TEST) == accuracy(student, TEST, numbers=64) > 0.9
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())


def test_frozen_layers_stay() -> None:
    network = NETWORK_ODDITIES["frozen layer"]()
    for student in (
        train(FEW, network),
        train_ordinary(FEW, network, None, torch.optim.Adam, 3, 2, stream("f")),
    ):
        tensors = student.state_dict()
        assert torch.equal(tensors["1.weight"], network[1].weight)
        assert torch.equal(tensors["1.bias"], network[1].bias)
        assert not torch.equal(tensors["3.weight"], network[3].weight)


def test_train_with_a_submodule_of_two_names_equals_plain_torch() -> None:
    network = TwoNames()
    weights = draw_weights(network, stream("held-out", 0), "own")
    expected = copy.deepcopy(network)
    with torch.no_grad():
        for name, parameter in expected.named_parameters():
            parameter.copy_(weights[name])
    optimiser = torch.optim.SGD(expected.parameters(), lr=0.05, momentum=0.9)
    for row in FEW.schedule:
        optimiser.zero_grad()
        loss = -(FEW.labels[row] * expected(FEW.items[row]).log_softmax(1)).sum(1).mean()
        loss.backward()
        optimiser.step()
    torch.testing.assert_close(train(FEW, network).logits(X), expected(X).detach(), rtol=1e-3, atol=1e-3)


def test_networks_never_seen_come_from_the_factory() -> None:
    first, second = (train(FEW, DrawnInConstructor, seed=k) for k in range(2))
    assert not is_same(first, second)
    assert is_same(first, train(FEW, lambda: DrawnInConstructor(), seed=0))
    weights = initial_weights(FEW, DrawnInConstructor, "random", 3)
    assert len({float(w["weight"][0, 0]) for w in weights}) == 3
    with pytest.raises(NetworkError, match=r"weight of the network cannot be drawn anew.*pass a factory"):
        initial_weights(FEW, DrawnInConstructor(), "random", 3)


def test_distil_takes_a_factory_and_refuses_a_module_whose_weights_are_drawn_in_its_constructor() -> None:
    data, quick = (X, LABELS), {"n": 4, "outer_steps": 2, "inner_steps": 2, "outer_batch": 16}
    fixed = [distill.distill(data, DrawnInConstructor, init="fixed", seed=k, **quick) for k in (0, 0, 1)]
    assert torch.equal(fixed[0].init_state["weight"], fixed[1].init_state["weight"])
    assert not torch.equal(fixed[0].init_state["weight"], fixed[2].init_state["weight"])
    random = distill.distill(data, DrawnInConstructor, **quick)
    assert random.scores["accuracy"]["std"] > 0
    module = DrawnInConstructor()
    assert torch.equal(
        distill.distill(data, module, init="fixed", **quick).init_state["weight"], module.weight
    )
    with pytest.raises(NetworkError, match="cannot be drawn anew"):
        distill.distill(data, module, **quick)


@pytest.mark.parametrize("engine", [distill.Unroll(), distill.Recompute()])
def test_a_fixed_set_carries_its_buffers(tmp_path: Path, engine: Any) -> None:
    class Net(Projection):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("count", torch.tensor(3))
            self.register_buffer("mask", torch.tensor(-torch.inf))
            self.register_buffer("cache", torch.zeros(2), persistent=False)

    network = Net()
    data = distill.distill(
        (X, LABELS), network, init="fixed", n=4, outer_steps=2, inner_steps=3, outer_batch=16, engine=engine
    )
    data.save(tmp_path / "set.pt")
    loaded = DistilledSet.load(tmp_path / "set.pt")
    assert list(loaded.init_state) == ["head.weight", "head.bias", "projection", "count"]
    stranger, student = train(loaded, Net()), train(data, network)
    assert torch.equal(stranger.logits(X), student.logits(X))
    assert torch.equal(stranger.state_dict()["projection"], network.projection)
    weights = {name: w for name, w in loaded.init_state.items() if "head" in name}
    older = replace(loaded, init_state=weights)  # as files without buffers were written
    assert torch.equal(train(older, network).logits(X), student.logits(X))
    with pytest.raises(SetError, match="do not fit this network"):
        train(replace(loaded, init_state={**weights, "projection": torch.zeros(3)}), Net(), init="fixed")


def test_a_seed_draws_one_network(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = train(FEW, stack(), seed=500)
    draws, draw = [], draw_weights

    def count(*arguments: Any) -> dict[str, Tensor]:
        draws.append(arguments)
        return draw(*arguments)

    monkeypatch.setattr("distill.student.training.draw_weights", count)
    assert is_same(train(FEW, stack(), seed=500), expected)
    assert len(draws) == 1
    weights = initial_weights(FEW, stack(), "random", 3)[-1]
    assert is_same(train(FEW, stack(), seed=2), replay(FEW, build_problem(FEW, stack()), weights))
    assert not is_same(train(FEW, stack(), seed=-1), train(FEW, stack(), seed=1))


def test_words_and_objects_that_are_none_are_one_sentence() -> None:
    with pytest.raises(UserError, match='no init called "frozen" .known: fixed, random'):
        train(FEW, stack(), init="frozen")
    with pytest.raises(UserError, match=r"seed must be a whole number, not '1.5'"):
        check_seed(1.5)
    with pytest.raises(NetworkError, match=r"does not take 4×1×8×8 items \(mat1 and mat2"):
        train(FEW, nn.Linear(3, 3))
    with pytest.raises(NetworkError, match="the initial weights lack 1.bias"):
        replay(FEW, build_problem(FEW, stack()), {"1.weight": torch.zeros(4, 64)})
    assert is_same(
        train(replace(FEW, network={"name": "mlp"}), "mlp"), train(replace(FEW, network={"name": "mlp"}))
    )


def test_a_loss_that_raises_anything_is_one_sentence() -> None:
    def loss(logits: Tensor, y: Tensor) -> Tensor:
        return {"loss": logits.mean()}["los"]

    with pytest.raises(UserError, match=r"inner_loss does not take logits 4×4 .*\(KeyError: 'los'\)"):
        train(FEW, stack(), inner_loss=loss)
    for word in ("loss", "inner_loss"):
        with pytest.raises(UserError, match=rf"^{word} does not take logits 16×4 .*\(KeyError: 'los'\)"):
            distill.distill((X, LABELS), stack(), n=4, **{word: loss})


def test_an_error_in_the_middle_of_training_is_one_sentence() -> None:
    class Tired(nn.Module):
        """Fails at its tenth call."""

        def __init__(self) -> None:
            super().__init__()
            self.body, self.calls = stack(), 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            if self.calls > 9:
                raise LookupError("tired")
            return self.body(x)

    with pytest.raises(NetworkError, match=r"cannot be trained on the set \(LookupError: tired\)"):
        train(FEW, Tired())
    with pytest.raises(NetworkError, match=r"cannot be trained in batches of 2 \(LookupError: tired\)"):
        train_ordinary(FEW, Tired(), None, torch.optim.Adam, 9, 2, stream("t"))


@pytest.mark.parametrize("name", list_optimisers())
def test_every_optimiser_that_is_offered_trains(name: str) -> None:
    assert not {"LBFGS", "SparseAdam", "Muon", "Optimizer"} & set(list_optimisers())
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.PReLU(), nn.Flatten(), nn.Linear(72, CLASSES))
    student = train_ordinary(
        FEW, network, None, lambda p: list_optimisers()[name](p, lr=0.01), 2, 2, stream("o")
    )
    assert not is_same(student, Student(network))


def test_float64_as_torch_s_default_changes_nothing() -> None:
    data, quick = (X, LABELS), {"n": 4, "outer_steps": 2, "inner_steps": 2, "outer_batch": 16}
    expected = distill.distill(data, "mlp", **quick)
    logits, score = train(expected).logits(X), accuracy(train(expected), TEST)
    torch.set_default_dtype(torch.float64)
    try:
        found = distill.distill(data, "mlp", **quick)
        assert torch.equal(found.items, expected.items)
        assert found.scores == expected.scores
        assert torch.equal(train(found).logits(X), logits)
        assert accuracy(train(found), TEST) == score
        assert distill.distill((X.double(), LABELS), stack(), **quick).lrs.dtype == torch.float32
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_student_of_a_plain_module_is_measured_in_eval_mode() -> None:
    network: Any = NETWORK_ODDITIES["dropout"]()
    assert accuracy(network, TEST) == accuracy(Student(network), TEST)
    assert network.training
