"""Students: trained modules, the recipe replayed exactly, ordinary training, and the baselines."""

import copy
import pickle
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from distill.data.clusters import find_nearest, fit_k_means
from distill.data.images import load
from distill.errors import SetError, UserError
from distill.networks.build import build_network
from distill.networks.initial import draw_weights
from distill.randomness import stream
from distill.registry import load as load_entry
from distill.sets.distilled import DistilledSet
from distill.student import PROTOCOLS, Student, accuracy, initial_weights, replay, train, train_ordinary
from distill.student.comparison.baselines import full_data_accuracy, score_baseline
from distill.student.comparison.coresets import k_means, random_real
from distill.student.protocols import SetRecipe
from distill.student.training import build_problem, build_set_network
from tests.helpers import CLASSES, SHAPE, prepare_for, small_set, waves, write_npz


@pytest.fixture
def blobs(tmp_path: Path):
    return load(str(write_npz(tmp_path / "blobs.npz")))


def fixed_set(**changes: object) -> DistilledSet:
    network = build_network("mlp", SHAPE, CLASSES, width=16)
    network_metadata = {"name": "mlp", "arguments": {"width": 16}, "init": "fixed", "scheme": "xavier"}
    return small_set(network=network_metadata, init_state=draw_weights(network, stream("f")), **changes)


def test_a_replay_is_twenty_lines_of_plain_torch() -> None:
    """What the README promises: functional steps of a torch network with torch's own SGD."""
    data = fixed_set(
        lrs=0.02 + 0.01 * waves(4, 6).float(), schedule=torch.tensor([[0, 1], [2, 0], [1, 2], [0, 2]])
    )
    network = build_set_network(data)
    network.load_state_dict(data.init_state)
    parameters = list(network.parameters())
    for row, lrs in zip(data.schedule, data.lrs, strict=True):
        logits = network(data.items[row])
        loss = -(data.labels[row] * logits.log_softmax(1)).sum(1).mean()
        for parameter, lr, grad in zip(parameters, lrs, torch.autograd.grad(loss, parameters), strict=True):
            parameter.data -= lr * grad
    x = waves(5, *SHAPE, phase=9).float()
    torch.testing.assert_close(train(data).logits(x), network(x).detach())


def test_a_recipe_of_more_steps_goes_round_again_at_its_last_rate() -> None:
    data = fixed_set(schedule=torch.tensor([[0, 1], [2, 0], [1, 2], [0, 2]]))
    data = replace(data, lrs=torch.tensor([0.04, 0.03, 0.02, 0.01]))
    longer = replace(
        data,
        schedule=data.schedule[[0, 1, 2, 3, 0, 1]],
        lrs=torch.tensor([0.04, 0.03, 0.02, 0.01, 0.01, 0.01]),
    )
    shorter, x = (
        replace(data, schedule=data.schedule[:3], lrs=data.lrs[:3]),
        waves(5, *SHAPE, phase=9).float(),
    )
    assert torch.equal(train(data, protocol=SetRecipe(steps=6)).logits(x), train(longer).logits(x))
    assert torch.equal(train(data, protocol=SetRecipe(steps=3)).logits(x), train(shorter).logits(x))
    assert torch.equal(train(data, protocol=SetRecipe(steps=4)).logits(x), train(data).logits(x))
    with pytest.raises(UserError, match="steps must be above 0, not 0"):
        SetRecipe(steps=0)


def test_a_student_is_a_trained_module_with_the_keys_of_the_user_s_network() -> None:
    data, network = fixed_set(), build_network("mlp", SHAPE, CLASSES, width=16)
    before = {name: w.clone() for name, w in network.state_dict().items()}
    student, x = train(data, network), waves(5, *SHAPE, phase=9).float()
    assert not student.training
    assert student.network is not network
    assert all(torch.equal(w, before[name]) for name, w in network.state_dict().items())
    assert list(student.state_dict()) == list(before) == list(student.network.state_dict())
    assert not any(torch.equal(w, before[name]) for name, w in student.state_dict().items())
    network.load_state_dict(student.state_dict())
    assert torch.equal(student(x), network(x))
    assert student(x).requires_grad
    assert not student.logits(x).requires_grad
    assert torch.equal(student.logits(x), student(x))
    assert torch.equal(student.predict(x), student(x).argmax(dim=1))
    assert not student.features(x).requires_grad
    assert student.features(x).shape == (5, 16)
    with torch.no_grad():
        assert torch.equal(student.network(x), student(x))


def test_a_student_loads_the_state_dict_of_another() -> None:
    data, x = fixed_set(), waves(5, *SHAPE).float()
    first, second = train(data, seed=0), Student(build_set_network(data))
    assert not torch.equal(first(x), second(x))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(x), second(x))


class Shadowed(torch.nn.Module):
    """A network with a part called as a student's is, and one called as a part of that part."""

    def __init__(self) -> None:
        super().__init__()
        self.network = torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.Linear(64, 4), torch.nn.BatchNorm1d(4)
        )
        self.add_module("1", torch.nn.Linear(4, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        return self.get_submodule("1")(self.network(x))


@pytest.mark.parametrize("network", [lambda: build_network("mlp", SHAPE, CLASSES, width=16), Shadowed])
def test_a_student_is_saved_and_loaded_as_a_part_of_a_larger_module(network: Callable) -> None:
    x = waves(5, *SHAPE).float()
    first, second = (torch.nn.Sequential(Student(network()), torch.nn.Softmax(1)) for _ in range(2))
    assert not torch.equal(first(x), second(x))
    assert list(first.state_dict()) == ["0." + key for key in network().state_dict()]
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(x), second(x))
    network().load_state_dict(first[0].state_dict())
    copied = pickle.loads(pickle.dumps(copy.deepcopy(first)))
    copied.load_state_dict(second.state_dict())
    with pytest.raises(RuntimeError, match='Unexpected key.*"odd"'):
        first[0].load_state_dict(first[0].state_dict() | {"odd": x})


def test_training_leaves_the_buffers_and_the_mode_of_the_user_s_module_unchanged() -> None:
    network = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.BatchNorm1d(64), torch.nn.Dropout(0.5), torch.nn.Linear(64, CLASSES)
    )
    before = copy.deepcopy(network.state_dict())
    student = train(small_set(n=4, schedule=torch.arange(4).repeat(4, 1)), network)
    weights = dict(network.named_parameters())
    trained = train_ordinary(
        small_set(n=4), network, weights, lambda p: torch.optim.SGD(p, lr=0.1), 2, 4, stream("b")
    )
    assert network.training
    assert all(torch.equal(w, before[name]) for name, w in network.state_dict().items())
    assert not torch.equal(trained.state_dict()["1.running_mean"], before["1.running_mean"])
    x = waves(5, *SHAPE).float()
    for module in (student, trained):
        assert torch.equal(module(x), module(x))  # in eval mode: no dropout
        assert torch.equal(module(x)[:1], module(x[:1])) or torch.allclose(module(x)[:1], module(x[:1]))


@pytest.mark.parametrize("word", PROTOCOLS)
def test_a_protocol_trains_a_student_and_changes_nothing_else(word: str) -> None:
    data, x = prepare_for(word, fixed_set()), waves(5, *SHAPE).float()
    network, weights = build_set_network(data), fixed_set().init_state
    before, initial = copy.deepcopy(network.state_dict()), copy.deepcopy(weights)
    protocol: Any = load_entry(PROTOCOLS[word])()
    counts = {name: 12 for name in ("epochs", "steps") if hasattr(protocol, name)}
    first, second = (
        replace(protocol, **counts).train(data, network, weights, stream("protocol")) for _ in range(2)
    )
    assert isinstance(first, Student)
    assert not first.training
    assert torch.equal(first(x), second(x))
    assert not torch.equal(first(x), Student(network, weights)(x))
    assert all(torch.equal(w, before[name]) for name, w in network.state_dict().items())
    assert all(torch.equal(w, initial[name]) for name, w in weights.items())


def test_training_twice_gives_the_same_bits_and_another_seed_different_ones() -> None:
    x = waves(5, *SHAPE).float()
    data = small_set()
    assert torch.equal(train(data, seed=1).logits(x), train(data, seed=1).logits(x))
    assert not torch.equal(train(data, seed=1).logits(x), train(data, seed=2).logits(x))


def test_another_network_trains_on_the_same_set() -> None:
    data = fixed_set(lrs=torch.full((4, 6), 0.05))
    network = build_network("mlp", SHAPE, CLASSES, depth=3, width=8)
    logits = train(data, network).logits(data.items)
    expected = train(fixed_set(lrs=torch.full((4,), 0.05)), network).logits(data.items)
    torch.testing.assert_close(logits, expected)


def test_missing_or_wrong_weights_are_refused() -> None:
    data = fixed_set()
    with pytest.raises(SetError, match="carries no weights: use random ones"):
        initial_weights(small_set(), build_set_network(small_set()), "fixed", 1)
    with pytest.raises(SetError, match="do not fit this network"):
        initial_weights(data, build_network("mlp", SHAPE, CLASSES, width=9), "fixed", 1)
    assert len(initial_weights(data, build_set_network(data), "fixed", 20)) == 1
    assert len(initial_weights(data, build_set_network(data), "random", 20)) == 20


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"inner": {"rule": "sdg", "loss": "soft-cross-entropy"}},
            'no inner rule called "sdg"; did you mean "sgd"',
        ),
        ({"inner": {"rule": "sgd", "loss": "soft-cross"}}, 'did you mean "soft-cross-entropy"'),
        ({"network": {"name": "lenat"}}, 'no network called "lenat"; did you mean "lenet"'),
        ({"network": {"name": "mlp", "scheme": "xaver"}}, 'did you mean "xavier"'),
    ],
)
def test_a_recipe_with_unknown_names_is_refused(changes: dict, sentence: str) -> None:
    data = small_set(**changes)
    with pytest.raises(UserError, match=re.escape(sentence)):
        train(data)


@pytest.mark.parametrize("optimiser_type", [torch.optim.SGD, torch.optim.AdamW, torch.optim.RMSprop])
def test_ordinary_training_takes_any_optimiser_and_learns(optimiser_type: type, blobs: tuple) -> None:
    real, test = blobs
    network = build_network("mlp", real.shape, CLASSES, width=16)
    weights = draw_weights(network, stream("o"))
    before = copy.deepcopy(weights)
    student = train_ordinary(
        real, network, weights, lambda p: optimiser_type(p, lr=0.01), 30, 32, stream("b")
    )
    assert accuracy(student, test) > 0.9
    assert accuracy(student, test) > accuracy(Student(network, weights), test)
    assert all(torch.equal(before[k], weights[k]) for k in weights)


def test_ordinary_training_takes_soft_labels() -> None:
    data = small_set(labels=torch.tensor([[0.6, 0.4, 0], [0, 1, 0], [0.2, 0.2, 0.6]]))
    network = build_set_network(data)
    weights = draw_weights(network, stream("o"))
    student = train_ordinary(
        data, network, weights, lambda p: torch.optim.Adam(p, lr=0.02), 200, 3, stream("b")
    )
    torch.testing.assert_close(student.logits(data.items).softmax(1), data.labels, atol=0.02, rtol=0)


def test_accuracy_counts_right_answers_over_all_chunks(blobs: tuple) -> None:
    _, test = blobs
    network = build_set_network(small_set())
    student = Student(network, draw_weights(network, stream("a")))
    x, y = test.batch(slice(None))
    expected = (student.logits(x).argmax(1) == y).float().mean().item()
    assert accuracy(student, test, numbers=7 * 64) == pytest.approx(expected)


@pytest.mark.parametrize("coreset", [random_real, k_means])
def test_baselines_are_trained_by_the_set_s_recipe(coreset: Callable, blobs: tuple) -> None:
    real, test = blobs
    data = small_set(n=5, schedule=torch.arange(5).repeat(4, 1))
    problem = build_problem(data)
    weights = initial_weights(data, problem.network, "random", 3)
    draw = coreset(data, real)
    scores, lr_text = score_baseline("x", draw, data, problem, real, test, weights, draws=4)
    assert full_data_accuracy(real, test, test, problem.network, weights[0]) > 0.95
    assert len(scores) == 4
    assert 0.5 < sum(scores) / 4 <= 1
    assert lr_text == "the set's rates" or lr_text.startswith("rate ")
    x, y = draw(stream("r"))
    assert x.shape == data.items.shape
    assert y.sum(1).tolist() == [1] * 5
    assert len(set(y.argmax(1)[:3].tolist())) == 3


def test_centres_are_the_means_of_their_nearest_items() -> None:
    x = torch.cat(
        [torch.tensor([[0.0, 1.0], [10.0, 0.0]]) + 0.1 * waves(2, 2, phase=k).float() for k in range(20)]
    )
    centres = fit_k_means(x, 2, stream("c"))
    nearest = torch.cdist(x, centres).argmin(1)
    for i in range(2):
        torch.testing.assert_close(centres[i], x[nearest == i].mean(0))
    assert (centres[0] - centres[1]).norm() > 9
    assert fit_k_means(x[:1], 3, stream("c")).shape == (3, 2)
    torch.testing.assert_close(fit_k_means(x, 1, stream("c")), x.mean(dim=0, keepdim=True))


def test_nearest_centres_are_the_same_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    x, centres = torch.randn(11, 2, 3), torch.randn(4, 2, 3)
    whole = find_nearest(x, centres)
    monkeypatch.setattr("distill.data.clusters.PART", 20)
    assert torch.equal(find_nearest(x, centres), whole)
    assert torch.equal(whole, torch.cdist(x.flatten(1), centres.flatten(1)).argmin(dim=1))


def test_replay_leaves_the_set_unchanged() -> None:
    data = fixed_set()
    before = {k: w.clone() for k, w in data.init_state.items()}
    replay(data, build_problem(data), data.init_state)
    assert all(torch.equal(before[k], data.init_state[k]) for k in before)


def test_by_default_fixed_weights_serve_the_networks_that_they_fit() -> None:
    data = fixed_set()
    network, narrow_network = build_set_network(data), build_network("mlp", SHAPE, CLASSES, width=9)
    x = waves(5, *SHAPE).float()
    assert torch.equal(train(data, network).logits(x), train(data, init="fixed").logits(x))
    assert torch.equal(
        train(data, narrow_network).logits(x), train(data, narrow_network, init="random").logits(x)
    )
